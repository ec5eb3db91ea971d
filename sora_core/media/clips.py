"""Real videos, of any size, rate and container, as frames that a model can work on.

A video is read as a stream: turned, resampled in time and fitted to size frame by frame, so memory holds the result and
one source frame. What is too long or too large is refused from what its header says, before a frame is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import expect
from ..interrupt import check_interrupted
from .frames import MULTIPLE, fit_frames, fitted_size, resample
from .origin import read_from
from .sizes import MAX_BYTES, check_rate, check_source, frame_bytes
from .sound import read_audio
from .timing import Timing, read_timing
from .video import VideoInfo, probe, timed_frames

MAX_SECONDS = 120.0
MAX_READ_RATE = 1000  # frames per second: cameras record slow motion at more than any clip that is made has
MAX_LOOKED_THROUGH = 256 << 20  # bytes of a file whose own packets are believed, and not its header


@dataclass(frozen=True)
class Clip:
    """A video in memory."""

    frames: Tensor  # [T,H,W,3] float 0..1
    fps: float
    audio: dict[str, Any] | None = None  # ComfyUI's AUDIO, see `.sound`
    notes: tuple[str, ...] = ()  # what was changed on the way in, one sentence each
    latent: Tensor | None = None  # [1,C,1+k,h,w]: what the frames were decoded from, where they were just made


def read_clip(
    path: str | Path,
    *,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    multiple: int = MULTIPLE,
    sound: bool = True,
) -> Clip:
    """Read a video file (or an animated GIF) of at most MAX_SECONDS.

    fps: resample to this rate; None keeps the file's average rate (a variable rate is made constant).
    size: (width, height) to scale and cut to; None keeps the file's, cut to `multiple`.

    Raises SoraError for what is no video, and, before decoding, for what is too long or too large.
    """
    path = Path(path)
    info = probe(path)
    if path.stat().st_size > MAX_LOOKED_THROUGH:  # Before the packets of a film are looked through.
        _check_length(path.name, info, info.duration)
    timing = read_timing(path)
    rate = fps or float(timing.rate)
    limit = _check_header(path.name, info, timing, rate, size, multiple)
    frames: list[Tensor] = []
    source, told = None, list[str]()
    for pixels in resample(timed_frames(path, notes=told), rate, timing.last):
        check_interrupted()
        expect(
            len(frames) < min(limit, MAX_SECONDS * rate + 1),
            f"{path.name} is longer than its header says: more than {len(frames)} frames. Cut it.",
        )
        if pixels is source:  # a frame that is shown again is fitted once
            frames.append(frames[-1])
            continue
        source = pixels
        frames.append(fit_frames(torch.from_numpy(pixels)[None].float().div_(255), size, multiple)[0])
    expect(bool(frames), f"{path.name} has no frames.")
    notes = [*told, *info.view.notes(path.name)]
    if fps and abs(fps - float(timing.rate)) > 1e-3:
        notes.append(f"{path.name}: {float(timing.rate):g} to {fps:g} frames per second.")
    height, width = frames[0].shape[:2]
    if (width, height) != (info.width, info.height):
        notes.append(f"{path.name}: {info.width}x{info.height} to {width}x{height}.")
    return Clip(read_from(torch.stack(frames), path), rate, read_audio(path) if sound else None, tuple(notes))


def _check_length(name: str, info: VideoInfo, seconds: float) -> None:
    """Raise SoraError for more seconds than are read."""
    expect(
        seconds <= MAX_SECONDS,
        f"{name} is {seconds:.0f} s of {info.width}x{info.height}; at most {MAX_SECONDS:.0f} s are read. "
        "Cut out the part that you need.",
    )


def _check_header(
    name: str, info: VideoInfo, timing: Timing, rate: float, size: tuple[int, int] | None, multiple: int
) -> int:
    """Return how many frames fit into memory. Raises SoraError when the file has more, before they are decoded."""
    expect(info.width > 0 and info.height > 0, f"{name} holds no frames that can be read: use another.")
    check_rate(rate, MAX_READ_RATE)
    check_source(name, info.width, info.height)
    _check_length(name, info, timing.duration)
    fitted_size(info.width, info.height, size, multiple)
    wide, high = size or (info.width, info.height)
    limit = MAX_BYTES // frame_bytes(wide, high)
    expect(
        timing.duration * rate <= limit,
        f"{name} is {timing.duration * rate:.0f} frames of {wide}x{high}; {limit} of that size fit into the limit of "
        f"{MAX_BYTES >> 30} GiB. Use a smaller size or a shorter video.",
    )
    return limit
