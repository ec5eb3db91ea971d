"""Rectified flow: noise schedules, samplers, guidance, and the one entry that samples a latent."""

# The largest that torch's generators take. It stands here because widgets need it, and this module is free of torch.
MAX_SEED = 2**64 - 1
