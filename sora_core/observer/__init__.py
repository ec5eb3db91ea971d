"""A network that watches a video and says what it shows."""
