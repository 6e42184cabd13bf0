"""Raw logs as they lie: formats, layouts, lines and which of them are rows."""
