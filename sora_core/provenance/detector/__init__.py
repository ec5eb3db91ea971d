"""Was a video made here? Credentials, watermark and a classifier of traces are asked."""
