"""Video files in, frame by frame, so that memory does not grow with duration. PyAV decodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..errors import SoraError, expect
from .sizes import frame_bytes
from .view import View, decoded, view_of

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

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
        stream = container.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0
        if not seconds and container.duration:
            seconds = container.duration / 1_000_000
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


def open_video(path: str | Path) -> InputContainer:
    """Open a file that has a picture track. Raises SoraError if there is no such file, or it has none."""
    import av

    path = Path(path)
    expect(path.is_file(), f"There is no video file {str(path)!r}: check the name.")
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise SoraError(
            f"{path.name} cannot be read as a video ({error.strerror}): use an mp4, webm or mov file."
        ) from error
    if not container.streams.video:
        container.close()
        raise SoraError(f"{path.name} has no picture track: use a video file.")
    return container


def decode_frames(path: str | Path, start: float = 0.0) -> Iterator[av.VideoFrame]:
    """Decode the picture track frame by frame, from the key frame at or before `start` seconds on.

    Raises SoraError where the file is damaged, saying after how many frames.
    """
    import av

    count = 0
    with open_video(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        if start > 0 and stream.time_base:
            container.seek(int(start / stream.time_base), stream=stream)
        try:
            for frame in decoded(container, stream):
                yield frame
                count += 1
        except av.FFmpegError as error:
            raise SoraError(
                f"{Path(path).name} is damaged after frame {count} ({error.strerror}): encode it again or use another "
                "file."
            ) from error


def iter_frames(path: str | Path, *, start: float = 0.0, max_frames: int | None = None) -> Iterator[np.ndarray]:
    """Yield frames `[H,W,3]` uint8 as they are shown, from `start` seconds on. Memory holds one frame."""
    with open_video(path) as container:
        view = view_of(container, container.streams.video[0])
    count = 0
    for frame in decode_frames(path, start):
        if max_frames is not None and count >= max_frames:
            return
        # Seeking lands on a key frame, which may lie well before the start.
        if start > 0 and frame.time is not None and frame.time < start - 1e-6:
            continue
        yield view.pixels(frame)
        count += 1


def read_video(
    path: str | Path, *, start: float = 0.0, max_frames: int | None = None, max_bytes: int = MAX_READ_BYTES
) -> tuple[torch.Tensor, Fraction]:
    """Read all frames as `[T,H,W,3]` float 0..1, and the frame rate.

    Raises SoraError if the file is no video, has no frames, or would need more than `max_bytes` of memory.
    """
    info = probe(path)
    limit = max_bytes // max(frame_bytes(info.width, info.height), 1)
    frames: list[torch.Tensor] = []
    for pixels in iter_frames(path, start=start, max_frames=max_frames):
        expect(
            len(frames) < limit,
            f"{Path(path).name} has more than {limit} frames of {info.width}x{info.height}, too many for memory: "
            "cut it or make it smaller.",
        )
        frames.append(torch.from_numpy(pixels))
    expect(bool(frames), f"{Path(path).name} has no frames from {start} s on: use an earlier start.")
    video = torch.stack(frames)
    return video.float().div_(255), info.fps
