"""`sora train latents`: encode rendered clips with a VAE."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=8, help="clips at a time (default: 8)")


def run(args: argparse.Namespace) -> None:
    """Write the latent shards."""
    from ..data.latents import encode_shards

    encode_shards(args.data, args.out, args.vae, args.device, args.batch)
