"""`sora train merge`: a model with a LoRA merged into it."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("model", help="a name or a checkpoint")
    parser.add_argument("lora", metavar="FILE[:STRENGTH]")
    parser.add_argument("--out", type=Path, required=True)


def run(args: argparse.Namespace) -> None:
    """Write the merged model and print its file."""
    from ..recipes.finetune import merge

    print(merge(args.model, args.lora, args.out))
