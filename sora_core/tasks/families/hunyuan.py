"""HunyuanVideo I2V in both kinds, SkyReels I2V and HunyuanVideo 1.5: latents of what is kept beside the noised ones.

The first kind of HunyuanVideo I2V takes them as channels, with a mask where there is room for one. The second, whose
network has the shape of text to video, takes the first latent clean in its own place, and is told that it is.
"""

from __future__ import annotations

import torch

from .known import Encoder, Known, Told


def tell_beside(known: Known, encode: Encoder) -> Told:
    """Tell the model the latents that are kept, zeros elsewhere, and which they are."""
    beside = torch.where(known.mask, 0.0, known.samples)
    return Told(known.samples, known.mask, {"concat_latent_image": beside, "concat_mask": known.mask.float()})


def tell_in_place(known: Known, encode: Encoder) -> Told:
    """Tell the model that its first latent is clean, where it is kept."""
    first = bool(known.kept()[:, 0].all())
    return Told(known.samples, known.mask, {"guiding_frame_index": 0} if first else {})
