"""Files of many kinds, read and saved anew, against ffmpeg's reading of them.

    python tests/benchmarks/files.py [--json] [--short] [--only TEXT] [--saves]

A few hundred variants are drawn by ffmpeg: containers, codecs, B-frames, rates, sizes, turns, aspects, transparency,
layouts and offsets of sound. Of each: as many frames as ffmpeg has; frames within 3/255 of its; sound within 10 ms and
0.5 dB of what ffmpeg hears; and all that again of what we save of it, as ffmpeg reads it. With --saves, twenty
processes save 50 clips each into one folder, and reports and files are counted. Needs ffmpeg.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import _paths  # noqa: F401 (for its effect on sys.path)
from media_variants import EXCEPTIONS, judge, make, variants
from saving_at_once import save_at_once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON only")
    parser.add_argument("--short", action="store_true", help="a few of each kind")
    parser.add_argument("--only", default="", metavar="TEXT", help="variants whose name holds this")
    parser.add_argument("--saves", action="store_true", help="save from twenty processes in place of the variants")
    args = parser.parse_args()
    began = time.monotonic()
    result = saves() if args.saves else files(args.short, args.only)
    result["seconds"] = round(time.monotonic() - began)
    print(json.dumps(result, ensure_ascii=False) if args.json else "\n".join(f"{k}: {v}" for k, v in result.items()))


def files(short: bool, only: str) -> dict:
    """Judge all variants, two at a time."""
    chosen = [variant for variant in variants(short) if only in variant.name]
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(2) as pool:
        wrong = dict(zip((v.name for v in chosen), pool.map(_judged, chosen, [folder] * len(chosen)), strict=True))
    wrong = {name: words for name, words in wrong.items() if words}
    excused = {name: words for name, words in wrong.items() if any(name.startswith(known) for known in EXCEPTIONS)}
    return {
        "variants": len(chosen),
        "as ffmpeg": len(chosen) - len(wrong),
        "exceptions": excused,
        "wrong": {name: words for name, words in wrong.items() if name not in excused},
    }


def _judged(variant: object, folder: str) -> list[str]:
    try:
        return judge(variant, make(variant, Path(folder)))
    except Exception as error:  # noqa: BLE001 (one variant that cannot be made or judged must not end the rest)
        return [f"{type(error).__name__}: {error}"]


def saves(processes: int = 20, clips: int = 50) -> dict:
    """Count what many processes report to have saved into one folder, and what lies there."""
    with tempfile.TemporaryDirectory() as folder:
        reported = save_at_once(Path(folder), processes, clips)
        there = sorted(path.name for path in Path(folder).rglob("*") if path.is_file())
    return {
        "processes": processes,
        "reports": len(reported),
        "different names": len(set(reported)),
        "files": len(there),
        "kinds": dict(Counter(Path(name).suffix for name in there)),
        "as reported": sorted(reported) == there,
    }


if __name__ == "__main__":
    sys.exit(main())
