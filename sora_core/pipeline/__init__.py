"""From a prompt to a finished video: one engine behind Python, commands and nodes."""
