"""A network that watches a video, and what it says about it as facts."""
