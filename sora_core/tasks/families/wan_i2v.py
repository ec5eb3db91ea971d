"""Wan 2.1 I2V, FLF2V and Fun Inpaint, Wan 2.2 14B I2V: a video with grey for what is not known, and a mask beside it.

The network takes 4 + 16 channels in beside the noised latent: four of the mask, one for each frame of a latent group,
and the latents of the video. The first latent is a single frame, whose value fills all four.
"""

from __future__ import annotations

import torch

from .known import Encoder, Known, Told


def tell(known: Known, encode: Encoder) -> Told:
    """Tell the model which frames are known, frame by frame."""
    unknown = known.unknown()
    groups = torch.cat((unknown[:, :1].expand(-1, 3, -1, -1), unknown), 1)
    mask = groups.unflatten(1, (-1, 4)).transpose(1, 2)
    options = {"concat_latent_image": known.latents(encode), "concat_mask": mask.contiguous()}
    return Told(known.samples, known.hold(), options)
