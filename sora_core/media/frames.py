"""Frames in memory: fitted to a size, brought to another rate, cut into shots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ..errors import SoraError, expect
from .origin import taken
from .sizes import MAX_SIDE, check_pixels, check_size
from .stills import flatten_alpha

MULTIPLE = 16  # pixels, that sides are a multiple of: a VAE's ratio of 8 times a patch of 2
CUT_CHANGE = 0.06  # of a colour (0..1) from one frame to the next, above which a pixel is not what it was
# Share of pixels that change at a cut. On the world's truth a cut changes 82% and more, what moves within a shot 33% at
# most.
CUT_SHARE = 0.55
Frame = TypeVar("Frame")


def fitted_size(width: int, height: int, wanted: tuple[int, int] | None, multiple: int = MULTIPLE) -> tuple[int, int]:
    """Return the width and height that a picture of `width` x `height` gets.

    wanted: (width, height) to use; None for its own, cut to the multiple.

    Raises SoraError when that is too large or too small.
    """
    if wanted is not None:
        check_size(*wanted, multiple)
        return wanted
    # A picture's own sides need be no multiple, for they are cut to one: only what `check_side` cannot say is said.
    for name, side in (("width", width), ("height", height)):
        expect(side >= multiple, f"The {name} is {side} pixels: it must be at least {multiple}.")
    if max(width, height) > MAX_SIDE:
        scale = 160 / max(width, height)  # sora-mini's own size
        near = [max(multiple, round(side * scale / multiple) * multiple) for side in (width, height)]
        raise SoraError(
            f"The picture is {width}x{height}, more than {MAX_SIDE} a side. Set width and height, for example "
            f"{near[0]} and {near[1]}."
        )
    return width // multiple * multiple, height // multiple * multiple


def fit_frames(frames: Tensor, size: tuple[int, int] | None = None, multiple: int = MULTIPLE) -> Tensor:
    """Fit frames `[T,H,W,C]` to a size: `[T,height,width,3]`, float32 0..1.

    Pixels are kept as they are where only an edge has to be cut; uint8 counts from 0 to 255. Transparency (C = 4) is
    laid over white, grey (C = 1) becomes colour.

    size: (width, height). Frames are scaled until they cover it and cut about the centre; None only cuts to the
    multiple.

    Raises SoraError for other shapes and types, no frames, and sizes that `fitted_size` or memory does not allow.
    """
    expect(
        isinstance(frames, Tensor) and frames.ndim == 4 and frames.shape[-1] in (1, 3, 4),
        f"Frames have the shape [T,H,W,3], not {list(getattr(frames, 'shape', ()))}.",
    )
    expect(frames.shape[0] > 0, "There are no frames: connect a picture or a video.")
    given = frames
    height, width = frames.shape[1:3]
    wide, high = fitted_size(width, height, size, multiple)
    check_pixels(frames.shape[0], wide, high)
    frames = _as_float(frames)
    if frames.shape[-1] == 4:
        frames = flatten_alpha(frames)
    elif frames.shape[-1] == 1:
        frames = frames.expand(*frames.shape[:3], 3)
    scale = max(wide / width, high / height)
    # At scale 1 one side fits and the other is too long: it is only cut.
    if size is not None and (width, height) != (wide, high) and not (scale == 1 and width >= wide and height >= high):
        frames = _cover(frames, wide, high, scale)
        height, width = frames.shape[1:3]
    top, left = (height - high) // 2, (width - wide) // 2
    return taken(frames[:, top : top + high, left : left + wide].contiguous(), (given, None))


def _as_float(frames: Tensor) -> Tensor:
    """Convert frames to float32 0..1. Raises SoraError for numbers that are neither bytes nor parts of 1."""
    if frames.dtype == torch.uint8:
        return frames.float().div_(255)
    expect(frames.is_floating_point(), f"Frames of {frames.dtype} are not read: use uint8 0..255, or float 0..1.")
    return frames.float()


def _cover(frames: Tensor, wide: int, high: int, scale: float) -> Tensor:
    """Scale `[T,H,W,3]` float 0..1 by `scale`, so that they cover `wide` x `high` pixels."""
    height, width = frames.shape[1:3]
    try:
        from kornia.geometry.transform import resize
    except ImportError as error:
        raise SoraError(
            f"Scaling {width}x{height} to {wide}x{high} needs the package kornia, which is not installed ({error}): "
            "pip install kornia, or use frames of that size."
        ) from error

    inner = max(high, round(height * scale)), max(wide, round(width * scale))
    # Without the blur of `antialias` fine patterns would alias when they shrink; bicubic overshoots at edges.
    scaled = resize(frames.movedim(-1, 1), inner, interpolation="bicubic", antialias=scale < 1)
    return scaled.clamp(0, 1).movedim(1, -1)


def resample(timed: Iterable[tuple[float, Frame]], fps: float, last_for: float) -> Iterator[Frame]:
    """Resample frames with their times (seconds, rising) to `fps`: each moment gets the frame that is nearest.

    last_for: seconds that the last frame stands. A constant rate that is `fps` already comes back unchanged.
    """
    count, before, first = 0, None, 0.0
    for time, frame in timed:
        if before is None:
            first = time
        else:
            middle = (before[0] + time - first) / 2
            while count / fps < middle - 1e-6:
                yield before[1]
                count += 1
        before = (time - first, frame)
    if before is not None:
        # A little less, so that rounding does not add a frame at the very end.
        end = before[0] + last_for * 0.999
        while count == 0 or count / fps < end:
            yield before[1]
            count += 1


def resample_frames(frames: Tensor, rate: float, fps: float) -> Tensor:
    """Resample `[T,H,W,3]` from `rate` to `fps` by the nearest frame in time."""
    if abs(rate - fps) < 1e-6:
        return frames
    picks = list(resample(((i / rate, i) for i in range(frames.shape[0])), fps, 1 / rate))
    chosen = torch.tensor(picks)
    return taken(frames[chosen], (frames, chosen))


def cuts(frames: Tensor | np.ndarray, least: float = CUT_SHARE) -> list[int]:
    """Find the first frames of new shots in a video `[T,H,W,3]` 0..1.

    Those are frames in which at least the share `least` of the pixels is not what it was in the frame before.
    """
    video = np.asarray(frames)
    changed = [float((np.abs(b - a).max(-1) > CUT_CHANGE).mean()) for a, b in zip(video, video[1:], strict=False)]
    # Of changes within two frames of each other only the largest is a cut: a flash is not two of them.
    peaks = [share == max(changed[max(0, i - 2) : i + 3]) for i, share in enumerate(changed)]
    return [i + 1 for i, share in enumerate(changed) if peaks[i] and share >= least]
