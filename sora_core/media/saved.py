"""Look into a file that was just written: whether it holds what was put in."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..errors import SoraError
from .packets import Damage
from .tracks import open_video, sound_stream
from .video import decode_frames


class NotSavedError(SoraError):
    """A file does not hold what was written."""


def check_saved(part: Path, name: str, frames: int, *, sound: bool, source: Path | None = None) -> Damage:
    """Decode the file `part`, that is to be called `name`. Returns what could not be of it.

    Raises NotSavedError unless it has its frames and its sound.

    source: the file it was copied from. Its frames are counted too if `frames`, its packets, are not those found.
    """
    damage = Damage()
    try:
        found = count_frames(decode_frames(part, [], damage))
        with open_video(part) as container:
            heard = sound_stream(container) is not None
    except SoraError as error:
        raise NotSavedError(
            f"{name} was written and cannot be read again ({error}). It was not kept: try again."
        ) from error
    if found != frames and source is not None:
        frames = count_frames(decode_frames(source, []))
    if found != frames:
        raise NotSavedError(
            f"{name} holds {found} frames after it was written, and should hold {frames}. It was not kept: save the "
            "frames anew, or use another disk."
        )
    if sound and not heard:
        raise NotSavedError(f"{name} has no sound after it was written, and should have some. It was not kept.")
    return damage


def count_frames(frames: Iterable[object]) -> int:
    """Count frames as they come, so that none is kept."""
    return sum(1 for _ in frames)
