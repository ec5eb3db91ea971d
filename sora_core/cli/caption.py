"""`sora caption PATH...`: say what videos show; in a folder, beside each video, as training data."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ..errors import SoraError, expect
from ..words import printable
from .options import seed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `sora caption`."""
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="a video; or a folder, where clip.txt is written beside each clip.mp4",
    )
    parser.add_argument(
        "--length", choices=("short", "medium", "long"), default="medium", help="how much is said (default: medium)"
    )
    parser.add_argument("--language", choices=("en", "zh"), default="en", help="English or Chinese (default: en)")
    parser.add_argument("--seed", type=seed, default=0, help="another seed, another wording (default: 0)")
    parser.add_argument("--write", action="store_true", help="write the text beside single videos, too")
    parser.add_argument("--overwrite", action="store_true", help="replace texts that are there")
    parser.add_argument(
        "--observer",
        default="observer",
        metavar="NAME_OR_FILE",
        help="the network that watches: the embedded one, or one of `sora train observer`",
    )
    parser.add_argument("--json", action="store_true", help="print captions, facts and confidence as JSON")


def run(args: argparse.Namespace) -> int:
    """Caption what is asked for; returns 1 if a file of a folder could not be read."""
    from ..files import VIDEOS, is_folder
    from ..observer.network import load_observer
    from ..observer.watch import watch_file

    jobs = [(path, args.write) for path in args.paths if not is_folder(path)]
    for folder in (path for path in args.paths if is_folder(path)):
        kinds = tuple(suffix for suffix in VIDEOS if suffix != ".m4v")
        found = sorted(p for p in folder.iterdir() if p.suffix.lower() in kinds)
        expect(bool(found), f"There is no video in the folder {str(folder)!r} ({', '.join(kinds)}).")
        jobs += [(path, True) for path in found]
    observer = load_observer(args.observer)
    rows, failed = [], 0
    for path, write in jobs:
        text_path = path.with_suffix(".txt")
        # A text that is there may have been put right by hand.
        if write and text_path.exists() and not args.overwrite:
            print(
                f"sora: {printable(str(text_path))} is there already: kept. Use --overwrite to replace it.",
                file=sys.stderr,
            )
            continue
        try:
            sight = watch_file(path, observer)
        except SoraError as error:
            if len(jobs) == 1:
                raise
            print(f"sora: {printable(str(error))}", file=sys.stderr)  # one bad file does not stop a folder
            failed += 1
            continue
        text = sight.say(args.language, args.length, args.seed)
        if write:
            text_path.write_text(text + "\n", encoding="utf-8")
        rows.append({"file": str(path), "caption": text, "confidence": sight.confidence, "facts": sight.facts})
        if not args.json:
            label = f"{printable(str(path))}: " if len(jobs) > 1 else ""
            print(f"{label}{text}  [sure {100 * sight.confidence['overall']:.0f}%]", flush=True)
    if args.json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
    return 1 if failed else 0
