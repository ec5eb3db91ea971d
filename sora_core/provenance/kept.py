"""Which frames are a user's own.

Frames that the user supplied come back untouched, so they get no mark that says "made by a model". An IMAGE is a bare
tensor that may be cut, joined and passed on; nothing can travel with it. So what an edit keeps is remembered here by
its content, for as long as the process lives.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from torch import Tensor

MOST = 100_000  # frames; with 16 bytes each that is a few megabytes
Digests = OrderedDict[bytes, None]  # oldest first
_kept: Digests = OrderedDict()
_made: Digests = OrderedDict()


def remember(frames: Tensor) -> None:
    """Note `frames` `[n,H,W,3]` as a user's own, bit by bit; those that `remember_made` noted are not."""
    for frame in frames:
        digest = _digest(frame)
        if digest not in _made:
            _note(_kept, digest)


def remember_made(frames: Tensor) -> None:
    """Note those of a result's `frames` `[n,H,W,3]` that are not a user's own, though an edit keeps them."""
    for frame in frames:
        digest = _digest(frame)
        if digest not in _kept:
            _note(_made, digest)


def _note(digests: Digests, digest: bytes) -> None:
    digests[digest] = None
    digests.move_to_end(digest)
    while len(digests) > MOST:
        digests.popitem(last=False)


def is_kept(frame: Tensor) -> bool:
    """Return whether `frame` `[H,W,3]` is one of a user's own, unchanged."""
    return bool(_kept) and _digest(frame) in _kept


def _digest(frame: Tensor) -> bytes:
    # A frame may come back in another precision or on another device, with the same values.
    pixels = frame.detach().float().cpu().contiguous().numpy()
    return hashlib.blake2b(pixels.data, digest_size=16, person=str(tuple(frame.shape))[:16].encode()).digest()
