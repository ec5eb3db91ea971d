"""The driver of `many_foreign.py`, whose batches go to workers that differ from it, and how what was said is judged."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from batch_support import results, write_batch
from foreign_nodes import ROOT, Farm, Node

PATIENCE = 240.0  # seconds that a command may take
CALL = "import sys; from sora_core.cli import main; sys.exit(main())"
_PLAN = re.compile(r"batch.jsonl: \d+ jobs? \(|Time: |Memory: |Worker \w+: It has no certificate")
Case = tuple[str, dict[str, Any]]
Cases = Iterator[Case]


class Driver:
    """The machine that the batch lies on. No worker sees its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder / "driver", folder / "driver's home"
        self.folder.mkdir(parents=True)

    def node(self, name: str, setup: str = "", **env: str) -> Node:
        """A worker to which the driver's folder is hidden."""
        return Node(name, [self.folder], setup, env)

    def batch(self, *lines: dict[str, Any]) -> None:
        write_batch(self.folder, *lines)

    def begin(self, *words: str, **env: str) -> subprocess.Popen:
        own = {"HOME": "", "XDG_CACHE_HOME": "cache", "XDG_CONFIG_HOME": "config"}
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **env}
        environment |= {name: str(self.home / part) for name, part in own.items()}
        return subprocess.Popen(
            [sys.executable, "-c", CALL, "render", "batch.jsonl", *words],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def planned(self, *words: str) -> subprocess.Popen:
        """Begin, and return when the plan is told and nothing else has been done."""
        process = self.begin(*words)
        while line := process.stderr.readline():
            if line.startswith("Memory:"):
                break
        return process

    def first(self, *words: str) -> subprocess.Popen:
        """Begin, and return when the first file is there."""
        process = self.begin(*words)
        process.stdout.readline()
        return process

    def end(self, process: subprocess.Popen) -> dict[str, Any]:
        """Wait for the end; returns the exit code, what was said but for the plan, and how long this took."""
        started, late = time.monotonic(), ""
        try:
            _, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=90)
            late = "\n(it had to be stopped)"
        said = [line for line in (err + late).splitlines() if line and not _PLAN.match(line)]
        return {"exit": process.returncode, "seconds": round(time.monotonic() - started, 1), "said": said}

    def render(self, *words: str, **env: str) -> dict[str, Any]:
        return self.end(self.begin(*words, **env))

    def latents(self, out: str) -> dict[str, str]:
        """The hashes of what was sampled, by job."""
        return {record["job"]: record.get("latent") for record in results(self.folder / out)}

    def same(self, one: str, two: str) -> bool:
        return self.latents(one) == self.latents(two) != {}


def to(cluster: Farm, out: str = "there", *, send: bool = True) -> tuple[str, ...]:
    """The words of a call that goes to this cluster."""
    return ("--ray", cluster.address, "--out", out, *["--send-models"] * send)


def seen(name: str, case: dict[str, Any], exit_code: int, *words: str, **checks: bool) -> Case:
    """Judge a case: by its exit code, the words that must stand there, and what else was looked at."""
    text = "\n".join(case["said"])
    wrong = [f"exit {case['exit']}, not {exit_code}"] * (case["exit"] != exit_code)
    wrong += [f"nothing of {each!r}" for each in words if not re.search(each, text)]
    wrong += [f"not {name.replace('_', ' ')}" for name, fine in checks.items() if not fine]
    wrong += ["pages of Ray's or Python's own"] * ("Traceback" in text or "raylet" in text)
    return name, {**case, "wrong": wrong}
