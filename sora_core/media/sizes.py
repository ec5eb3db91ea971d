"""From seconds, frame rate and aspect to a clip that a model can make, and what had to be rounded."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import expect

MAX_SIDE = 1024  # pixels, of one clip
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
    """A clip of `frames` (1 + temporal ratio * k) frames. `notes` say what was rounded, one sentence each."""

    frames: int
    width: int
    height: int
    fps: float
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        return self.frames / self.fps


def plan_clip(
    seconds: float,
    fps: float,
    width: int,
    height: int,
    aspect: str = "as set",
    temporal_ratio: int = 4,
    multiple: int = 16,
) -> ClipSize:
    """The clip nearest to what was asked for.

    aspect: a key of `ASPECTS`; other than "as set" it keeps the area width * height and changes the sides.
    multiple: of pixels, that both sides must be: the VAE's ratio times the patch.

    Raises SoraError for values out of range, and for sides that are no multiple (those are never rounded
    silently: a picture that goes with the clip would no longer fit).
    """
    expect(math.isfinite(seconds) and seconds > 0, f"seconds is {seconds}: use a number above 0.")
    expect(math.isfinite(fps) and fps > 0, f"fps is {fps}: use a number above 0.")
    expect(aspect in ASPECTS, f"There is no aspect {aspect!r}: use one of {', '.join(ASPECTS)}.")
    check_side("width", width, multiple)
    check_side("height", height, multiple)
    notes = []
    ratio = ASPECTS[aspect]
    if ratio is not None:
        area = width * height
        wanted = (math.sqrt(area * ratio[0] / ratio[1]), math.sqrt(area * ratio[1] / ratio[0]))
        width, height = (max(multiple, round(side / multiple) * multiple) for side in wanted)
        if any(abs(side - got) > 0.5 for side, got in zip(wanted, (width, height), strict=True)):
            notes.append(f"{aspect} rounded to {width}x{height}, multiples of {multiple}.")
    asked = seconds * fps
    frames = nearest_length(asked, temporal_ratio)
    if abs(asked - frames) > 1e-6:
        notes.append(f"{asked:g} frames rounded to {frames} (1 + {temporal_ratio}k), {frames / fps:.2f} s.")
    return ClipSize(frames, width, height, fps, tuple(notes))


def nearest_length(frames: float, temporal_ratio: int = 4) -> int:
    """The number 1 + ratio * k that is nearest to `frames`; at least 1, the longer one when between two."""
    return 1 + temporal_ratio * max(0, math.floor((frames - 1) / temporal_ratio + 0.5))


def check_side(name: str, value: int, multiple: int = 16) -> None:
    """Raise SoraError unless `value` is a positive multiple, naming the two nearest ones."""
    below = value // multiple * multiple
    near = f"{below} or {below + multiple}" if below > 0 else str(multiple)
    expect(value > 0 and value % multiple == 0, f"{name} is {value}, not a multiple of {multiple}: use {near}.")


def crop_frames(images, temporal_ratio: int = 4, multiple: int = 16):
    """IMAGE `[T,H,W,C]` cut to 1 + ratio * k frames (from the end) and sides that are multiples (about
    the centre).

    Raises SoraError when a side is shorter than one multiple.
    """
    frames, height, width = images.shape[:3]
    expect(frames > 0, "There are no frames: connect a picture or a video.")
    for name, side in (("width", width), ("height", height)):
        expect(side >= multiple, f"The frames' {name} is {side}: it must be at least {multiple}.")
    top, left = height % multiple // 2, width % multiple // 2
    frames = 1 + (frames - 1) // temporal_ratio * temporal_ratio
    return images[:frames, top : top + height // multiple * multiple, left : left + width // multiple * multiple]
