"""Videos of a minute and more, in segments."""
