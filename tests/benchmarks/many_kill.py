"""A Ray worker that is killed (SIGKILL) at random moments while a batch runs; compared with a run in this process."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import tempfile
import threading
from pathlib import Path
from typing import Any

import torch
from batch_support import files_of
from many_batches import Watch, batch

from sora_core.batch.cluster import run_on_ray
from sora_core.batch.here import run_here
from sora_core.batch.records import Records

KILLS = 5


def run(short: bool = False, kills: int = KILLS, seed: int = 0) -> dict[str, Any]:
    """Run the batch here, then on two workers; kill one at a random moment of each fifth of the batch."""
    torch.set_num_threads(1)
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        _, jobs = batch(Path(folder), 10 if short else 40, short)
        here, there = Watch(), Watch()
        run_here(jobs, Records(Path(folder) / "here"), here)
        mean = sum(here.seconds) / len(here.seconds)
        killed: list[int] = []
        at = [1 + round(number * (len(jobs) - 4) / kills) for number in range(kills)]

        def kill() -> None:
            living = [process for process in there.processes if Path(f"/proc/{process}").exists()]
            if living:
                with contextlib.suppress(ProcessLookupError):
                    killed.append(draw.choice(living))
                    os.kill(killed[-1], signal.SIGKILL)

        def each(done: int) -> None:
            if done in at:
                threading.Timer(draw.uniform(0, mean), kill).start()

        there.each = each
        out = Path(folder) / "there"
        run_on_ray(jobs, Records(out), there, address="local", workers=2)
        same = sum(there.latents.get(job.id, [""])[0] == here.latents[job.id][0] for job in jobs)
        return {
            "kills": len(killed),
            "jobs": len(jobs),
            "files": len(files_of(out)),
            "jobs that ended twice": sum(len(ends) > 1 for ends in there.latents.values()),
            "failed": there.failed,
            "latents equal to the local run's": same,
            "worker processes seen": len(there.processes),
        }
