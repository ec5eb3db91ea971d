"""Latents of finished long videos: what a render whose shots have changed in part finds again.

They lie in one folder of the user's, for every way in, a file a render. A file is named by what made it: the settings
that all shots share (model, size, sampler, noise levels, seed ...), then everything. In it stands its kind, model and
size alone, by which a locked shot is found. The oldest go first, by number of bytes and by age; a render without them
is made from nothing, as it always was.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ...errors import SoraError
from ...files import user_cache, written_beside
from .spans import SOURCE, Reuse, Span, keep

LIMIT = 512 * 2**20  # bytes of all renders: some hundred minutes of sora-mini, five of 832 x 480 pixels
DAYS = 30  # that one is kept since it was last used
VARIABLE = "SORA_KEPT_RENDERS"  # of the environment: another folder, nothing for none


def usual_folder() -> Path | None:
    """Return where finished renders are kept; None where the user wants none."""
    named = os.environ.get(VARIABLE)
    return user_cache() / "renders" if named is None else Path(named).expanduser() if named.strip() else None


class Finished:
    """The finished renders that are kept."""

    def __init__(self, folder: Path) -> None:
        """Look into `folder`, which need not be there."""
        self.folder = Path(folder)

    def find(self, render: str, family: str, spans: Sequence[Span], overlap: int) -> Reuse | None:
        """Find the render that most of a new one can be kept from, the newest of several; None where there is none.

        render, family: names of all that decides the new one, and of what its shots share. A render of the same
        settings throughout is made as it was: from nothing again, or else from the same latents.
        """
        own = self._path(render, family)
        if own.exists():
            found = read_reuse(own)
            return found if found is not None and found.kept.all() and _patched(own) else None
        best: tuple[int, int, Reuse] | None = None
        for path in self.folder.glob(f"{family[:24]}_*.safetensors"):
            earlier, stamp = read_reuse(path), _stamp(path)
            found = None if earlier is None else keep(earlier.latents, earlier.spans, spans, overlap)
            if found is not None and (best is None or (int(found.kept.sum()), stamp) > best[:2]):
                best, used = (int(found.kept.sum()), stamp, found), path
        if best is None:
            return None
        _touch(used)
        return best[2]

    def find_locked(
        self, render: str, family: str, kind: str, spans: Sequence[Span], overlap: int, locked: Sequence[int]
    ) -> Reuse | None:
        """Find the newest render of a kind that has the locked spans, or most of them; None where none has one.

        One of the same family leaves more, see `find`.
        """
        if self._path(render, family).exists():
            return self.find(render, family, spans, overlap)
        source = [number for number, span in enumerate(spans) if span.key == SOURCE]
        best, count, where = None, 0, Path()
        for path in sorted(self.folder.glob("*.safetensors"), key=_stamp, reverse=True):
            earlier = read_reuse(path) if _about(path).get("kind") == kind else None
            found = (
                None if earlier is None else keep(earlier.latents, earlier.spans, spans, overlap, [*source, *locked])
            )
            has = 0 if found is None else sum(found.has(spans[number]) for number in locked)
            if has > count:
                best, count, where = found, has, path
        if best is None:
            return None
        _touch(where)
        of_family = where.name.startswith(f"{family[:24]}_")
        return (self.find(render, family, spans, overlap) if of_family else None) or best

    def takes(self, total: int, shape: Sequence[int]) -> bool:
        """Say whether a render of `total` latents of `shape` `(C, h, w)` is small enough to be kept."""
        return 4 * total * math.prod(shape) <= LIMIT // 2

    def add(
        self, render: str, family: str, spans: Sequence[Span], latents: Tensor, patched: bool, kind: str = ""
    ) -> None:
        """Keep a finished render. What cannot be written is not. patched: it is from an earlier one."""
        everything = torch.ones(latents.shape[2], dtype=torch.bool)
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_reuse(self._path(render, family), Reuse(latents, everything, everything, tuple(spans)), patched, kind)
            self._clean()
        except (OSError, SoraError):
            return  # the video is there, and that is what was asked for

    def _path(self, render: str, family: str) -> Path:
        return self.folder / f"{family[:24]}_{render[:24]}.safetensors"

    def _clean(self) -> None:
        """Delete what is too old, and the oldest of what is too much."""
        left, oldest = LIMIT, time.time_ns() - DAYS * 86400 * 10**9
        for path in sorted(self.folder.glob("*.safetensors"), key=_stamp, reverse=True):
            left -= path.stat().st_size
            if left < 0 or _stamp(path) < oldest:
                path.unlink(missing_ok=True)


def write_reuse(path: Path, reuse: Reuse, patched: bool = True, kind: str = "") -> None:
    """Write what is kept of a render. Raises SoraError for a full disk."""
    tensors = {"latents": reuse.latents, "kept": reuse.kept.byte(), "known": reuse.known.byte()}
    tensors = {name: value.cpu().contiguous() for name, value in tensors.items()}
    spans = json.dumps([asdict(span) for span in reuse.spans])
    with written_beside(path) as part:
        about = {"spans": spans, "patched": str(int(patched)), "kind": kind}
        save_file({k: v.clone() for k, v in tensors.items()}, part, about)


def read_reuse(path: Path) -> Reuse | None:
    """Read what `write_reuse` wrote; None where there is no such file, or a broken one."""
    try:
        with safe_open(path, "pt") as file:
            spans = tuple(Span(**span) for span in json.loads(file.metadata()["spans"]))
            latents, kept, known = (file.get_tensor(name) for name in ("latents", "kept", "known"))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None
    return Reuse(latents, kept.bool(), known.bool(), spans)


def _patched(path: Path) -> bool:
    return _about(path).get("patched") == "1"


def _about(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError):
        return {}


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _touch(path: Path) -> None:
    with contextlib.suppress(OSError):
        os.utime(path)
