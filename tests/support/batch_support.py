"""Batches of a tiny model, for the tests of `sora render`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from nodes_support import TINY, save_tiny

from sora_core.batch.graphs import Graphs
from sora_core.batch.planning import Plan, read_plan

ROOT = Path(__file__).resolve().parents[2]
CAT = {"model": TINY, "prompt": "a cat moving right on a beach", "steps": 1, "cfg": 1}


def write_batch(folder: Path, *lines: dict[str, Any] | str, name: str = "batch.jsonl") -> Path:
    """A batch in a folder, beside the tiny model."""
    if not (folder / TINY).is_file():
        save_tiny(folder / TINY)
    path = folder / name
    text = "".join((line if isinstance(line, str) else json.dumps(line, ensure_ascii=False)) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")
    return path


def plan_of(folder: Path, *lines: dict[str, Any] | str) -> Plan:
    return read_plan(write_batch(folder, *lines), Graphs())


def why(folder: Path, line: dict[str, Any] | str) -> str:
    """What is wrong with a line."""
    plan = plan_of(folder, line)
    assert not plan.jobs and len(plan.broken) == 1, plan
    return plan.broken[0].why


def results(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text("utf-8").splitlines()]


def start(folder: Path, *words: str, **more: Any) -> subprocess.Popen:
    """`sora render` in a process of its own."""
    code = "import sys; from sora_core.cli import main; sys.exit(main())"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, "render", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def files_of(out: Path) -> list[str]:
    """The files that a batch made, without its records and results."""
    return sorted(path.name for path in out.iterdir() if path.suffix in (".mp4", ".webm") and path.is_file())


class Watch:
    """Looks on, and notes what it hears."""

    def __init__(self):
        self.records, self.steps, self.said = [], [], []

    def begins(self, job): ...

    def step(self, job, done, total):
        self.steps.append((job.id, done, total))

    def ended(self, job, record):
        self.records.append(record)

    def say(self, text):
        self.said.append(text)
