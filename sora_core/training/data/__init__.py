"""What a trainer reads: clips, captions, latents, masks, batches."""
