"""What one model's predictions are worth: sums that merge, and a report."""
