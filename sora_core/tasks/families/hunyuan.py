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
    name = known.kind.space.name
    if not bool(known.kept()[:, 0].all()):
        unseen = f"{name} does not see what is kept: the sampler blends it in at every step."
        return Told(known.samples, known.mask, notes=(unseen,) if bool((~known.mask).any()) else ())
    # ComfyUI's network adds the guidance of two videos to the two vectors of each, and fails on more.
    if len(known.samples) * known.prompts > 2:
        alone = f"{name} is told of its first latent with one video and one prompt at a time only"
        return Told(known.samples, known.mask, notes=(f"{alone}: the sampler blends it in.",))
    return Told(known.samples, known.mask, {"guiding_frame_index": 0})
