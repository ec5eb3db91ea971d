"""`sora render` in a process that is killed (SIGKILL) at random moments, and started again until it is done."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from typing import Any

from batch_support import files_of, start
from many_batches import batch

from sora_core.batch.jobs import content_hash
from sora_core.batch.records import Records

KILLS = 10


def seen(out: Path) -> dict[str, tuple[int, str]]:
    """The files that are there: when each was written, and what it holds."""
    return {name: ((out / name).stat().st_mtime_ns, content_hash(out / name)) for name in files_of(out)}


def run(short: bool = False, kills: int = KILLS, seed: int = 0) -> dict[str, Any]:
    """Kill, and look after each time that what was there is there still, as it was."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        path, jobs = batch(Path(folder), 10 if short else 40, short)
        out, changed, killed, during = Path(folder) / "out", 0, 0, []
        before: dict[str, tuple[int, str]] = {}
        while killed < kills:
            process = start(Path(folder), str(path), "--out", "out", "--keep-going")
            count = len(before)
            # At any moment after the first job of this process is under way, or before anything is.
            while killed % 3 and process.poll() is None and (not out.is_dir() or len(files_of(out)) <= count):
                time.sleep(0.01)
            time.sleep(draw.uniform(0, 0.4 if short else 2.0))
            if process.poll() is not None:
                break  # done before ten kills: the rest of them had nothing to hit
            process.kill()
            process.communicate()
            killed += 1
            now = seen(out) if out.is_dir() else {}
            changed += sum(now.get(name) != told for name, told in before.items())
            before = now
            during.append(len(now))
        last = start(Path(folder), str(path), "--out", "out")
        told, _ = last.communicate()
        now = seen(out)
        changed += sum(now.get(name) != told for name, told in before.items())
        records = Records(out)
        whole = sum(records.finished(job.id) is not None for job in jobs)
        return {
            "kills": killed,
            "files after each kill": during,
            "files lost or made again": changed,
            "jobs": len(jobs),
            "files": len(now),
            "finished, files as their records say": whole,
            "made by the last call": len(told.split()),
            "exit code of the last call": last.returncode,
        }
