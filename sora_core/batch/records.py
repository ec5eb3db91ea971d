"""What is finished, in the folder of results: a record a job, written so that a killed process loses nothing.

    OUT/NAME-ID.mp4        the files
    OUT/jobs/ID.json       what made each, and its content's hash
    OUT/jobs/ID.jpg        a picture of it
    OUT/.work/ID/          what is being made

A file is made whole in `.work`, then its record is written, then it is renamed to its place. Killed before the record,
a job was not made; killed after it, the next process renames the file. So a job is finished once, however it is
stopped, and several processes, on machines that share the folder, may work on one batch: a job in hand is claimed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import SoraError
from ..files import claim, ensure_writable, owner, release, taken_by, write_error, written_beside
from .jobs import Job, content_hash

DONE, FAILED, REFUSED = "done", "failed", "refused"
BEAT = 15.0  # seconds between two signs of life of a claim
STALE = 90.0  # seconds without one after which a claim of another machine's counts for nothing
_NAME = re.compile("[0-9a-f]{16}")  # of a job


class Records:
    """The folder of results."""

    def __init__(self, out: Path) -> None:
        """Open the folder, or make it. Raises SoraError where nothing can be written there."""
        self.out, self.jobs, self.work = out, out / "jobs", out / ".work"
        for folder in (out, self.jobs, self.work):
            ensure_writable(folder)
        self._claimed: set[Path] = set()
        self._stop = threading.Event()
        self._beating: threading.Thread | None = None

    # -- reading ---------------------------------------------------------------------------------------------
    def read(self, job_id: str) -> dict[str, Any] | None:
        """Read the record of a job; None where there is none that can be read."""
        if not _NAME.fullmatch(job_id):
            return None
        try:
            record = json.loads((self.jobs / f"{job_id}.json").read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        return record if isinstance(record, dict) and record.get("job") == job_id and _sound(record) else None

    def all(self) -> Iterator[dict[str, Any]]:
        """Yield every record, one at a time."""
        for path in sorted(self.jobs.glob("*.json")):
            if (record := self.read(path.stem)) is not None:
                yield record

    def finished(self, job_id: str) -> dict[str, Any] | None:
        """Return the record of a job that is finished, its files checked against it; None where it is to be made.

        A file that was left on its way to its place is brought there.
        """
        record = self.read(job_id)
        if record is None or record.get("state") != DONE:
            return None
        files = record.get("files")
        if not isinstance(files, list) or not files:
            return None
        return record if all(self._in_place(job_id, file) for file in files) else None

    def _in_place(self, job_id: str, file: Any) -> bool:
        try:
            name = Path(file["file"]).name
            if _holds(self.out / name, file):
                return True
            if _holds(self.work / job_id / name, file):
                os.replace(self.work / job_id / name, self.out / name)
                return True
        except (OSError, KeyError, TypeError, SoraError):
            pass
        return False

    # -- writing ---------------------------------------------------------------------------------------------
    def place(self, job: Job) -> Path:
        """Return the folder where the files of a job are made."""
        return self.work / job.id

    def finish(self, job: Job, files: list[Path], told: Mapping[str, Any], picture: bytes | None) -> dict[str, Any]:
        """Record a job's files, which lie in its place, and put them where they belong; returns the record."""
        listed: list[dict[str, Any]] = []
        for file in files:
            _to_disk(file)
            stat = file.stat()
            listed.append(
                {"file": file.name, "sha256": content_hash(file), "bytes": stat.st_size, "time": stat.st_mtime_ns}
            )
        record = {"job": job.id, "name": job.name, "state": DONE, "file": listed[0]["file"], "files": listed, **told}
        strays = self._strays(job.id, {each["file"] for each in listed})
        if picture:
            with written_beside(self.jobs / f"{job.id}.jpg") as part:
                part.write_bytes(picture)
        self._write(record)
        for file in files:
            os.replace(file, self.out / file.name)
        # What was made without a record, or under another name, makes way for its like: nothing lies there twice.
        for stray in strays:
            stray.unlink(missing_ok=True)
        shutil.rmtree(self.place(job), ignore_errors=True)
        return record

    def fail(self, job: Job, state: str, why: str, told: Mapping[str, Any]) -> dict[str, Any]:
        """Record that a job came to nothing, unless it is finished; returns the record."""
        shutil.rmtree(self.place(job), ignore_errors=True)
        record = {"job": job.id, "name": job.name, "state": state, "file": None, **told, "why": why}
        self._write(record)
        return record

    def _write(self, record: Mapping[str, Any]) -> None:
        with written_beside(self.jobs / f"{record['job']}.json") as part:
            part.write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", "utf-8")
            _to_disk(part)

    def _strays(self, job_id: str, names: set[str]) -> list[Path]:
        # By whole names: CAT-ID_edited.mp4 is the user's.
        ours = re.compile(rf".+-{job_id}(_\d+)?\.[a-z0-9]+")
        found = (path for path in self.out.glob(f"*-{job_id}*") if ours.fullmatch(path.name))
        return [path for path in found if path.name not in names and path.is_file()]

    # -- claims ----------------------------------------------------------------------------------------------
    def take(self, job_id: str) -> bool:
        """Claim a job for this process. Returns False where another one is making it."""
        mark = self.place_of_claim(job_id)
        if mark in self._claimed:
            return True
        if not claim(mark):
            who = taken_by(mark)  # a dead process's claim goes with the question
            if who is not None:
                if who == owner() or not self._stale(mark):
                    return False
                mark.with_name(f".{mark.name}.claim").unlink(missing_ok=True)
            if not claim(mark):
                return False
        if self._beating is None:
            self._beating = threading.Thread(target=self._beat, daemon=True)
            self._beating.start()
        self._claimed.add(mark)
        return True

    def give(self, job_id: str) -> None:
        """Give a job up, done or not."""
        mark = self.place_of_claim(job_id)
        self._claimed.discard(mark)
        release(mark)

    def place_of_claim(self, job_id: str) -> Path:
        """Name what stands for a job that is in hand. No file of that name is ever made."""
        return self.work / f"{job_id}.job"

    def _stale(self, mark: Path) -> bool:
        """Tell whether a claim has shown no sign of life, by the clock of the disk that it lies on."""
        file, probe = mark.with_name(f".{mark.name}.claim"), self.work / f".now.{os.getpid()}"
        try:
            probe.write_bytes(b"")
            return probe.stat().st_mtime - file.stat().st_mtime > STALE
        except OSError:
            return False
        finally:
            probe.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._stop.wait(BEAT):
            for mark in list(self._claimed):
                with contextlib.suppress(OSError):
                    os.utime(mark.with_name(f".{mark.name}.claim"))

    def close(self) -> None:
        """Give all claims up, and leave no empty folder behind."""
        self._stop.set()
        for mark in list(self._claimed):
            self.give(mark.name.removesuffix(".job"))
        with contextlib.suppress(OSError):
            self.work.rmdir()


def _sound(record: Mapping[str, Any]) -> bool:
    """Tell whether a record is in shape as those that are written here: the folder is open to other hands."""
    files, name = record.get("files", []), record.get("name", "")
    try:
        json.dumps(record, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:  # half of a character, which no results could hold
        return False
    return (
        isinstance(record.get("state"), str)
        and isinstance(name, str)
        and isinstance(record.get("settings", {}), dict)
        and isinstance(files, list)
        and all(isinstance(file, dict) for file in files)
    )


def _holds(path: Path, told: Mapping[str, Any]) -> bool:
    """Tell whether a file is the one that a record tells of: by size and time, or else by its content."""
    try:
        stat = path.stat()
    except OSError:
        return False
    if stat.st_size != told["bytes"]:
        return False
    return stat.st_mtime_ns == told.get("time") or content_hash(path) == told["sha256"]


def _to_disk(path: Path) -> None:
    """Wait until a file is on the disk, so that a power cut does not leave a record of nothing."""
    try:
        with path.open("rb+") as file:
            os.fsync(file.fileno())
    except OSError as error:
        raise write_error(path, error) from error


def now() -> str:
    """Return the time, to the second, as it is written into records."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
