"""What a model is worth, and how far two of them differ."""
