"""An invisible mark in every frame."""
