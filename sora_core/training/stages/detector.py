"""`sora train detector`: train the classifier that recognises a VAE's pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import add_sprites


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("--vae", default="sora-mini", help="a model or the export of a VAE run (default: sora-mini)")
    parser.add_argument("--name", help="what reports call the decoder (default: the model's name)")
    parser.add_argument("--out", type=Path, help="where to write the weights; without it, into the package")
    parser.add_argument("--clips", type=int, default=160, help="scenes, each painted by the decoder and not")
    add_sprites(parser)
    parser.add_argument("--seed", type=int, default=0)


def run(args: argparse.Namespace) -> None:
    """Train and write the weights."""
    from ...provenance.detector.classifier import WEIGHTS
    from ..recipes.detector import train_detector

    train_detector(
        args.vae, args.out or WEIGHTS, count=args.clips, sprites=args.sprites, name=args.name, seed=args.seed
    )
