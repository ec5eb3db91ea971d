"""Two Ray workers of one thread each against one: the same clips, from the first that is handed out to the last."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from many_batches import Watch, batch

from sora_core.batch.cluster import Round
from sora_core.batch.connection import connected
from sora_core.batch.fitness import checked
from sora_core.batch.jobs import Job
from sora_core.batch.records import Records


def once(jobs: list[Job], out: Path, workers: int) -> tuple[float, Watch]:
    """Make the jobs on a cluster that is up, whose workers are warm: a job of each worker comes first."""
    watch = Watch()
    with connected("local", workers) as ray:
        nodes = checked(ray, jobs, None, watch, send_models=False, keep_going=False)
        warm, rest = jobs[:workers], jobs[workers:]
        Round(ray, warm, Records(out), watch, nodes, None).go()
        start = time.monotonic()
        Round(ray, rest, Records(out), watch, nodes, None).go()
        return time.monotonic() - start, watch


def run(short: bool = False, times: int = 3) -> dict[str, Any]:
    """Alternate between one worker and two, so that both bear the machine's load alike."""
    took: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        count = 10 if short else 40
        _, jobs = batch(Path(folder), count + 5, short)
        for number in range(times):
            for workers in (1, 2):
                given = jobs[: count + workers]
                seconds, watch = once(given, Path(folder) / f"out{workers}{number}", workers)
                assert len(watch.seconds) == count + workers and not watch.failed, watch.failed
                took[workers].append(round(seconds, 2))
    one, two = (statistics.median(took[workers]) for workers in (1, 2))
    return {
        "clips": count,
        "seconds, one worker": took[1],
        "seconds, two": took[2],
        "times as fast": round(one / two, 2),
    }
