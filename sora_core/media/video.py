"""Video files in, frame by frame, so that memory does not grow with duration. PyAV decodes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..errors import expect
from ..safety.gate import tell
from .frames import resample
from .packets import Damage, decoded
from .sizes import check_source, frame_bytes
from .threads import use_threads
from .timing import read_timing
from .tracks import open_video, picture_stream
from .view import View, decoder_of, view_of

if TYPE_CHECKING:
    import av

# Decoded video as float32 is large: 10 s of 1080p is 7 GB. Refuse more than this in one piece.
MAX_READ_BYTES = 8 << 30


@dataclass
class VideoInfo:
    """What a video file says about itself."""

    width: int  # pixels, as the picture is shown
    height: int  # pixels, as the picture is shown
    fps: Fraction  # on average, where the rate varies
    frames: int  # estimated where the container does not count them
    duration: float  # seconds
    codec: str
    has_audio: bool
    metadata: dict[str, str] = field(default_factory=dict)
    view: View = field(default_factory=View)


def probe(path: str | Path) -> VideoInfo:
    """Read size, rate, length and metadata of a video file. Raises SoraError if it is none."""
    with open_video(path) as container:
        stream = picture_stream(container)
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
        if not seconds and container.duration:
            seconds = container.duration / 1_000_000
            # Matroska counts from 0, wherever its first frame is: a piece of a long recording may begin hours later.
            if "matroska" in container.format.name:
                seconds -= max(container.start_time or 0, 0) / 1_000_000
        view = view_of(container, stream)
        width, height = view.size(stream.width, stream.height)
        return VideoInfo(
            width=width,
            height=height,
            fps=Fraction(rate),
            frames=stream.frames or round(seconds * rate),
            duration=seconds,
            codec=stream.codec_context.name,
            has_audio=bool(container.streams.audio),
            metadata=dict(container.metadata),
            view=view,
        )


# Codecs whose frames are decoded side by side. Others are not: Theora's come out wrong at times on a busy machine.
FRAME_THREADED = {"av1", "ffv1", "h264", "hevc", "libdav1d", "mjpeg", "mpeg4", "prores", "vp8", "vp9"}


def decode_frames(
    path: str | Path, notes: list[str] | None = None, damage: Damage | None = None
) -> Iterator[av.VideoFrame]:
    """Decode the picture track frame by frame: of a damaged file, or one that is cut short, all that can be.

    notes: where it is told of what is missing; None tells whoever listens, see `safety.gate.noting`. damage: is kept up
    to date.

    Raises SoraError where not a single frame can be decoded.
    """
    path, damage, count = Path(path), Damage() if damage is None else damage, 0
    for threads in ("AUTO", "SLICE"):
        found = 0
        damage.begin_anew()
        with open_video(path) as container:
            stream = picture_stream(container)
            threads = threads if stream.codec_context.name in FRAME_THREADED else "SLICE"
            stream.thread_type = threads
            use_threads(stream)
            for frame in decoded(container, stream, damage, decoder_of(stream)):
                if threads == "AUTO" and damage.broken:
                    break
                found += 1
                if found > count:
                    count += 1
                    yield frame
        # Threads that decode frames side by side lose some where one is damaged. Then those that are still to come are
        # decoded anew, one after the other.
        if threads == "SLICE" or not (damage or found < damage.read):
            break
    if note := damage.note(path):
        expect(
            count > 0 or not damage.broken,
            f"{path.name} is damaged and holds no frame that can be decoded ({damage.reason}): use another file.",
        )
        if notes is None:
            tell(note)
        elif note not in notes:
            notes.append(note)


def timed_frames(
    path: str | Path, start: float = 0.0, notes: list[str] | None = None
) -> Iterator[tuple[float, np.ndarray]]:
    """Yield frames `[H,W,3]` uint8, as they are shown, with their times in seconds from the first frame's, which rise.

    start: seconds before which frames are left out. notes: see `decode_frames`. Memory holds one frame.
    """
    view, damage = _view(path), Damage()
    for time, frame in read_timing(path).timed(decode_frames(path, notes, damage), lambda: bool(damage)):
        if time >= start - 1e-6:
            yield time, view.pixels(frame)


def _view(path: str | Path) -> View:
    with open_video(path) as container:
        return view_of(container, picture_stream(container))


def iter_frames(path: str | Path, *, start: float = 0.0, max_frames: int | None = None) -> Iterator[np.ndarray]:
    """Yield all frames `[H,W,3]` uint8 in order, as they are shown, from `start` seconds on. Memory holds one frame."""
    if start > 0:
        yield from itertools.islice((pixels for _, pixels in timed_frames(path, start)), max_frames)
    else:
        yield from map(_view(path).pixels, itertools.islice(decode_frames(path), max_frames))


def steady_frames(path: str | Path, start: float = 0.0) -> Iterator[np.ndarray]:
    """Yield frames `[H,W,3]` uint8 at the rate of `read_timing(path)`, from `start` seconds on.

    Those of a constant rate are all frames in order; where it varies, each moment gets the frame that is nearest.
    """
    timing = read_timing(path)
    if timing.constant:
        return iter_frames(path, start=start)
    return resample(timed_frames(path, start), float(timing.rate), timing.last)


def read_video(
    path: str | Path, *, start: float = 0.0, max_frames: int | None = None, max_bytes: int = MAX_READ_BYTES
) -> tuple[torch.Tensor, Fraction]:
    """Read all frames as `[T,H,W,3]` float 0..1, and the frame rate.

    A variable rate becomes constant, the mean: each moment gets the frame that is nearest.

    Raises SoraError if the file is no video, has no frames, or would need more than `max_bytes` of memory.
    """
    expect(max_frames is None or max_frames > 0, f"max_frames is {max_frames}: use at least 1, or None for all.")
    info = probe(path)
    check_source(Path(path).name, info.width, info.height)
    timing = read_timing(path)
    rate = timing.rate
    limit = max_bytes // max(frame_bytes(info.width, info.height), 1)
    too_many = (
        f"{Path(path).name} has more than {limit} frames of {info.width}x{info.height}, too many for memory: "
        "cut it or make it smaller."
    )
    # By its packets, before one is decoded. They may be wrong: so frames are counted too.
    wanted = math.floor((timing.duration - start) * rate)
    expect(min(wanted, wanted if max_frames is None else max_frames) <= limit, too_many)
    frames: list[torch.Tensor] = []
    for pixels in itertools.islice(steady_frames(path, start), max_frames):
        expect(len(frames) < limit, too_many)
        frames.append(torch.from_numpy(pixels))
    expect(bool(frames), f"{Path(path).name} has no frames from {start} s on: use an earlier start.")
    video = torch.stack(frames)
    return video.float().div_(255), rate
