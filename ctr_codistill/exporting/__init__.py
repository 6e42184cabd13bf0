"""A snapshot made ready for TF Serving, and put before it or not."""
