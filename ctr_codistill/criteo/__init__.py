"""Where examples come from: raw click logs to batches."""
