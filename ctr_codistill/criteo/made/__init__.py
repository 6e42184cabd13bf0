"""What made clicks are drawn from, and how they are written."""
