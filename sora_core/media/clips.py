"""Real stills and videos, of any size, rate and container, as frames that a model can work on.

A video is read as a stream: turned, resampled in time and fitted to size frame by frame, so memory holds the
result and one source frame. What is too long or too large is refused from what its header says, before a frame
is decoded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import SoraError, expect
from .sizes import MAX_SIDE
from .video import _open, _upright, probe, read_audio

MAX_SECONDS = 120.0
MAX_BYTES = 4 << 30  # of float frames, after resampling
MAX_STILL_PIXELS = 100_000_000
MULTIPLE = 16


@dataclass(frozen=True)
class Clip:
    """frames `[T,H,W,3]` float 0..1 at `fps`; audio as ComfyUI's AUDIO or None; notes: what was changed."""

    frames: Tensor
    fps: float
    audio: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()


def fitted_size(width: int, height: int, wanted: tuple[int, int] | None, multiple: int = MULTIPLE) -> tuple[int, int]:
    """Width and height that a picture of `width` x `height` gets: `wanted`, or its own, cut to the multiple.

    Raises SoraError when that is too large or too small.
    """
    if wanted is not None:
        for name, side in zip(("width", "height"), wanted, strict=True):
            expect(
                0 < side <= MAX_SIDE and side % multiple == 0,
                f"{name} is {side}: use a multiple of {multiple} up to {MAX_SIDE}.",
            )
        return wanted
    for name, side in (("width", width), ("height", height)):
        expect(side >= multiple, f"The {name} is {side} pixels: it must be at least {multiple}.")
    if max(width, height) > MAX_SIDE:
        scale = 160 / max(width, height)
        near = [max(multiple, round(side * scale / multiple) * multiple) for side in (width, height)]
        raise SoraError(
            f"The picture is {width}x{height}, more than {MAX_SIDE} a side. Set width and height, "
            f"for example {near[0]} and {near[1]}."
        )
    return width // multiple * multiple, height // multiple * multiple


def fit_frames(frames: Tensor, size: tuple[int, int] | None = None, multiple: int = MULTIPLE) -> Tensor:
    """`[T,H,W,C]` float -> `[T,height,width,3]`. Pixels are kept as they are where only an edge has to be cut.

    size: (width, height). Frames are scaled until they cover it and cut about the centre; None only cuts to the
    multiple. Transparency (C = 4) is laid over white; grey becomes colour.
    """
    expect(
        isinstance(frames, Tensor) and frames.ndim == 4 and frames.shape[-1] in (1, 3, 4),
        f"Frames have the shape [T,H,W,3], not {list(getattr(frames, 'shape', ()))}.",
    )
    expect(frames.shape[0] > 0, "There are no frames: connect a picture or a video.")
    if frames.shape[-1] == 4:
        alpha = frames[..., 3:]
        frames = frames[..., :3] * alpha + (1 - alpha)
    elif frames.shape[-1] == 1:
        frames = frames.expand(*frames.shape[:3], 3)
    height, width = frames.shape[1:3]
    wide, high = fitted_size(width, height, size, multiple)
    scale = max(wide / width, high / height)
    if size is not None and (width, height) != (wide, high) and not (scale == 1 and width >= wide and height >= high):
        try:
            from kornia.geometry.transform import resize
        except ImportError as error:
            raise SoraError(
                f"Scaling {width}x{height} to {wide}x{high} needs the package kornia, which is not "
                f"installed ({error}): pip install kornia, or use frames of that size."
            ) from error

        inner = max(high, round(height * scale)), max(wide, round(width * scale))
        frames = resize(frames.movedim(-1, 1), inner, interpolation="bicubic", antialias=scale < 1)
        frames = frames.clamp(0, 1).movedim(1, -1)
        height, width = inner
    top, left = (height - high) // 2, (width - wide) // 2
    return frames[:, top : top + high, left : left + wide].contiguous()


