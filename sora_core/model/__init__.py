"""The networks: diffusion transformer, video VAE, text encoder."""
