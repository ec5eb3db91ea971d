"""Go on from a user's video: what is encoded of it, and how its frames lead into those that are made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ...latents.streaming import REMEMBERED
from ...media.frames import cuts
from ..finish.splice import Trail
from ..layout import VAECodec
from .rolling import Rolling


@dataclass(frozen=True)
class Source:
    """A user's video as what a long one goes on from."""

    frames: Tensor  # [T,H,W,3] float 0..1, the user's
    final: Tensor  # [1,C,n,h,w]: latents of the last `covered` frames, no more than a decoder remembers
    context: Tensor  # [1,C,m,h,w]: latents of their end, as a stream of its own
    covered: int  # frames, 1 + ratio * k
    reference: Tensor  # [1,C,r,h,w]: latents of how their last shot begins, which is how it should look later on


def make_source(codec: VAECodec, frames: Tensor, rolling: Rolling, latent: Tensor | None = None) -> Source:
    """Encode what a long video needs of `frames` `[T,H,W,3]`. What it takes does not grow with their number.

    latent: what the frames were decoded from, `[1,C,1+k,h,w]` for 1 + ratio * k of them: it is handed over, not
    encoded again.
    """

    def whole(count: int, most: int) -> int:
        """Count the frames of the longest stream of whole groups among `count`, of at most `most` latents."""
        return 1 + min((count - 1) // codec.ratio, most - 1) * codec.ratio

    length = frames.shape[0]
    covered = whole(length, REMEMBERED + 1)
    shown = min(covered, whole(length, rolling.window - rolling.new))
    begin = max(cuts(frames), default=0)
    first = whole(length - begin, min(rolling.window, REMEMBERED))
    if latent is not None:
        at = codec.space.latent_of(begin)
        look = latent[:, :, at : at + codec.latents(first)]
        final, context = (latent[:, :, -codec.latents(count) :] for count in (covered, shown))
        return Source(frames, final, context, covered, look)
    final = codec.encode(frames[-covered:])
    reference = final if (begin, first) == (length - covered, covered) else codec.encode(frames[begin : begin + first])
    return Source(frames, final, codec.encode(frames[-shown:]), covered, reference)


def after_source(pieces: Iterable[Tensor], source: Source) -> Iterator[Tensor]:
    """Return the source's frames, then the decoded ones after them, with the detail of its last one (see `Trail`).

    pieces: decoded frames `[t,H,W,3]`, of which the first `covered` stand for the source's own.
    """
    given = source.frames
    for begin in range(0, given.shape[0], 16):
        yield given[begin : begin + 16]
    seen, covered = 0, source.covered
    trail: Trail | None = None
    for piece in pieces:
        new = []
        for frame in piece:
            if seen == covered - 1:
                trail = Trail(frame, given[-1], given[-2] if len(given) > 1 else None)
            elif seen >= covered:
                new.append(frame if trail is None else trail(frame).clamp(0, 1))
            seen += 1
        if new:
            yield torch.stack(new)
