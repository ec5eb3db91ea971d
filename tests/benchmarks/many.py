"""Many machines: what a batch gains from a second worker, and what it survives.

    python tests/benchmarks/many.py [--only render,ray,kill,driver,parallel] [--short] [--times N] [--json]

Each part is a module of its own, `many_PART.py`, with a `run`. Measure times alone on the machine.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import sys

import _paths  # noqa: F401 (for its effect on sys.path)

PARTS = {
    "render": "`sora render` killed at random moments, ten times: goes on, nothing lost, nothing twice",
    "ray": "two Ray workers of one thread each against one: 40 four-call clips",
    "kill": "a Ray worker killed at random moments, five times: 40 files, the latents of a local run",
    "driver": "1,000 small jobs: the driver's memory, and its overhead",
    "foreign": "Ray workers that differ from the driver: models, versions, disks, deaths, inputs, policies, addresses",
    "parallel": "one clip over two processes: latents, bytes, and what they mean for larger models",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(PARTS), help="parts, with commas: " + ", ".join(PARTS))
    parser.add_argument("--short", action="store_true", help="small models, few jobs")
    parser.add_argument("--times", type=int, default=3, help="repetitions of what is timed (default: 3)")
    parser.add_argument("--json", action="store_true", help="print as JSON")
    args = parser.parse_args()
    found = {}
    for part in args.only.split(","):
        if part not in PARTS:
            parser.error(f"there is no part {part!r}: use {', '.join(PARTS)}")
        print(f"{part}: {PARTS[part]}", file=sys.stderr, flush=True)
        run = importlib.import_module(f"many_{part}").run
        more = {"times": args.times} if "times" in inspect.signature(run).parameters else {}
        found[part] = run(short=args.short, **more)
        if not args.json:
            for name, value in found[part].items():
                print(f"  {name}: {value}")
    if args.json:
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
