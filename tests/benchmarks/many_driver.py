"""1,000 small jobs, here and on two Ray workers: how the memory of what drives them grows, and its overhead."""

from __future__ import annotations

import gc
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from many_batches import Watch, batch

from sora_core.batch.cluster import Round
from sora_core.batch.connection import connected
from sora_core.batch.fitness import checked
from sora_core.batch.here import run_here
from sora_core.batch.records import Records
from sora_core.batch.results import write_results

WARM = 0.1  # of the jobs, after which memory is first looked at


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


class Memory:
    """Looks at memory after the first jobs, and at the end."""

    def __init__(self, count: int) -> None:
        self.at, self.first, self.most = round(count * WARM), 0, 0

    def __call__(self, done: int) -> None:
        if done == self.at:
            gc.collect()
            self.first = resident()
        elif done > self.at and done % 50 == 0:
            self.most = max(self.most, resident())

    def told(self) -> dict[str, Any]:
        gc.collect()
        last = resident()
        return {
            "MiB after a tenth": self.first >> 20,
            "MiB at the end": last >> 20,
            "growth, percent": round(100 * (max(last, self.most) / self.first - 1), 1),
        }


def run(short: bool = False) -> dict[str, Any]:
    """Time all jobs less the time that each took by itself."""
    torch.set_num_threads(1)
    count = 50 if short else 1000
    found: dict[str, Any] = {"jobs": count}
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        _, jobs = batch(Path(folder), count, True)
        found["plan, ms a job"] = round(1000 * (time.monotonic() - start) / count, 2)
        for where in ("here", "ray"):
            watch, memory = Watch(), Memory(count)
            watch.each, records = memory, Records(Path(folder) / where)
            if where == "here":
                start = time.monotonic()
                run_here(jobs, records, watch)
                over = time.monotonic() - start - sum(watch.seconds)
            else:
                with connected("local", 2) as ray:
                    nodes = checked(ray, jobs, None, watch, send_models=False, keep_going=False)
                    # The processes that work begin before the clock does.
                    Round(ray, jobs[:4], Records(Path(folder) / "warm"), Watch(), nodes, None).go()
                    start = time.monotonic()
                    Round(ray, jobs, records, watch, nodes, None).go()
                    over = time.monotonic() - start - sum(watch.seconds) / 2
            assert len(watch.seconds) == count and not watch.failed, watch.failed[:3]
            found[where] = {
                "overhead, ms a job": round(1000 * over / count, 1),
                "ms of a job itself": round(1000 * sum(watch.seconds) / count, 1),
                **memory.told(),
            }
        start = time.monotonic()
        write_results(records, jobs, "batch")
        found["results, sheet and page, s"] = round(time.monotonic() - start, 2)
    return found
