"""An invisible keyed mark in every frame: `embedding` says what is written and how it is read."""
