"""Queue and history in one SQLite file, which a crash leaves whole.

A job is `pending`, then `running` once, then `completed`, `failed`, `cancelled` (somebody stopped it) or `interrupted`
(the server went away meanwhile). Only somebody's wish puts it back into the queue: nothing runs twice by itself.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import SoraError, expect
from ...files import ensure_writable

KEPT = 2000  # finished jobs; those that ended before go, their files stay
VERSION = 1  # of the table; a file from before it was written down has 0
OPEN = ("pending", "running")
LOST = ("failed", "cancelled", "interrupted")  # what may be queued again
_TABLE = """
create table if not exists jobs (
    id text primary key, number real not null, client text, state text not null, created integer not null,
    started integer, ended integer, workflow text, targets text not null, outputs text not null default '{}',
    error text, messages text not null default '[]', prompt text not null, extra text not null
);
create index if not exists by_state on jobs (state, number);
create index if not exists by_time on jobs (created);
"""
# All but what is large and of no use in a list.
_BRIEF = "id, number, client, state, created, started, ended, workflow, targets, outputs, error"


@dataclass
class Job:
    """One prompt, from the queue to the history."""

    id: str
    number: float  # the queue's order, lowest first
    client: str | None
    prompt: dict[str, Any] = field(default_factory=dict)  # API format
    extra: dict[str, Any] = field(default_factory=dict)  # extra_data
    targets: list[str] = field(default_factory=list)  # ids of the output nodes
    state: str = "pending"
    created: int = 0  # milliseconds, as all times here
    started: int | None = None
    ended: int | None = None
    workflow: str | None = None  # the id of the graph it was made of
    outputs: dict[str, Any] = field(default_factory=dict)  # what nodes show, by node id
    messages: list[Any] = field(default_factory=list)  # [event, data]
    error: dict[str, Any] | None = None

    def files(self) -> list[dict[str, Any]]:
        """List the files that nodes show, each with its node and with what the node calls it (`images`, ...)."""
        return [
            {**item, "nodeId": node_id, "mediaType": kind}
            for node_id, shown in self.outputs.items()
            for kind, items in (shown.items() if isinstance(shown, dict) else ())
            for item in (items if isinstance(items, list) else ())
            if isinstance(item, dict) and item.get("filename")
        ]


def now() -> int:
    """Return the time in milliseconds."""
    return time.time_ns() // 1_000_000


class Store:
    """The jobs of one server. Its methods may be called from any thread."""

    def __init__(self, path: Path) -> None:
        """Open the file, and mark what was running when the last server ended.

        Raises SoraError where another server has it open: two would run each other's jobs.
        """
        ensure_writable(path.parent)
        self.path, self._lock = path, threading.RLock()
        try:
            with contextlib.ExitStack() as undo:
                self._db = sqlite3.connect(path, timeout=0.5, check_same_thread=False, isolation_level=None)
                undo.callback(self._db.close)
                self._prepare()
                undo.pop_all()
        except sqlite3.Error as error:
            if "locked" in str(error):
                text = f"Another server uses {path.parent}: stop it, or give this one a --base-directory of its own."
            else:
                text = f"The queue {path} cannot be read ({error}): move it away, and a new one is made."
            raise SoraError(text) from error

    def _prepare(self) -> None:
        self._db.row_factory = sqlite3.Row
        # Held until this process ends, however it ends.
        self._db.execute("pragma locking_mode = exclusive")
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = normal")
        made_by = self._db.execute("pragma user_version").fetchone()[0]
        expect(made_by <= VERSION, f"The queue {self.path} is of a newer version: update this one, or move it away.")
        # Found out now, and not in the middle of a queue.
        damage = self._db.execute("pragma quick_check(1)").fetchone()[0]
        expect(damage == "ok", f"The queue {self.path} is damaged ({damage}): move it away, and a new one is made.")
        self._db.executescript(f"{_TABLE} pragma user_version = {VERSION};")
        self._db.execute("update jobs set state = 'interrupted', ended = ? where state = 'running'", (now(),))

    def close(self) -> None:
        """Give the file up."""
        with self._lock:
            self._db.close()

    def add(self, job: Job, front: bool = False, number: float | None = None) -> Job | None:
        """Queue a job, last or first, or by `number`. Returns None where its id is taken."""
        with self._lock:
            top = self._one("select coalesce(max(abs(number)), 0) from jobs")[0] + 1
            job.number, job.created = (-top if front else top) if number is None else number, now()
            row = [json.dumps(value) for value in (job.prompt, job.extra, job.targets)]
            made = self._do(
                "insert or ignore into jobs (id, number, client, state, created, workflow, prompt, extra, targets)"
                " values (?, ?, ?, 'pending', ?, ?, ?, ?, ?)",
                job.id,
                job.number,
                job.client,
                job.created,
                job.workflow,
                *row,
            )
            return job if made.rowcount else None

    def take(self) -> Job | None:
        """Mark the next job as running, and return it."""
        with self._lock:
            found = self._one("select * from jobs where state = 'pending' order by number, created, rowid limit 1")
            if found is None:
                return None
            self._do("update jobs set state = 'running', started = ? where id = ?", now(), found["id"])
            return self.get(found["id"])

    def finish(self, job: Job) -> None:
        """Keep how a job ended. Raises SoraError where that cannot be written."""
        job.ended = now()
        with self._lock:
            # Its row becomes the last: those of finished jobs lie in the order of their ends, whatever the clock says.
            self._do(
                "update jobs set rowid = (select max(rowid) + 1 from jobs), state = ?, ended = ?, outputs = ?,"
                " messages = ?, error = ? where id = ?",
                job.state,
                job.ended,
                json.dumps(job.outputs, default=str),
                json.dumps(job.messages, default=str),
                json.dumps(job.error) if job.error else None,
                job.id,
            )
            self._do(
                "delete from jobs where state not in ('pending', 'running') and rowid not in (select rowid from jobs"
                f" where state not in ('pending', 'running') order by rowid desc limit {KEPT})"
            )

    def again(self, job_id: str, client: str | None) -> Job | None:
        """Put a job that came to nothing back into the queue, under its id. Returns None for any other."""
        with self._lock:
            top = self._one("select coalesce(max(abs(number)), 0) from jobs")[0] + 1
            changed = self._do(
                "update jobs set state = 'pending', number = ?, client = coalesce(?, client), started = null,"
                f" ended = null, outputs = '{{}}', messages = '[]', error = null where id = ? and state in {LOST}",
                top,
                client,
                job_id,
            )
            return self.get(job_id) if changed.rowcount else None

    def drop(self, states: tuple[str, ...], ids: Iterable[str] | None = None) -> int:
        """Forget the jobs of some states: all, or those of these ids. Returns how many."""
        with self._lock:
            if ids is None:
                return self._do(f"delete from jobs where state in ({_marks(states)})", *states).rowcount
            statement = f"delete from jobs where id = ? and state in ({_marks(states)})"
            return sum(self._do(statement, job_id, *states).rowcount for job_id in ids)

    def get(self, job_id: str) -> Job | None:
        """Find a job."""
        with self._lock:
            return _job(self._one("select * from jobs where id = ?", job_id))

    def listed(
        self, states: tuple[str, ...], order: str = "number, created, rowid", limit: int = -1, offset: int = 0
    ) -> list[Job]:
        """List the jobs of some states, whole. order: SQL."""
        return self._listed("*", states, order, limit, offset)

    def brief(self, states: tuple[str, ...], order: str, limit: int = -1, offset: int = 0) -> list[Job]:
        """List the jobs of some states, without their prompts, messages and extra data."""
        return self._listed(_BRIEF, states, order, limit, offset)

    def _listed(self, columns: str, states: tuple[str, ...], order: str, limit: int, offset: int) -> list[Job]:
        statement = f"select {columns} from jobs where state in ({_marks(states)}) order by {order} limit ? offset ?"
        with self._lock:
            rows = self._do(statement, *states, limit, offset).fetchall()
        return [job for row in rows if (job := _job(row)) is not None]

    def count(self, states: tuple[str, ...]) -> int:
        """Count the jobs of some states."""
        return self._one(f"select count(*) from jobs where state in ({_marks(states)})", *states)[0]

    def _one(self, statement: str, *values: Any) -> Any:
        with self._lock:
            return self._do(statement, *values).fetchone()

    def _do(self, statement: str, *values: Any) -> sqlite3.Cursor:
        try:
            return self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise SoraError(f"The queue {self.path} cannot be used ({error}): is there space on its disk?") from error


def _marks(values: tuple[str, ...]) -> str:
    return ",".join("?" * len(values))


def _job(row: sqlite3.Row | None) -> Job | None:
    if row is None:
        return None
    values = dict(row)
    for name in ("prompt", "extra", "targets", "outputs", "messages", "error"):
        if name in values:
            values[name] = json.loads(values[name]) if values[name] else None
    return Job(**values)
