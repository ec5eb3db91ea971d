"""Latents: their space, decoding, correction, tiles, patches and previews."""
