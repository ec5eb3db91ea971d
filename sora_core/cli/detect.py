"""`sora detect FILE`: was this video made here? What credentials, watermark and looks say, and what that proves."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from ..errors import expect


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `sora detect`."""
    parser.add_argument("file", type=Path, help="a video or a picture")
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")
    parser.add_argument("--plot", type=Path, metavar="OUT.png", help="draw the probability of each frame")
    parser.add_argument(
        "--key",
        metavar="SECRET",
        help="the watermark's key (default: SORA_WATERMARK_KEY, or `sora key`'s; then the key that everybody knows)",
    )
    parser.add_argument("--trust", type=Path, metavar="PEM", help="certificates whose signatures are trusted")
    parser.add_argument(
        "--classifier",
        type=Path,
        metavar="FILE",
        help="weights of `sora train detector`, for another VAE's pictures (default: sora-mini's)",
    )


def run(args: argparse.Namespace) -> int:
    """Examine a file, and draw what was found if asked to."""
    from ..files import ensure_writable, written_beside
    from ..provenance.detector.classifier import WEIGHTS
    from ..provenance.detector.detect import detect_file
    from ..provenance.watermark.secret import watermark_key

    if args.plot is not None:
        expect(args.plot.suffix.lower() == ".png", f"The plot {str(args.plot)!r} is not a png: end its name in .png.")
        # Before the work, which takes a while.
        ensure_writable(args.plot.parent)
    found = detect_file(
        args.file, key=args.key or watermark_key(), trust=args.trust, classifier=args.classifier or WEIGHTS
    )
    if args.json:
        print(json.dumps({"file": os.fspath(args.file), **found.as_dict()}, ensure_ascii=False))
    else:
        print(found.text())
    if args.plot is not None:
        from ..provenance.detector.plot import draw_frames

        with written_beside(args.plot) as part:
            draw_frames(found).save(part)
    return 0
