"""Pictures, videos and sound: files in and out, sizes and frame rates."""
