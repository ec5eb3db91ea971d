"""Frames in and out of a check: any layout to `[T,H,W,3]` bytes, and frames made unrecognisable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from ...errors import expect

# A blurred frame keeps this many cells along its longer side: enough for a mood, not for a body or a face.
BLUR_CELLS = 6


def as_batch(frames: Tensor | np.ndarray) -> Tensor:
    """Return `[H,W,C]` or `[T,H,W,C]`, with 1, 3 or 4 channels, as `[T,H,W,C]`. Raises SoraError for other shapes."""
    # torch warns of arrays that cannot be written into: they are copied.
    pixels = frames if isinstance(frames, Tensor) else torch.from_numpy(np.require(frames, requirements="W"))
    pixels = pixels[None] if pixels.ndim == 3 else pixels
    good = pixels.ndim == 4 and pixels.shape[-1] in (1, 3, 4)
    expect(good, f"Frames have the shape [T,H,W,3], not {list(pixels.shape)}: they cannot be checked.")
    return pixels


def as_bytes(frames: Tensor) -> np.ndarray:
    """Turn `[T,H,W,C]`, float 0..1 or uint8, into `[T,H,W,3]` uint8. What an alpha channel hides is looked at as well.

    Raises SoraError for NaN and infinite values.
    """
    pixels = frames.detach()[..., :3].expand(*frames.shape[:-1], 3)
    if pixels.dtype != torch.uint8:
        pixels = pixels.float()
        expect(bool(torch.isfinite(pixels).all()), "A frame holds NaN or infinite values: it cannot be checked.")
        pixels = (pixels.clamp(0, 1) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(pixels.cpu().numpy())


def conceal(frames: Tensor, action: str) -> Tensor:
    """Make `[T,H,W,C]` unrecognisable, as `action` says: "blur" or "black". Keeps the layout and the type."""
    if action == "black":
        return torch.zeros_like(frames)
    height, width = frames.shape[1:3]
    scale = BLUR_CELLS / max(height, width)
    small = max(1, round(height * scale)), max(1, round(width * scale))
    planes = functional.interpolate(frames.movedim(-1, 1).float(), size=small, mode="area")
    blurred = functional.interpolate(planes, size=(height, width), mode="bilinear").movedim(1, -1)
    return blurred.round().to(torch.uint8) if frames.dtype == torch.uint8 else blurred.to(frames.dtype)


def in_batches(frames: Tensor | np.ndarray | Iterable, size: int) -> Iterator[Tensor]:
    """Yield frames in any form as pieces `[t,H,W,C]` of at most `size`. Lone frames of one shape are gathered."""
    if isinstance(frames, (Tensor, np.ndarray)):
        yield from as_batch(frames).split(size)
        return
    waiting: list[Tensor] = []
    for item in frames:
        for piece in as_batch(item).split(size):
            same = not waiting or (waiting[0].shape[1:] == piece.shape[1:] and waiting[0].dtype == piece.dtype)
            if waiting and (not same or sum(len(p) for p in waiting) + len(piece) > size):
                yield torch.cat(waiting)
                waiting = []
            waiting.append(piece)
    if waiting:
        yield torch.cat(waiting)
