"""Wan VACE 2.1 and 2.2 Fun VACE: what stays, what changes and where, beside the latent; a reference in front of it.

VACE (arXiv 2503.07598, 3.2) splits the known video into inactive pixels, which stay, and reactive ones, which are made;
both are encoded, 16 channels each. The mask keeps its pixels: each cell has 8 x 8 of them as 64 channels.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .known import Encoder, Known, Told


def tell(known: Known, encode: Encoder) -> Told:
    """Tell the model what stays, and show it the reference picture if there is one."""
    inactive = known.latents(encode)
    # What is to be made is not known, so it is grey all over.
    reactive = encode.grey(known.length, *known.sides).to(inactive).expand_as(inactive)
    frames, mask = torch.cat((inactive, reactive), 1), _mask(known)
    samples, hold, front = known.samples, known.hold(), 0
    if known.picture is not None:
        seen = encode(known.picture[None]).to(inactive)
        blank = torch.zeros_like(seen) if known.kind.zero is None else known.kind.zero.to(seen).expand_as(seen)
        front, batch = seen.shape[2], len(samples)
        first = torch.cat((seen, blank), 1).expand(batch, -1, -1, -1, -1)
        frames = torch.cat((first, frames), 2)
        mask = torch.cat((mask.new_zeros(*mask.shape[:2], front, *mask.shape[3:]), mask), 2)
        # Its own place in the latent is sampled along.
        samples = torch.cat((samples.new_zeros(*samples.shape[:2], front, *samples.shape[3:]), samples), 2)
        hold = torch.cat((hold.new_ones(*hold.shape[:2], front, *hold.shape[3:]), hold), 2)
    lists: dict[str, list[Any]] = {"vace_frames": [frames], "vace_mask": [mask], "vace_strength": [known.strength]}
    return Told(samples, hold, lists=lists, front=front)


def _mask(known: Known) -> Tensor:
    """Return the mask `[B,64,T,h,w]`, 1 = made, with the pixels of a cell as channels."""
    ratio = known.kind.space.spatial_ratio
    if known.shown is None:
        pixels = known.unknown().repeat_interleave(ratio, 2).repeat_interleave(ratio, 3)
    else:
        pixels = (~known.shown).float().expand(-1, -1, *known.sides)
    cells = F.pixel_unshuffle(pixels[:, :, None].flatten(0, 1), ratio).unflatten(0, pixels.shape[:2])
    cells = cells.transpose(1, 2)
    size = (known.samples.shape[2], *cells.shape[3:])
    return F.interpolate(cells, size=size, mode="nearest-exact")
