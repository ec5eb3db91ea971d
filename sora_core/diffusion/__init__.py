"""Rectified flow: noise schedules, samplers, guidance, and the one entry that samples a latent."""
