"""Training of sora-mini: the procedural world, the recipes and the data they read."""
