"""Video VAEs."""
