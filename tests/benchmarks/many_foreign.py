"""`sora render --ray` on workers that differ from the driver and from each other, as machines of a farm do.

    python tests/benchmarks/many.py --only foreign [--short] [--json]
    python tests/benchmarks/many_foreign.py [GROUP ...]

Each worker has files, a home, a name and processes of its own (`unshare`: Linux, and the right to use it). What each
case said is printed, and what of it was not as it should be.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import _paths  # noqa: F401 (for its effect on sys.path)
import foreign_files
import foreign_machines
from foreign_nodes import possible

GROUPS = {
    group.__name__: group
    for group in (
        foreign_files.models,
        foreign_files.loras,
        foreign_files.inputs,
        foreign_files.disks,
        foreign_machines.versions,
        foreign_machines.lacking,
        foreign_machines.deaths,
        foreign_machines.rules,
        foreign_machines.addresses,
    )
}


def run(short: bool = False, only: tuple[str, ...] = ()) -> dict[str, Any]:
    """Try every case, or in short a model that only the driver has."""
    if why := possible():
        return {"left out": why}
    found: dict[str, Any] = {}
    for name in only or (["models"] if short else GROUPS):
        with tempfile.TemporaryDirectory(prefix="mf") as folder:  # short: names of sockets are
            for case, told in GROUPS[name](Path(folder), short):
                found[f"{name}: {case}"] = told
                print(f"  {name}: {case}: {json.dumps(told, indent=1)}", file=sys.stderr, flush=True)
    wrong = {name: told["wrong"] for name, told in found.items() if told["wrong"]}
    return {"cases": len(found), "not as they should be": wrong, "said": found}


if __name__ == "__main__":
    for name, value in run(only=tuple(sys.argv[1:])).items():
        print(f"{name}: {value}" if name != "said" else "")
