"""Whether a video was made here."""
