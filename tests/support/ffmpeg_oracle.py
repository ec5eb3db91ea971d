"""ffmpeg, which makes the files that tests read and says what is in them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np


def ffmpeg(*options: str | Path) -> bytes:
    """Run ffmpeg; returns what it wrote to its output."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, options)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-500:]
    return done.stdout


def frames_by_ffmpeg(path: Path, width: int, height: int, *options: str | Path) -> np.ndarray:
    """Decode `[T,height,width,3]` uint8 as ffmpeg shows it; options: what comes between the input and the output."""
    raw = ffmpeg("-i", path, *options, "-fps_mode", "passthrough", "-pix_fmt", "rgb24", "-f", "rawvideo", "-")
    return np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)
