"""Time and memory of the VAE, and both over those of another checkout.

    python tests/benchmarks/vae.py [--base FOLDER] [--rounds 7] [--only decode,encode,memory] [--short] [--json]

Two processes, one of each checkout, take turns at the same clip; the ratio is that of the medians. Memory is the most
that a process takes beyond what it took with its weights loaded, for streams of 33, 129 and 257 frames: the median of
several processes, as what the C library keeps between two pieces is a matter of chance.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORKER = """
import resource, sys, time
import torch
from sora_core.latents.streaming import decode_pieces
from sora_core.latents.decoding import encode
from sora_core.loading.checkpoint import load_model
kind, dtype, frames, height, width = sys.argv[1], getattr(torch, sys.argv[2]), *map(int, sys.argv[3:])
vae = load_model("sora-mini", dtype).vae
latents = vae.latent_frames(frames)
z = torch.randn(1, 16, latents, height // 8, width // 8, generator=torch.Generator().manual_seed(0))
images = torch.rand(frames, height, width, 3, generator=torch.Generator().manual_seed(0))
def status(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) / 1024
loaded = status("VmRSS")
def work():
    if kind == "encode":
        encode(vae, images)
    else:
        for frames in decode_pieces(vae, z.split(4, 2)):
            del frames
for _ in sys.stdin:
    start = time.perf_counter()
    with torch.no_grad():
        work()
    print(time.perf_counter() - start, status("VmHWM") - loaded, flush=True)
"""


class Worker:
    """A process of one checkout that does a piece of work when asked."""

    def __init__(self, tree: Path, *settings: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, *map(str, settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(tree)},
            cwd="/",
        )

    def __call__(self) -> tuple[float, float]:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        seconds, megabytes = map(float, self.process.stdout.readline().split())
        return seconds, megabytes

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def compare(trees: list[Path], rounds: int, *settings: object) -> dict:
    workers = [Worker(tree, *settings) for tree in trees]
    try:
        for worker in workers:
            worker()
        times = [[worker()[0] for worker in workers] for _ in range(rounds)]
    finally:
        for worker in workers:
            worker.close()
    medians = [statistics.median(column) for column in zip(*times, strict=True)]
    kind, dtype, frames, height, width = settings
    found = {"what": kind, "dtype": dtype, "clip": f"{width}x{height}x{frames}", "seconds": round(medians[0], 4)}
    return found | ({"base_over_this": round(medians[1] / medians[0], 2)} if len(medians) > 1 else {})


def memory(tree: Path, kind: str, frames: int, height: int, width: int) -> float:
    worker = Worker(tree, kind, "float32", frames, height, width)
    try:
        return round(worker()[1])
    finally:
        worker.close()


def memories(tree: Path, rounds: int, lengths: tuple[int, ...]) -> list[dict]:
    found: dict[int, list[float]] = {frames: [] for frames in lengths}
    for _ in range(rounds):
        for frames in lengths:
            found[frames].append(memory(tree, "decode", frames, 256, 384))
    return [
        {"what": "decode", "frames": frames, "megabytes": statistics.median(each), "each": sorted(each)}
        for frames, each in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", type=Path, help="another checkout, to compare with")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="decode,encode,memory", help="parts of it, separated by commas")
    parser.add_argument("--short", action="store_true", help="one small clip, decoded")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    args = parser.parse_args()
    trees = [ROOT, *([args.base.resolve()] if args.base else [])]
    sizes = [(17, 128, 128)] if args.short else [(17, 128, 128), (17, 256, 384)]
    only = {"decode"} if args.short else set(args.only.split(","))
    types = ("float32",) if args.short else ("float32", "bfloat16")
    kinds = [(kind, dtype) for kind in ("decode", "encode") if kind in only for dtype in types]
    rows = []
    for kind in kinds:
        for size in sizes:
            rows.append(compare(trees, args.rounds, *kind, *size))
            print(rows[-1], file=sys.stderr, flush=True)
    if "memory" in only:
        rows += memories(ROOT, args.rounds, (33, 129, 257))
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
