"""What `pipelines.benchmark` times: a file a case."""
