"""Which frames are a user's own: read from his file, and unchanged since.

Frames that the user supplied come back untouched, so they get no mark that says "made by a model". All others do. So
what is read from a file says so itself: the tensor carries a value of this module, from node to node and from call to
call. Whatever makes a new tensor of it loses that value, and then its frames count as made, unless it hands the value
on: with `taken` where frames stay the frames they were (cut out, scaled, joined), with `passed_on` where only those
that are the same to the bit may count.

Nothing is kept beside the frames themselves: what one graph or call reads says nothing of what another makes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..safety.unchanged import content_sum
from .signs import sign_of

_ATTRIBUTE = "sora_origin"  # of a tensor
_OWN_FILE = "sora_own_file"  # of a VIDEO
Digests = frozenset[bytes]
NONE: Digests = frozenset()


@dataclass
class _Origin:
    """What a tensor `[T,H,W,C]` carries."""

    own: Tensor | None  # bool [T], which frames are a user's; None where `digests` say it
    digests: Digests | None  # of a user's frames, which those of the tensor may be among; None: not taken yet
    content: int = 0  # `content_sum` of the tensor: one that was written into carries nothing


def from_file(frames: Tensor, own: Tensor | None = None) -> Tensor:
    """Note `frames` `[T,H,W,C]` as a user's own, or those of `own` (bool `[T]`); returns the same tensor."""
    own = torch.ones(len(frames), dtype=torch.bool) if own is None else own
    _put(frames, _Origin(own, None))
    return frames


def read_from(frames: Tensor, path: str | Path) -> Tensor:
    """Note `frames` `[T,H,W,C]`, read from the file `path`, as a user's own unless the file says that it was made."""
    return made(frames) if sign_of(path) else from_file(frames)


def passed_on(frames: Tensor, digests: Digests) -> Tensor:
    """Note that of `frames` those with one of `digests` are a user's own; returns the same tensor."""
    if digests:
        _put(frames, _Origin(None, digests))
    return frames


def taken(frames: Tensor, *given: tuple[Tensor, Tensor | None]) -> Tensor:
    """Note of `frames` `[T,...]`, made frame by frame of `given`, which are a user's own; returns the same tensor.

    given: tensors in the order in which their frames stand in `frames`, each with the numbers (long `[t]`) of those
    that were taken of it, None for all.
    """
    masks = [own_frames(tensor) if picks is None else own_frames(tensor)[picks] for tensor, picks in given]
    own = torch.cat(masks) if masks else torch.zeros(0, dtype=torch.bool)
    if len(own) == len(frames) and bool(own.any()):
        from_file(frames, own)
    return frames


def made(frames: Tensor) -> Tensor:
    """Note `frames` as made, whatever was noted of them; returns the same tensor."""
    if hasattr(frames, _ATTRIBUTE):
        delattr(frames, _ATTRIBUTE)
    return frames


def digests_of(frames: Any) -> Digests:
    """Return the digests of a user's frames that `frames` knows of; none for what carries nothing.

    Where they were passed on, some may be of frames that are no more among `frames`.
    """
    origin = _origin(frames)
    if origin is None:
        return NONE
    if origin.digests is None and origin.own is not None:
        origin.digests = frozenset(digest(frame) for frame, own in zip(frames, origin.own, strict=True) if own)
    return origin.digests or NONE


def own_frames(frames: Tensor) -> Tensor:
    """Tell of each of `frames` `[T,H,W,C]` whether it is a user's own: bool `[T]`."""
    origin = _origin(frames)
    if origin is None:
        return torch.zeros(len(frames), dtype=torch.bool)
    if origin.own is not None:
        return origin.own
    return torch.tensor([digest(frame) in (origin.digests or NONE) for frame in frames], dtype=torch.bool)


def digest(frame: Tensor) -> bytes:
    """Return what names a frame `[H,W,C]` by its content: the same to the bit, on any device, in any float type."""
    pixels = frame.detach().float().cpu().contiguous().numpy()
    return hashlib.blake2b(pixels.data, digest_size=16, person=str(tuple(frame.shape))[:16].encode()).digest()


def own_video(video: Any, own: bool = True) -> Any:
    """Note a VIDEO as one that shows a user's file, or one that has its mark already; returns it."""
    setattr(video, _OWN_FILE, own)
    return video


def is_own_video(video: Any) -> bool:
    """Tell whether a VIDEO shows a user's file, and not one that was made and has no mark."""
    return bool(getattr(video, _OWN_FILE, False))


def hand_on(given: Iterable[Any], results: Iterable[Any]) -> None:
    """Let the pictures `[T,H,W,C]` among `results` know of the user's frames among `given`, where they know of none.

    For a node of which nothing is known: what it passes on unchanged stays the user's, all else counts as made.
    """
    unknown = [each for each in results if _is_pictures(each) and not hasattr(each, _ATTRIBUTE)]
    if unknown:
        known = NONE.union(*(digests_of(each) for each in given))
        for each in unknown:
            passed_on(each, known)


def _is_pictures(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 4 and value.shape[-1] in (1, 3, 4)


def _put(frames: Tensor, origin: _Origin) -> None:
    if origin.own is not None:
        origin.content = content_sum(frames)
    setattr(frames, _ATTRIBUTE, origin)


def _origin(frames: Any) -> _Origin | None:
    origin = getattr(frames, _ATTRIBUTE, None)
    if origin is None or origin.own is None:
        return origin  # what its content says holds whatever was written
    return origin if origin.content == content_sum(frames) else None
