"""Remembers what nodes returned, by what went in, so that a changed graph re-runs only what changed."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from ...safety.gate import enforced
from ..api.dynamic import nest_values
from ..api.schema import Hidden
from ..desk.folders import current
from ..graph.validate import Plan, PlannedNode
from ..graph.workflow import Link


@dataclass
class Result:
    """What a node returned."""

    outputs: list[list[Any]]  # a list of values per output
    ui: dict[str, Any] | None = None  # what it shows
    blocked: str | None = None  # why what follows must not run


def signatures(plan: Plan) -> dict[str, str]:
    """Hash each node's type, its values and everything upstream, and the folders and policy in force.

    A node whose `fingerprint_inputs` never equals itself (NaN, or it failed) gets a new hash each time.
    """
    result: dict[str, str] = {}
    policy = repr(enforced())  # What an earlier policy let through need not pass this one.
    for node_id, planned in plan.nodes.items():
        inputs = {
            name: [result[value.node], value.slot] if isinstance(value, Link) else [value]
            for name, value in planned.inputs.items()
        }
        parts = [planned.node.type, sorted(inputs.items()), _fingerprint(planned), _identity(planned), policy]
        text = json.dumps(parts, default=repr)
        result[node_id] = hashlib.sha256(text.encode()).hexdigest()
    return result


def _fingerprint(planned: PlannedNode) -> str | None:
    if not planned.cls.overrides("fingerprint_inputs"):
        return None
    try:
        value = planned.cls.fingerprint_inputs(**nest_values(planned.schema.inputs, planned.constants()))
    except Exception:
        # The node will say what is wrong when it runs.
        return uuid4().hex
    return repr(value) if value == value else uuid4().hex


def _identity(planned: PlannedNode) -> list[str]:
    """Name what besides the inputs makes two runs differ."""
    parts = []
    if planned.schema.not_idempotent or Hidden.unique_id in planned.schema.hidden:
        parts.append(planned.node.id)
    if planned.schema.is_output_node:
        parts.append(str(current().output))
    return parts


class OutputCache:
    """Results of the last run, by signature. What a run did not use is dropped after it: videos are large.

    Who runs graphs by turns with others keeps what the own last run used, as long as there are few of them.
    """

    def __init__(self, owners: int = 3) -> None:
        """Keep the last runs of so many owners."""
        self.owners = owners
        self._results: dict[str, Result] = {}
        self._used: dict[str | None, set[str]] = {}  # signatures, by owner, the last one last
        self._lock = threading.Lock()  # runs that go on at the same time share the cache

    def get(self, signature: str) -> Result | None:
        """Return what a node returned under this signature, None if it must run (again)."""
        result = self._results.get(signature)
        return result if result is None or _files_exist(result) else None

    def put(self, signature: str, result: Result) -> None:
        """Keep what a node returned."""
        with self._lock:
            self._results[signature] = result

    def keep_only(self, used: set[str], owner: str | None = None) -> None:
        """Drop what is neither among the signatures `used` nor of another owner's last run."""
        with self._lock:
            self._used.pop(owner, None)
            self._used[owner] = used
            while len(self._used) > self.owners:
                del self._used[next(iter(self._used))]
            kept = set().union(*self._used.values())
            self._results = {s: r for s, r in self._results.items() if s in kept}

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            self._results, self._used = {}, {}


def _files_exist(result: Result) -> bool:
    """Return whether all saved files are there still: one that was deleted must be saved again."""
    return all(path.is_file() for path in saved_files(result.ui, ("output", "temp")))


def saved_files(ui: dict[str, Any] | None, kinds: tuple[str, ...] = ("output",)) -> list[Path]:
    """List the files named in what a node shows."""
    lists = [shown for shown in (ui or {}).values() if isinstance(shown, (list, tuple))]
    entries = [entry for shown in lists for entry in shown if isinstance(entry, dict) and entry.get("type") in kinds]
    named = [entry for entry in entries if entry.get("filename")]
    return [current().resolve(f"{e.get('subfolder') or '.'}/{e['filename']}", e["type"]) for e in named]
