"""Files and folders of the embedded host."""
