"""A user's own videos as training shards: `sora train data --videos FOLDER`.

Each video has a caption beside it, `clip.txt` for `clip.mp4`. Several lines are several captions of the same video, of
which training draws one at a time. Videos are resampled to the model's frame rate, fitted to the size whose shape is
nearest to theirs, and cut into clips. Pictures are clips of one frame.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
from torch import Tensor

from ...errors import SoraError, expect
from ...files import COMMON_PICTURES, VIDEOS, ensure_writable
from ...media.clips import read_clip
from ...media.frames import fit_frames
from ...media.stills import read_still
from .shards import open_buckets, shape_name

STILLS = COMMON_PICTURES
SIZES = ((128, 128), (160, 96), (96, 160))  # width, height at which sora-mini is at home
SHORTEST = 5  # frames of the shortest clip
MANIFEST = "videos.json"


def captioned(folder: Path, caption: str = "") -> list[tuple[Path, list[str]]]:
    """Find the videos and pictures of a folder (and of those in it) with their captions; `caption` for what has none.

    Raises SoraError, naming the files, when there are none or captions are missing.
    """
    folder = Path(folder)
    expect(folder.is_dir(), f"There is no folder {str(folder)!r}: give the one that holds your videos.")
    found: list[tuple[Path, list[str]]] = []
    bare: list[str] = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEOS + STILLS):
        beside = path.with_suffix(".txt")
        try:
            lines = [line.strip() for line in beside.read_text(encoding="utf-8").splitlines() if line.strip()]
        except FileNotFoundError:
            lines = []
        except (OSError, UnicodeDecodeError) as error:
            raise SoraError(f"{beside.name} cannot be read as UTF-8 text ({error}): save it again.") from None
        if not lines and caption:
            lines = [caption]
        found.append((path, lines))
        bare += [] if lines else [path.name]
    expect(bool(found), f"{folder} holds no videos. Put {', '.join(VIDEOS[:3])} files there, each with a .txt beside.")
    expect(
        not bare,
        f"{len(bare)} of {len(found)} files have no caption: {', '.join(bare[:4])}{' ...' if len(bare) > 4 else ''}.\n"
        "Write what each shows into a .txt of the same name, let `sora caption FOLDER` do it, or give one --caption.",
    )
    return found


def nearest_size(width: int, height: int, sizes: tuple[tuple[int, int], ...] = SIZES) -> tuple[int, int]:
    """Return the one of `sizes` (width, height) whose shape is nearest."""
    return min(sizes, key=lambda size: abs(math.log(size[0] / size[1]) - math.log(width / height)))


def cut(frames: int, length: int) -> list[tuple[int, int]]:
    """Return first and end frame of each clip of a video of so many frames: `length` each, side by side.

    What is left at the end makes one more, which overlaps, if it is half as long. A short video is one clip of 1 + 4k
    frames, or none.
    """
    if frames < length:
        whole = 1 + (frames - 1) // 4 * 4
        return [(0, whole)] if whole >= SHORTEST else []
    clips = [(start, start + length) for start in range(0, frames - length + 1, length)]
    if frames - clips[-1][1] >= length / 2:
        clips.append((frames - length, frames))
    return clips


def import_videos(
    folder: Path,
    out: Path,
    *,
    fps: float = 8,
    frames: int = 17,
    sizes: tuple[tuple[int, int], ...] = SIZES,
    caption: str = "",
) -> int:
    """Write the videos of `folder` as shards into `out` (see `data.shards`); returns the number of clips.

    fps: of the clips; frames: of one, at most; sizes: (width, height) to choose from. Shards that were made of the same
    files are kept as they are. Raises SoraError, naming the file, for what cannot be read, is too short or has no
    caption, and when `out` holds shards of something else.
    """
    entries = captioned(folder, caption)
    manifest = {
        "fps": fps,
        "frames": frames,
        "sizes": [list(size) for size in sizes],
        "files": [[p.name, p.stat().st_size, p.stat().st_mtime_ns, lines] for p, lines in entries],
    }
    out = Path(out)
    made = out / MANIFEST
    if made.exists() and json.loads(made.read_text()) == manifest:
        return sum(len(bucket) for bucket in open_buckets(out))
    expect(
        not [f for f in out.glob("*x*x*") if f.suffix != ".part"],
        f"{out} holds shards of something else (or of files that have changed). Use another --out, or empty it.",
    )
    ensure_writable(out)
    writers: dict[str, _Shard] = {}
    for path, lines in entries:
        video = _frames(path, fps, sizes)
        clips = cut(len(video), frames) if len(video) > 1 else [(0, 1)]
        expect(
            bool(clips),
            f"{path.name} is {len(video)} frames at {fps:g} a second; a clip has at least {SHORTEST}. Take it out.",
        )
        for start, end in clips:
            pixels = (video[start:end] * 255).round().byte().numpy()
            name = shape_name(*pixels.shape[:3])
            if name not in writers:
                writers[name] = _Shard(out / name)
            fact = {"captions": lines, "source": path.name, "start": start, "frames": end - start, "fps": fps}
            writers[name].add(pixels, fact)
    for writer in writers.values():
        writer.finish()
    made.write_text(json.dumps(manifest, ensure_ascii=False))
    return sum(len(writer.facts) for writer in writers.values())


def _frames(path: Path, fps: float, sizes: tuple[tuple[int, int], ...]) -> Tensor:
    """Read a video or picture as `[T,H,W,3]` float 0..1 at `fps`, in the size whose shape is nearest."""
    if path.suffix.lower() in STILLS:
        still = read_still(path)
        return fit_frames(still, nearest_size(still.shape[2], still.shape[1], sizes))
    from ...media.video import iter_frames

    # The header's size is that before a phone's video is turned upright.
    height, width = next(iter_frames(path, max_frames=1)).shape[:2]
    return read_clip(path, fps=fps, size=nearest_size(width, height, sizes), sound=False).frames


class _Shard:
    """Clips of one shape, spooled one by one, so that memory holds one video however many there are."""

    def __init__(self, final: Path) -> None:
        self.final, self.part = final, final.with_name(final.name + ".part")
        shutil.rmtree(self.part, ignore_errors=True)  # of a run that was stopped
        self.part.mkdir(parents=True)
        self.facts: list[dict] = []

    def add(self, pixels: np.ndarray, fact: dict) -> None:
        """Spool a clip uint8 `[T,H,W,3]` and what is known of it."""
        np.save(self.part / f"clip{len(self.facts)}.npy", pixels)
        self.facts.append(fact)

    def finish(self) -> None:
        """Write one memory map of all clips. Nobody knows where their subjects are: alpha and labels are zero."""
        spooled = [self.part / f"clip{i}.npy" for i in range(len(self.facts))]
        t, h, w = np.load(spooled[0], mmap_mode="r").shape[:3]
        count = len(spooled)
        whole = np.lib.format.open_memmap(self.part / "frames.npy", "w+", np.uint8, (count, t, h, w, 3))
        for i, path in enumerate(spooled):
            whole[i] = np.load(path)
            path.unlink()
        whole.flush()
        np.save(self.part / "alpha.npy", np.zeros((count, t, h // 4, w // 4), np.uint8))
        np.save(self.part / "labels.npy", np.zeros((count, 1 + (t - 1) // 4, h // 16, w // 16), np.uint8))
        lines = "".join(json.dumps(fact, ensure_ascii=False) + "\n" for fact in self.facts)
        (self.part / "facts.jsonl").write_text(lines, encoding="utf-8")
        os.replace(self.part, self.final)
