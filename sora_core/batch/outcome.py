"""How a job ended, in words: done, refused by the policy, or failed, and whether others would fail alike."""

from __future__ import annotations

import io
import platform
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..about import VERSION
from ..errors import NO_MEMORY, SoraError, is_out_of_memory, words_for_input
from ..files import PICTURES, DiskFullError
from ..media.video import iter_frames, probe
from ..safety.frames import FramesBlocked
from ..safety.prompts.check import PromptBlocked
from .jobs import Input, Job, Weights
from .records import FAILED, REFUSED
from .work import Made

PICTURE = 192  # pixels of the longer side of the picture that stands for a job
Told = Callable[[Job, str, str], None]


@dataclass
class Ended:
    """How a job ended."""

    state: str  # "done", "failed" or "refused"
    why: str = ""
    made: Made | None = None
    stops: bool = False  # whether the jobs after it would fail alike: there is no room on the disk
    told: dict[str, Any] = field(default_factory=dict)  # for its record


def words_of(error: BaseException) -> Ended:
    """Say how a job ended that raised."""
    chain = list(_causes(error))
    if any(isinstance(each, (FramesBlocked, PromptBlocked)) for each in chain):
        return Ended(REFUSED, str(error))
    full = any(isinstance(each, DiskFullError) or getattr(each, "errno", None) == 28 for each in chain)
    if isinstance(error, SoraError):
        return Ended(FAILED, str(error), stops=full)
    if is_out_of_memory(error):
        return Ended(FAILED, NO_MEMORY)
    line = (str(error).strip().splitlines() or [""])[0]
    why = words_for_input(error) or f"unexpected {type(error).__name__}: {line} (a fault of the program)"
    return Ended(FAILED, why, stops=full)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(20):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def changed_since(job: Job, where: Callable[[Input | Weights], Path] | None = None) -> str:
    """Say which of a job's files is another one than when the batch was read; "" for none."""
    for each in job.inputs:
        if each.changed():
            return (
                f"{each.path} was changed since the plan: run the command again, and it is made of what is there now."
            )
    for weights in job.models:
        if weights.changed():
            return f"The model {weights.path} was changed since the plan: run the command again."
    return ""


def worker_name() -> str:
    """Name this machine."""
    return socket.gethostname() or "here"


def about(job: Job) -> dict[str, Any]:
    """Return what a record says of any job, made or not."""
    models = {weights.name: weights.digest for weights in job.models}
    return {
        "line": job.line,
        "task": job.task,
        "seed": job.seed,
        "settings": dict(job.settings),
        "inputs": {each.key: each.digest for each in job.inputs},
        "models": models,
        "precision": job.precision,
        "cost": job.cost,
    }


def about_here() -> dict[str, Any]:
    """Return what a record says of where a job was made."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    return {"worker": worker_name(), "device": device, "threads": torch.get_num_threads(), "sora": VERSION,
            "torch": torch.__version__}  # fmt: skip


def picture_of(files: list[Path]) -> bytes | None:
    """Draw a small JPEG of the middle of the first file, as it was saved: judged and marked. None where none can be."""
    try:
        path = files[0]
        if path.suffix.lower() in PICTURES:
            shown = Image.open(path).convert("RGB")
        else:
            middle = max(0, probe(path).frames // 2)
            frame: np.ndarray | None = None
            for frame in iter_frames(path, max_frames=middle + 1):  # noqa: B007  # the last one is wanted
                pass
            shown = Image.fromarray(frame)  # type: ignore[arg-type]  # a video has a frame, or the read fails
        shown.thumbnail((PICTURE, PICTURE))
        buffer = io.BytesIO()
        shown.save(buffer, "JPEG", quality=85)
        return buffer.getvalue()
    except Exception:  # a file that shows nothing: its record stands without a picture
        return None
