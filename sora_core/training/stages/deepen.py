"""`sora train deepen`: a model with more blocks, which begins as the one it is made of."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("model", help="a name or a checkpoint")
    parser.add_argument("--after", type=int, nargs="+", required=True, metavar="BLOCK", help="where each new one goes")
    parser.add_argument("--out", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    """Write the deeper model and print its file."""
    from ..recipes.deepen import deepen

    print(deepen(args.model, args.after, args.out))
