"""What `pipelines.compare` is made of: arms, repeats and a search."""
