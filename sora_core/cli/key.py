"""`sora key`: a key of one's own for the watermark."""

from __future__ import annotations

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `sora key`: it has none."""
    parser.epilog = (
        "Where there is no other, the key that everybody knows is used: anybody can write its marks."
        " Exit codes: 0 made, 1 there is one already."
    )


def run(args: argparse.Namespace) -> int:
    """Make the key, and say where it lies."""
    from ..provenance.watermark.secret import make_key

    path = make_key()
    print(path)
    print(
        "From now on marks are written and read with this key, here and for this user. Keep a copy, and keep it to "
        "yourself: who has it can write your marks, and without it nobody reads them. Marks of before are still read.",
        file=sys.stderr,
    )
    return 0
