"""LTX-Video and LTX-2: a timestep for every token, and keyframe guides where a kept frame does not fill a latent.

A guide is a frame as a latent of its own. It is sampled along behind the video, held, with its place in the video as
its positions: `keyframe_idxs` `[B,3,N,2]` holds for each of its tokens, in (t, y, x) order, the first pixel and the one
behind the last, in time, height and width. `guide_attention_entries` says how many tokens each guide has. (LTX-Video,
arXiv 2501.00103: tokens are placed by pixels and seconds.)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .known import Encoder, Known, Told


def tell(known: Known, encode: Encoder) -> Told:
    """Tell the model of the frames whose latents are not known in full, and hold those that are.

    Raises SoraError where the clips of a batch keep different frames of such latents.
    """
    defaults = {} if known.fps is None else {"frame_rate": known.fps}
    chosen = guided(known)
    if known.frames is None or not any(chosen):
        return Told(known.samples, known.hold(), defaults=defaults)
    known.expect_alike()
    places = chosen[0]
    guides = known.encoded(lambda frames, _: torch.cat([encode(frames[at : at + 1]) for at in places], 2))
    cells = known.samples.shape[3:]
    positions = torch.cat([place_of(at, cells, known.kind.space.spatial_ratio) for at in places], 1)
    entry: dict[str, Any] = {"pre_filter_count": cells.numel(), "latent_shape": [1, *cells]}
    entry |= {"strength": 1.0, "pixel_mask": None}
    hold = known.hold()
    options = {
        "keyframe_idxs": positions[None].repeat(len(guides), 1, 1, 1),
        "guide_attention_entries": [dict(entry) for _ in places],
    }
    return Told(
        torch.cat((known.samples, guides.to(known.samples)), 2),
        torch.cat((hold, hold.new_zeros(*hold.shape[:2], len(places), *cells)), 2),
        options,
        defaults=defaults,
        back=len(places),
    )


def guided(known: Known) -> list[list[int]]:
    """List the frames that become guides, of each video of the batch.

    They are the ends of each run of known frames in a latent that is not known in full.

    Of masks in space there are none: a frame of which a part is kept is no picture.
    """
    if known.frames is None or known.shown is None or known.shown.shape[2] > 1:
        return []
    made = []
    for shown, whole in zip(known.shown.flatten(1).tolist(), known.known_latents().tolist(), strict=True):
        places: list[int] = []
        for latent in (at for at, full in enumerate(whole) if not full):
            frames = known.kind.space.frames_of(latent)
            inner = [at for at in frames if all(n in frames and shown[n] for n in (at - 1, at + 1))]
            places += [at for at in frames if shown[at] and at not in inner]
        made.append(places)
    return made


def place_of(frame: int, cells: tuple[int, int] | torch.Size, ratio: int) -> Tensor:
    """Return the positions `[3,h*w,2]` of a frame's tokens, integers: its own time, and the pixels of its cells."""
    height, width = cells
    starts = torch.meshgrid(
        torch.tensor([frame]), torch.arange(height) * ratio, torch.arange(width) * ratio, indexing="ij"
    )
    start = torch.stack([axis.flatten() for axis in starts])
    return torch.stack((start, start + torch.tensor([1, ratio, ratio])[:, None]), 2)
