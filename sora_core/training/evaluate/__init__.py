"""Does a video show what its prompt says? Measured per ability, with the truth beside it: `sora eval`."""
