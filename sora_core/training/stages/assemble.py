"""`sora train assemble`: join VAE and DiT weights into one model file."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--dit", type=Path, required=True, nargs="+", help="or several: their mean")
    parser.add_argument("--data", type=Path, required=True, help="rendered clips, for the preview colours")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", default="sora-mini")
    parser.add_argument("--steps", type=int, help="that the model samples best with")
    parser.add_argument("--cfg", type=float, help="guidance that suits it")
    parser.add_argument("--sampler", help="sampler that suits it")
    parser.add_argument("--shift", type=float, default=3.0, help="of the noise levels that suits it (default: 3)")


def run(args: argparse.Namespace) -> None:
    """Write the model."""
    from ..recipes.assemble import assemble

    habits = {key: getattr(args, key) for key in ("steps", "cfg", "sampler", "shift")}
    assemble(args.vae, args.dit, args.data, args.out, args.name, **habits)
