"""Raw logs to a prepared directory, in two passes that can go on."""
