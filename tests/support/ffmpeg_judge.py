"""What ffmpeg makes of a file, and files that it makes: the judge of our reading and saving."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path

import numpy as np
from PIL import Image

WHITE = "over white"  # in place of filters: transparency is laid over white


def draw(
    path: Path,
    picture: str | Path,
    *options: str,
    second: str | Path | None = None,
    sound: str | None = None,
    picture_late: float = 0.0,
    sound_late: float = 0.0,
    before: tuple[str, ...] = (),
) -> Path:
    """Make a file of inputs: what lavfi draws, or a file's path. `before` are options of the first input."""
    command = []
    for given, late in ((picture, picture_late), (second, 0.0), (sound, sound_late)):
        if given is not None:
            kind = [] if isinstance(given, Path) else ["-f", "lavfi"]
            command += ["-itsoffset", str(late), *kind, *(before if given is picture else ()), "-i", str(given)]
    ffmpeg(*command, *options, str(path))
    return path


def decoded(path: Path, shown: str = "") -> list[np.ndarray]:
    """Read all frames `[H,W,3]` uint8 by ffmpeg, turned as the file says."""
    form = "rgba" if shown == WHITE else "rgb24"
    chain = f"{shown if shown != WHITE else ''}{',' * (shown not in ('', WHITE))}format={form}"
    wide, high = _size(path, chain)
    flags = ["-sws_flags", "bicubic+accurate_rnd+full_chroma_int"]
    # In one thread: with several, ffmpeg itself gives wrong frames of Theora at times.
    command = [
        "-threads",
        "1",
        "-i",
        str(path),
        "-map",
        "0:v:0",
        *flags,
        "-vf",
        chain,
        "-vsync",
        "passthrough",
        "-f",
        "rawvideo",
        "-",
    ]
    data = np.frombuffer(ffmpeg(*command), np.uint8)
    frames = data.reshape(-1, high, wide, len(form) if shown == WHITE else 3)
    if shown == WHITE:
        alpha = frames[..., 3:] / 255
        frames = np.round(frames[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return list(frames)


def _size(path: Path, chain: str) -> tuple[int, int]:
    command = ["-i", str(path), "-map", "0:v:0", "-vf", chain, "-frames:v", "1", "-f", "image2pipe", "-c:v", "bmp", "-"]
    with Image.open(io.BytesIO(ffmpeg(*command))) as picture:
        return picture.size


def heard_by_ffmpeg(path: Path) -> list[np.ndarray]:
    """Read the sound by ffmpeg, a wave for each channel."""
    data = np.frombuffer(ffmpeg("-i", str(path), "-map", "0:a:0", "-f", "f32le", "-"), np.float32)
    channels = int(_probed(path, "a", "stream=channels"))
    return list(data.reshape(-1, channels).T)


def rate_of(path: Path) -> int:
    """Return the samples per second of the sound."""
    return int(_probed(path, "a", "stream=sample_rate"))


def first_time(path: Path, kind: str) -> float:
    """Return the time stamp of the first frame of a track "v" or "a"."""
    return float(_probed(path, kind, "frame=pts_time", "-read_intervals", "%+#8"))


def _probed(path: Path, kind: str, entry: str, *options: str) -> str:
    command = [
        "ffprobe",
        "-v",
        "error",
        *options,
        "-select_streams",
        f"{kind}:0",
        "-show_entries",
        entry,
        "-of",
        "json",
    ]
    data = json.loads(subprocess.run([*command, str(path)], capture_output=True, check=True).stdout)
    section, name = entry.split("=")
    return str(next(row[name] for row in data[f"{section}s"] if name in row))


def ffmpeg(*arguments: str) -> bytes:
    command = ["ffmpeg", "-v", "error", "-y", "-max_error_rate", "1", *arguments]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise RuntimeError(f"ffmpeg {' '.join(arguments)}: {done.stderr.decode()[-400:]}")
    return done.stdout
