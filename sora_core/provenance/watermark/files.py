"""The frames of a file in which a mark is looked for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...files import PICTURES
from ...media.stills import read_still
from ...media.video import iter_frames


def frames_of(path: Path) -> Iterable[Any]:
    """Return the frames `[H,W,3]` of a video or a picture, one by one. Raises SoraError, there or later, for others."""
    return read_still(path) if path.suffix.lower() in PICTURES else iter_frames(path)
