"""Time and memory of the main job on the embedded model: 17 frames of 128x128, 25 steps with guidance.

    python tests/benchmarks/end_to_end.py [--json] [--repeats 5]

cold: a new process, `sora generate` from start to written mp4. warm: `generate` in a process that has run once.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROMPT = "a cat moving right on a beach"
PROBE = """
import json, resource, sys, time
from sora_core.cli import main
start = time.monotonic()
code = main(["generate", sys.argv[1], "-o", sys.argv[2]])
print(json.dumps({"code": code, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""
IMPORTS = "import time; import torch; t = time.monotonic(); import sora_core; print(time.monotonic() - t)"


def timed(command: list[str], **options) -> tuple[float, str]:
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=True, **options)
    return time.monotonic() - start, done.stdout


def measure(repeats: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "cat.mp4")
        colds, peaks = [], []
        for _ in range(repeats):
            seconds, stdout = timed([sys.executable, "-c", PROBE, PROMPT, out])
            colds.append(seconds)
            peaks.append(json.loads(stdout.splitlines()[-1])["peak_mb"])
    import_seconds = min(float(timed([sys.executable, "-c", IMPORTS])[1]) for _ in range(3))
    help_seconds = min(
        timed([sys.executable, "-c", "from sora_core.cli import main; main(['--help'])"])[0] for _ in range(3)
    )

    import torch

    import sora_core

    pipeline = sora_core.load()
    pipeline.generate(PROMPT, steps=2)
    warms, decodes = [], []
    for seed in range(repeats):
        start = time.monotonic()
        video = pipeline.generate(PROMPT, seed=seed)
        warms.append(time.monotonic() - start)
        start = time.monotonic()
        pipeline.decode(video.latent)
        decodes.append(time.monotonic() - start)
    quick, few = pipeline.with_lora("sora-mini-4step"), []
    quick.generate(PROMPT)
    for seed in range(repeats):
        start = time.monotonic()
        quick.generate(PROMPT, seed=seed)
        few.append(time.monotonic() - start)
    return {
        "prompt": PROMPT,
        "frames": 17,
        "size": "128x128",
        "steps": 25,
        "cfg": 4.0,
        "sampler": pipeline.habits()[2],
        "cold_s": round(statistics.median(colds), 2),
        "warm_s": round(statistics.median(warms), 2),
        "four_steps_warm_s": round(statistics.median(few), 2),
        "decode_s": round(statistics.median(decodes), 3),
        "peak_memory_mb": round(max(peaks)),
        "import_sora_core_s": round(import_seconds, 3),
        "help_s": round(help_seconds, 2),
        "own_peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "repeats": repeats,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON only")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    result = measure(args.repeats)
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        for key, value in result.items():
            print(f"{key:20} {value}")


if __name__ == "__main__":
    main()
