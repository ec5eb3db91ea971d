"""`sora train prompts`: train the embedded check of prompts."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("--out", type=Path, help="where to write the weights; without it, into the package")
    parser.add_argument("--texts", type=int, default=36_000, help="sentences to train on")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> None:
    """Train, write the weights and print the figures of held-out sentences."""
    from ...safety.prompts.classifier import WEIGHTS
    from ..prompt_safety.train import train

    print(train(args.out or WEIGHTS, args.texts, args.epochs, seed=args.seed))
