"""The part that knows ComfyUI: its MODEL, CLIP, VAE and SAMPLER made of our networks, and its services."""
