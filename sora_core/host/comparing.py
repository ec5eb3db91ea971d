"""Videos in the temp folder, for a node to show."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..media.write import write_video
from ..pipeline.sources import take_clip
from .desk.folders import Folders


@dataclass(frozen=True)
class ShownVideo:
    """A preview that was written."""

    path: Path
    subfolder: str  # of the temp folder
    fps: float
    frames: int
    width: int  # pixels
    height: int  # pixels


def preview_video(folders: Folders, video: Any, fps: float) -> ShownVideo:
    """Write a VIDEO, or frames `[T,H,W,C]` of the rate `fps`, to the temp folder.

    Every frame passes the gate on its way, as in all files. As other previews it is neither marked nor signed. Raises
    SoraError for what is no video, and for one that is too long or too large.
    """
    clip = take_clip(video, 1, usual_fps=fps)
    height, width = clip.frames.shape[1:3]
    # A name of its own each time, or a browser would show the one that it remembers.
    path, subfolder = folders.next_file(f"compare_{uuid.uuid4().hex[:8]}", ".mp4", "temp", width, height)
    count = write_video(path, clip.frames[..., :3], clip.fps)
    return ShownVideo(path, subfolder, float(clip.fps), count, width, height)
