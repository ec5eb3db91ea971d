"""What the parts of `many.py` share: batches, somebody who looks on, and where they lie."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of a worker too: all are of one thread

from batch_support import CAT, write_batch

from sora_core.batch.graphs import Graphs
from sora_core.batch.jobs import Job
from sora_core.batch.planning import read_plan

SUBJECTS = ["a cat", "a red car", "a penguin", "a rocket", "a panda"]


def lines(count: int, short: bool) -> list[dict[str, Any]]:
    """Lines of `count` jobs: four-call clips of sora-mini, or where `short` clips of a tiny model."""
    each = count // len(SUBJECTS)
    prompts = [f"{subject} moving right on a beach" for subject in SUBJECTS]
    made = {**CAT, "seed": f"0..{each - 1}"} if short else {"fast": True, "seed": f"0..{each - 1}"}
    return [{**made, "prompt": prompts}]


def batch(folder: Path, count: int, short: bool) -> tuple[Path, list[Job]]:
    """Write a batch of `count` jobs, and read it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = write_batch(folder, *lines(count, short))
    plan = read_plan(path, Graphs())
    assert len(plan.jobs) == count and not plan.broken, plan.broken
    return path, plan.jobs


class Watch:
    """Looks on, and keeps only what is measured."""

    def __init__(self) -> None:
        self.latents: dict[str, list[str]] = {}  # by job, one for each time that it ended
        self.seconds: list[float] = []
        self.processes: list[int] = []
        self.failed: list[str] = []
        self.each: Any = None

    def begins(self, job: Job) -> None: ...

    def step(self, job: Job, done: int, total: int) -> None: ...

    def say(self, text: str) -> None: ...

    def ended(self, job: Job, record: dict[str, Any]) -> None:
        if record["state"] != "done":
            self.failed.append(record["why"])
            return
        self.latents.setdefault(job.id, []).append(record["latent"])
        self.seconds.append(record["seconds"])
        if record.get("process") not in (None, *self.processes):
            self.processes.append(record["process"])
        if self.each is not None:
            self.each(len(self.seconds))
