"""From the start of `sora generate --fast` to its file, over that of another checkout.

    python tests/benchmarks/start.py [--base FOLDER] [--rounds 5] [--short] [--json]

Both checkouts take turns; the file is signed, marked and read back as always.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "import sys; from sora_core.cli import main; sys.exit(main(sys.argv[1:]))"
PROMPT = "a cat moving right on a beach"


def seconds(tree: Path | None, folder: str) -> float:
    """Time a command of a checkout, or torch's import alone."""
    out = Path(folder) / "cat.mp4"
    script = ["-c", "import torch"] if tree is None else ["-c", COMMAND, "generate", PROMPT, "-o", str(out), "--fast"]
    environment = os.environ if tree is None else {**os.environ, "PYTHONPATH": str(tree)}
    start = time.monotonic()
    subprocess.run([sys.executable, *script], check=True, capture_output=True, cwd=folder, env=environment)
    taken = time.monotonic() - start
    assert tree is None or out.stat().st_size > 0
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=Path, help="another checkout, to compare with")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--short", action="store_true", help="two rounds")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    args = parser.parse_args()
    trees = {"this": ROOT, "torch": None} | ({"base": args.base.resolve()} if args.base else {})
    with tempfile.TemporaryDirectory() as folder:
        for tree in trees.values():
            seconds(tree, folder)
        rounds = 2 if args.short else args.rounds
        times = [{name: seconds(tree, folder) for name, tree in trees.items()} for _ in range(rounds)]
    medians = {name: statistics.median(each[name] for each in times) for name in trees}
    found = {f"{name}_s": round(median, 2) for name, median in medians.items()} | {"rounds": rounds}
    if args.base:
        found["base_over_this"] = round(medians["base"] / medians["this"], 2)
    print(json.dumps(found, indent=2) if args.json else "  ".join(f"{key} {value}" for key, value in found.items()))


if __name__ == "__main__":
    main()
