"""The training loop, its optimisers and its pictures."""
