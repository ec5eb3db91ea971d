"""Inputs that were made to take time or memory, or to break what reads them.

python tests/benchmarks/hostile.py [--only WORD] [--json]

Each runs in a process of its own, with one thread. It must end within 10 s of that and 2 GB (the process as a whole,
with torch and the loaded model), in a result or in a refusal of one or two lines; anything else is a fault. CI runs a
short form (`tests/host/test_hostile.py`).
"""

from __future__ import annotations

import argparse
import json

import _paths  # noqa: F401 (finds the packages)
from hostile_support import measure


def main() -> None:
    parser = argparse.ArgumentParser(description="Inputs that were made to take time or memory, or to break things.")
    parser.add_argument("--only", default="", help="a part of the names")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    outcomes = []
    for outcome in measure(args.only):
        outcomes.append(outcome)
        end = f"FAULT {outcome.fault}" if outcome.fault else outcome.said or "made"
        if not args.json:
            print(f"{outcome.name:44} {outcome.seconds:5.1f} s {outcome.megabytes:5} MB  {end[:200]!r}", flush=True)
    figures = {
        "inputs": len(outcomes),
        "faults": sum(bool(o.fault) for o in outcomes),
        "refused": sum(bool(o.said) for o in outcomes),
        "slowest_s": round(max(o.seconds for o in outcomes), 1),
        "largest_mb": max(o.megabytes for o in outcomes),
    }
    print(json.dumps({**figures, "outcomes": [vars(o) for o in outcomes]}, indent=1) if args.json else figures)


if __name__ == "__main__":
    main()
