"""`sora train average`: the mean of several LoRAs of one model."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("files", nargs="+", metavar="FILE", help="LoRA files, or names of those inside the package")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rank", type=int, help="of the result (default: the first file's)")


def run(args: argparse.Namespace) -> None:
    """Write the mean and print its file."""
    from ..recipes.lora import mean_of

    print(mean_of(args.files, args.out, args.rank))
