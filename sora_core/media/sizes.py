"""From seconds, frame rate and aspect to a clip that a model can make, and the limits of what is worked on.

A side is limited by MAX_SIDE, a clip by its memory (MAX_BYTES): a long clip must be small, a large one short.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from ..errors import expect
from ..memory import expect_memory

if TYPE_CHECKING:
    from torch import Tensor

MAX_SIDE = 8192  # pixels, of anything that is read or made
MAX_RATE = 120  # frames per second, of a clip that is made; files are read and written at more
LEAST_RATE = 0.001  # a frame in 1000 seconds: files hold no slower ones
MAX_FRAMES = 481  # of one clip: a minute at 8 frames per second
MAX_BYTES = 4 << 30  # of the frames of one clip as float32
MAX_READ_PIXELS = 40_000_000  # of one frame of a video that is read and scaled: 8K has 33 million
# Width over height. "as set" takes width and height as they are.
ASPECTS: dict[str, tuple[int, int] | None] = {
    "as set": None,
    "1:1": (1, 1),
    "16:9": (16, 9),
    "9:16": (9, 16),
    "5:3": (5, 3),
    "3:5": (3, 5),
    "4:3": (4, 3),
    "3:4": (3, 4),
    "21:9": (21, 9),
}


@dataclass(frozen=True)
class ClipSize:
    """Length, size and rate of a clip."""

    frames: int  # 1 + temporal ratio * k
    width: int  # pixels
    height: int  # pixels
    fps: float
    notes: tuple[str, ...] = ()  # what was rounded, one sentence each

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.frames / self.fps


def plan_clip(
    seconds: float,
    fps: float,
    width: int,
    height: int,
    aspect: str = "as set",
    temporal_ratio: int = 4,
    multiple: int = 16,
    first: int = 1,
) -> ClipSize:
    """Plan the clip that is nearest to what was asked for.

    aspect: a key of `ASPECTS`; other than "as set" it keeps the area width * height and changes the sides.
    multiple: of pixels, that both sides must be: the VAE's ratio times the patch. first: frames of the shortest clip,
    others are longer by multiples of the ratio.

    Raises SoraError for values out of range, and for sides that are no multiple. Those are never rounded silently,
    because a picture that goes with the clip would no longer fit.
    """
    check_seconds(seconds)
    check_rate(fps)
    expect(aspect in ASPECTS, f"There is no aspect {aspect!r}: use one of {', '.join(ASPECTS)}.")
    check_size(width, height, multiple)
    notes = []
    ratio = ASPECTS[aspect]
    if ratio is not None:
        area = width * height
        wanted = (math.sqrt(area * ratio[0] / ratio[1]), math.sqrt(area * ratio[1] / ratio[0]))
        width, height = (max(multiple, round(side / multiple) * multiple) for side in wanted)
        if any(abs(side - got) > 0.5 for side, got in zip(wanted, (width, height), strict=True)):
            notes.append(f"{aspect} rounded to {width}x{height}, multiples of {multiple}.")
    asked = seconds * fps
    frames = nearest_length(asked, temporal_ratio, first)
    return ClipSize(frames, width, height, fps, (*notes, *rounded_length(asked, frames, fps, temporal_ratio, first)))


def rounded_length(asked: float, frames: int, fps: float, temporal_ratio: int = 4, first: int = 1) -> tuple[str, ...]:
    """Say that `asked` frames became `frames`, if they did. first: frames of the shortest clip."""
    if abs(asked - frames) <= 1e-6:
        return ()
    return (f"{asked:g} frames rounded to {frames} ({first} + {temporal_ratio}k), {frames / fps:.2f} s.",)


def plan_frames(seconds: float, fps: float, ratio: int = 4) -> int:
    """Return how many frames a clip of `seconds` has: the nearest `1 + ratio * k`, at least 1.

    Raises SoraError for a duration or rate out of range, and for more than MAX_FRAMES.
    """
    check_seconds(seconds)
    check_rate(fps)
    frames = nearest_length(seconds * fps, ratio)
    expect(
        frames <= MAX_FRAMES,
        f"{seconds} s at {fps} frames per second are {frames} frames; one clip has at most {MAX_FRAMES}. "
        "Make a shorter one, or a long video in segments.",
    )
    return frames


def nearest_length(frames: float, temporal_ratio: int = 4, first: int = 1) -> int:
    """Round `frames` to the nearest first + ratio * k, at least the first. Between two it is the longer one.

    Raises SoraError for more than can be counted.
    """
    expect(frames < 1 << 53, "That is more frames than a video can have: make a shorter one.")
    return first + temporal_ratio * max(0, math.floor((frames - first) / temporal_ratio + 0.5))


def check_seconds(seconds: float, most: float = math.inf) -> None:
    """Raise SoraError unless `seconds` is a duration above 0, at most `most`. NaN and infinity are none."""
    limit = f", at most {most:g}" if math.isfinite(most) else ""
    expect(math.isfinite(seconds) and 0 < seconds <= most, f"The duration is {seconds} s. Use seconds above 0{limit}.")


def check_rate(fps: float | Fraction, most: float = MAX_RATE) -> None:
    """Raise SoraError unless `fps` is a frame rate above 0, at most `most`; a new video has LEAST_RATE at least."""
    expect(math.isfinite(fps) and 0 < fps <= most, f"The frame rate is {fps}. Use a rate above 0, at most {most:g}.")
    expect(
        most != MAX_RATE or fps >= LEAST_RATE,
        f"The frame rate is {fps}. Use a rate of at least {LEAST_RATE}, at most {most:g}.",
    )


def check_size(width: int, height: int, multiple: int) -> None:
    """Raise SoraError unless width and height are sides, see `check_side`."""
    check_side("width", width, multiple)
    check_side("height", height, multiple)


def check_side(name: str, value: int, multiple: int = 16) -> None:
    """Raise SoraError unless `value` is a positive multiple, naming the two nearest ones, and at most MAX_SIDE."""
    below = value // multiple * multiple
    near = f"{below} or {below + multiple}" if below > 0 else str(multiple)
    expect(value <= MAX_SIDE, f"{name} is {value}: use at most {MAX_SIDE}.")
    expect(value > 0 and value % multiple == 0, f"{name} is {value}, not a multiple of {multiple}: use {near}.")


def check_pixels(frames: int, width: int, height: int) -> None:
    """Raise SoraError when float frames `[frames,height,width,3]` need more than MAX_BYTES, or than what is free."""
    needed = frames * frame_bytes(width, height)
    expect(
        needed <= MAX_BYTES,
        f"{frames} frames of {width}x{height} need {needed / (1 << 30):.2f} GiB; a clip may have "
        f"{MAX_BYTES >> 30} GiB. Use a smaller size or fewer frames.",
    )
    expect_memory(needed, f"{frames} frames of {width}x{height}", "use a smaller size or fewer frames.")


def check_source(name: str, width: int, height: int) -> None:
    """Raise SoraError when a frame of the video `name` has more than MAX_READ_PIXELS: scaling takes ten times it."""
    expect(
        width * height <= MAX_READ_PIXELS,
        f"{name} says its frames are {width}x{height}; at most {MAX_READ_PIXELS // 1_000_000} million pixels are read. "
        "Make it smaller.",
    )


def frame_bytes(width: int, height: int) -> int:
    """Return the bytes of one frame of three colours as float32."""
    return width * height * 3 * 4


def crop_frames(images: Tensor, temporal_ratio: int = 4, multiple: int = 16, first: int = 1) -> Tensor:
    """Cut IMAGE `[T,H,W,C]` to first + ratio * k frames and to sides that are multiples.

    Frames are cut from the end, sides about the centre. What is shorter than the first length becomes a still.

    Raises SoraError when there are no frames, or a side is shorter than one multiple.
    """
    frames, height, width = images.shape[:3]
    expect(frames > 0, "There are no frames: connect a picture or a video.")
    for name, side in (("width", width), ("height", height)):
        expect(side >= multiple, f"The frames' {name} is {side}: it must be at least {multiple}.")
    top, left = height % multiple // 2, width % multiple // 2
    frames = first + (frames - first) // temporal_ratio * temporal_ratio if frames >= first else 1
    return images[:frames, top : top + height // multiple * multiple, left : left + width // multiple * multiple]
