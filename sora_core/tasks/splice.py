"""From decoded windows to the finished video, with the user's own pixels wherever they are kept.

A VAE does not give back what it was given. Where a kept frame meets a made one, the difference between the two
(the kept frame's own residual: its pixels less its decoding) would show as a seam. So the made frames take that
residual over: its mean, which is colour, as it is, and its detail as far as the picture there still is what it
was in the kept frame; both fade with the distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import expect

SPLICE = "sora_splice"  # the key of a LATENT
REACH = 16  # frames over which the residual fades
TOLERANCE = 0.06  # change of a pixel (0..1) at which its residual counts e^-1


@dataclass(frozen=True)
class Splice:
    """The finished video's frames `[T,H,W,3]`, and how a sampled LATENT fills in what is missing.

    keep: bool `[T]`, or `[T,H,W]` where parts of a frame are kept. places: per clip of the batch, long
    `[window frames]`: where each decoded frame goes, -1 for nowhere.
    """

    frames: Tensor
    keep: Tensor
    places: tuple[Tensor, ...]
    fps: float


def finish(latent: dict, decoded: Tensor) -> Tensor:
    """The finished frames `[T,H,W,3]` of a sampled LATENT and its decoded frames `[B*t,H,W,3]`.

    A LATENT without a `Splice` (text to video) is finished as decoded. Kept pixels are the user's, bit by bit.
    """
    splice: Splice | None = latent.get(SPLICE)
    if splice is None:
        return decoded
    windows = decoded.unflatten(0, (len(splice.places), -1))
    expect(
        windows.shape[1] == len(splice.places[0]) and windows.shape[2:] == splice.frames.shape[1:],
        f"The decoded video is {list(windows.shape[1:])}, the edit was made for {len(splice.places[0])} frames of "
        f"{splice.frames.shape[2]}x{splice.frames.shape[1]}. Sample and decode the edit's own latent.",
    )
    out = splice.frames.clone()
    for video, place in zip(windows, splice.places, strict=True):
        shown = place >= 0
        index = place.clamp_min(0)
        keep, known = splice.keep[index], splice.frames[index]
        if keep.ndim == 1:
            video = carry_in_time(video, known, keep & shown)
            target = index[shown & ~keep]
            out[target] = video[shown & ~keep]
        else:
            video = carry_in_space(video, known, keep)
            out[index[shown]] = torch.where(keep[..., None], known, video)[shown]
    return out


def carry(current: Tensor, anchor: Tensor, residual: Tensor, weight: float | Tensor = 1.0) -> Tensor:
    """What `current` (decoded) takes over of the `residual` of the decoded frame `anchor`, all `[H,W,3]`."""
    colour = residual.mean((-3, -2), keepdim=True)
    change = (current - anchor).abs().amax(-1)
    # A lone pixel that happens to match is no proof that the picture is the same.
    change = F.avg_pool2d(change[None], 5, 1, 2, count_include_pad=False)[0]
    same = torch.exp(-((change / TOLERANCE) ** 2)).unsqueeze(-1)
    return weight * (colour + (residual - colour) * same)


def carry_in_time(video: Tensor, known: Tensor, keep: Tensor) -> Tensor:
    """Decoded frames `[t,H,W,3]` with the residual of the nearest kept frames on both sides (keep bool `[t]`)."""
    kept = keep.nonzero().flatten().tolist()
    out = video.clone()
    for i in (~keep).nonzero().flatten().tolist():
        before = max((k for k in kept if k < i), default=None)
        after = min((k for k in kept if k > i), default=None)
        share = 0.0 if after is None else 1.0
        if before is not None and after is not None:
            # From all of the one right after it, to all of the other right before it.
            share = (i - before - 1) / (after - before - 2) if after - before > 2 else 0.5
        for k, part in ((before, 1 - share), (after, share)):
            weight = 0.0 if k is None else part * max(0.0, 1 - (abs(k - i) - 1) / REACH)
            if weight > 0:
                out[i] += carry(video[i], video[k], known[k] - video[k], weight)
    return out.clamp_(0, 1)


def carry_in_space(video: Tensor, known: Tensor, keep: Tensor, sigma: int = 9) -> Tensor:
    """Decoded frames `[t,H,W,3]` with the residual of the kept pixels (keep bool `[t,H,W]`) spread around them."""
    weight = keep[:, None].to(video.dtype)
    residual = (known - video).movedim(-1, 1) * weight

    def blur(x: Tensor) -> Tensor:
        for _ in range(2):
            x = F.avg_pool2d(x, sigma, 1, sigma // 2, count_include_pad=False)
        return x

    reach = blur(weight)
    spread = blur(residual) / reach.clamp_min(1e-4) * reach.sqrt()
    return (video + spread.movedim(1, -1)).clamp_(0, 1)
