"""CogVideoX I2V: the latents of what is kept beside the noised ones, zeros elsewhere, and no mask."""

from __future__ import annotations

import torch

from .known import Encoder, Known, Told


def tell(known: Known, encode: Encoder) -> Told:
    """Tell the model the latents that are kept."""
    return Told(known.samples, known.mask, {"concat_latent_image": torch.where(known.mask, 0.0, known.samples)})
