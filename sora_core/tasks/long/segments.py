"""The finished segments of a long render, on disk: what a render that was stopped goes on from."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ...errors import SoraError, expect
from ...files import ensure_writable, written_beside
from .rolling import Segment

FORMAT = 4  # of the folder: a render of another format is refused
_TENSORS = ("final", "context", "tail", "mean", "std", "places")


def digest(values: Mapping[str, Any]) -> str:
    """Name everything that decides a result: numbers, texts, lists, and tensors by their content (SHA-256)."""

    def plain(value: Any) -> Any:
        if isinstance(value, Tensor):
            # As float32, so that it names the same values whatever the precision that they were kept in.
            data = value.detach().cpu().float().contiguous()
            return [list(data.shape), hashlib.sha256(data.numpy().tobytes()).hexdigest()]
        if isinstance(value, Mapping):
            return {str(k): plain(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(v) for v in value]
        return value if isinstance(value, (str, int, float, bool, type(None))) else repr(type(value))

    text = json.dumps(plain(values), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class SegmentFolder:
    """The finished segments of one render, a file each."""

    def __init__(self, folder: Path, fingerprint: str, segments: int) -> None:
        """Open or make the folder of the render that `fingerprint` names, of `segments` segments in all.

        Raises SoraError when it holds those of another, or cannot be written.
        """
        self.folder, self.segments = Path(folder), segments
        ensure_writable(self.folder)
        plan = self.folder / "plan.json"
        found = _read_plan(plan)
        if found is None:
            with written_beside(plan) as part:
                part.write_text(json.dumps({"format": FORMAT, "render": fingerprint, "segments": segments}))
        else:
            expect(
                found.get("format") == FORMAT and found.get("render") == fingerprint,
                f"{self.folder} holds an unfinished render with other settings. Finish that one, delete the folder, "
                "or choose another name.",
            )

    def path(self, index: int) -> Path:
        """Name the file of segment `index`."""
        return self.folder / f"segment_{index:05d}.safetensors"

    def finished(self) -> int:
        """Count the segments that are there, from the first on without a gap."""
        count = 0
        while count < self.segments and self.read(count) is not None:
            count += 1
        return count

    def write(self, index: int, segment: Segment) -> None:
        """Write segment `index`, under its name only once it is complete."""
        tensors = {name: getattr(segment, name).contiguous() for name in _TENSORS}
        extra = {"made": str(segment.made), "shot": str(segment.shot), "stream": str(int(segment.stream))}
        with written_beside(self.path(index)) as part:
            save_file(tensors, part, extra)

    def read(self, index: int) -> Segment | None:
        """Read segment `index`; None where there is no file of it, or a broken one."""
        try:
            with safe_open(self.path(index), "pt") as file:
                extra = file.metadata()
                tensors = {name: file.get_tensor(name) for name in _TENSORS}
        except (OSError, SafetensorError):
            return None
        return Segment(**tensors, made=int(extra["made"]), shot=int(extra["shot"]), stream=extra["stream"] == "1")

    def latents(self, total: int) -> Iterator[Tensor]:
        """Read the latents of the whole video in order, one file at a time, `total` in all.

        Raises SoraError when a file has disappeared.
        """
        return pieces_of((self.take(index) for index in range(self.segments)), self.segments, total)

    def take(self, index: int) -> Segment:
        """Read segment `index`. Raises SoraError when its file has disappeared."""
        segment = self.read(index)
        if segment is None:
            raise SoraError(f"{self.path(index).name} has disappeared. Start the render again.")
        return segment

    def remove(self) -> None:
        """Delete the folder, once the video is written."""
        shutil.rmtree(self.folder, ignore_errors=True)


def pieces_of(segments: Iterable[Segment], count: int, total: int) -> Iterator[Tensor]:
    """Yield the latents of a video, `total` in all, as its `count` segments come."""
    left = total
    for index, segment in enumerate(segments):
        # A tail is made again with the next segment; the last one's is final.
        last = index == count - 1
        part = torch.cat((segment.final, segment.tail), 2) if last else segment.final
        if left > 0 and part.shape[2]:
            yield part[:, :, :left]
        left -= part.shape[2]


def _read_plan(path: Path) -> dict[str, Any] | None:
    """Read the plan of a render: None where there is none, empty where it is broken, which no render's plan equals."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else {}


def segments_beside(path: Path) -> Path:
    """Name the folder of a render's segments: hidden, next to the video."""
    return path.with_name(f".{path.stem}.segments")