def read_still(path: str | Path) -> Tensor:
    """A picture `[1,H,W,3]` float 0..1: turned after its EXIF tag, transparency over white, first frame of many.

    Raises SoraError for what is no picture, and for a declared size over the limit before it is decoded.
    """
    import warnings

    from PIL import Image, ImageOps, UnidentifiedImageError

    path = Path(path)
    expect(path.is_file(), f"There is no picture {str(path)!r}: check the name.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(path)
        width, height = picture.size
        expect(
            width * height <= MAX_STILL_PIXELS,
            f"{path.name} says it is {width}x{height} pixels; at most {MAX_STILL_PIXELS // 1_000_000} million "
            "are opened. Make it smaller.",
        )
        picture = ImageOps.exif_transpose(picture)
        if picture.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion to colour clips it
            picture = picture.point(lambda value: value / 256).convert("L")
        pixels = np.asarray(picture.convert("RGBA"), dtype=np.float32) / 255
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise SoraError(f"{path.name} cannot be read as a picture ({error}): use a PNG, JPEG or WebP.") from error
    return flatten_alpha(torch.from_numpy(pixels.copy())[None])


def flatten_alpha(frames: Tensor) -> Tensor:
    """`[T,H,W,4]` over white -> `[T,H,W,3]`."""
    return frames[..., :3] * frames[..., 3:] + (1 - frames[..., 3:])


def resample(timed: Iterable[tuple[float, Any]], fps: float, last_for: float) -> Iterator[Any]:
    """Frames with their times (seconds, rising) -> frames at `fps`, each the nearest in time to its moment.

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
        end = before[0] + last_for * 0.999
        while count == 0 or count / fps < end:
            yield before[1]
            count += 1


def resample_frames(frames: Tensor, rate: float, fps: float) -> Tensor:
    """`[T,H,W,3]` at `rate` -> at `fps`, by the nearest frame in time."""
    if abs(rate - fps) < 1e-6:
        return frames
    picks = list(resample(((i / rate, i) for i in range(frames.shape[0])), fps, 1 / rate))
    return frames[torch.tensor(picks)]


def cuts(frames: Tensor | np.ndarray, least: float = 0.55) -> list[int]:
    """First frames of new shots of a video `[T,H,W,3]` 0..1: those in which at least this share of the pixels is not
    what it was. (On the world's truth a cut changes 82% and more, what moves within a shot 33% at most.)
    """
    frames = np.asarray(frames)
    changed = [(np.abs(b - a).max(-1) > 0.06).mean() for a, b in zip(frames, frames[1:], strict=False)]
    peaks = [share == max(changed[max(0, i - 2) : i + 3]) for i, share in enumerate(changed)]
    return [i + 1 for i, share in enumerate(changed) if peaks[i] and share >= least]


def _timed_frames(path: Path, rate: Fraction) -> Iterator[tuple[float, np.ndarray]]:
    import av

    with _open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        latest, count = -math.inf, 0
        try:
            for frame in container.decode(stream):
                time = frame.time if frame.time is not None else count / float(rate)
                if time > latest:  # a container may repeat a time stamp
                    yield time, _upright(frame)
                    latest, count = time, count + 1
        except av.FFmpegError as error:
            raise SoraError(
                f"{path.name} is damaged after frame {count} ({error.strerror}): encode it again or use another file."
            ) from error


def read_clip(
    path: str | Path,
    *,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    multiple: int = MULTIPLE,
    sound: bool = True,
) -> Clip:
    """A video file (or an animated GIF) as a `Clip`, at most MAX_SECONDS long.

    fps: resample to this rate; None keeps the file's average rate (a variable rate is made constant).
    size: (width, height) to scale and cut to; None keeps the file's, cut to `multiple`.

    Raises SoraError for what is no video, and, before decoding, for what is too long or too large.
    """
    path = Path(path)
    info = probe(path)
    rate = fps or float(info.fps)
    expect(math.isfinite(rate) and 0 < rate <= 240, f"{rate} frames per second: use 1 to 240.")
    expect(
        info.duration <= MAX_SECONDS,
        f"{path.name} is {info.duration:.0f} s of {info.width}x{info.height}; at most {MAX_SECONDS:.0f} s are read. "
        "Cut out the part that you need.",
    )
    fitted_size(info.width, info.height, size, multiple)
    wide, high = size or (info.width, info.height)
    limit = int(MAX_BYTES // (wide * high * 12))
    expect(
        info.duration * rate <= limit,
        f"{path.name} is {info.duration * rate:.0f} frames of {wide}x{high}; {limit} of that size fit into the limit "
        f"of {MAX_BYTES >> 30} GiB. Use a smaller size or a shorter video.",
    )
    frames, source = [], None
    for pixels in resample(_timed_frames(path, info.fps), rate, 1 / float(info.fps)):
        expect(
            len(frames) < min(limit, MAX_SECONDS * rate + 1),
            f"{path.name} is longer than its header says: more than {len(frames)} frames. Cut it.",
        )
        if pixels is source:
            frames.append(frames[-1])
            continue
        source = pixels
        frames.append(fit_frames(torch.from_numpy(pixels)[None].float().div_(255), size, multiple)[0])
    expect(bool(frames), f"{path.name} has no frames.")
    notes = []
    if fps and abs(fps - float(info.fps)) > 1e-3:
        notes.append(f"{path.name}: {float(info.fps):g} to {fps:g} frames per second.")
    height, width = frames[0].shape[:2]
    if (width, height) not in ((info.width, info.height), (info.height, info.width)):
        notes.append(f"{path.name}: {info.width}x{info.height} to {width}x{height}.")
    return Clip(torch.stack(frames), rate, read_audio(path) if sound else None, tuple(notes))


def join_audio(parts: list[tuple[dict[str, Any] | None, float]]) -> dict[str, Any] | None:
    """Sound of a video made of parts: (AUDIO or None for silence, seconds) each. None if all are silent.

    Rate and channels are those of the first that has sound.
    """
    sounds = [sound for sound, _ in parts if sound is not None]
    if not sounds:
        return None
    rate, channels = int(sounds[0]["sample_rate"]), sounds[0]["waveform"].shape[1]
    waves = []
    for sound, seconds in parts:
        length = round(seconds * rate)
        wave = torch.zeros(1, channels, length)
        if sound is not None:
            given = sound["waveform"][:1].float()
            if int(sound["sample_rate"]) != rate:
                scaled = round(given.shape[-1] * rate / int(sound["sample_rate"]))
                given = torch.nn.functional.interpolate(given, size=max(scaled, 1), mode="linear")
            if given.shape[1] != channels:
                given = given.mean(1, keepdim=True).expand(-1, channels, -1)
            count = min(length, given.shape[-1])
            wave[..., :count] = given[..., :count]
        waves.append(wave)
    return {"waveform": torch.cat(waves, -1), "sample_rate": rate}
