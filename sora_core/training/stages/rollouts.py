"""`sora train rollouts`: clips that a model makes of practice prompts, judged."""

from __future__ import annotations

import argparse
from pathlib import Path

from .options import add_sprites


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="sora-mini", help="a name or a checkpoint (default: sora-mini)")
    parser.add_argument("--lora", action="append", default=[], metavar="FILE[:STRENGTH]", help="can be repeated")
    parser.add_argument("--only", default="company,gravity,occlusion", metavar="A,B", help="abilities")
    parser.add_argument("--batches", type=int, default=30, help="files to make, 25 clips each at most (default: 30)")
    parser.add_argument("--each", type=int, default=4, help="clips of a prompt, 1 to measure only (default: 4)")
    parser.add_argument("--steps", type=int, help="of the sampler (default: the model's)")
    add_sprites(parser)
    parser.add_argument("--preset", default="cast")
    parser.add_argument("--seed", type=int, default=0, help="number of the set of prompts, 0 to 1000")


def run(args: argparse.Namespace) -> None:
    """Write the rollouts and print their folder."""
    from ..recipes.rollouts import rollouts_of

    print(
        rollouts_of(
            args.out,
            args.model,
            tuple(args.only.split(",")),
            args.batches,
            args.each,
            args.steps,
            args.sprites,
            args.preset,
            args.seed,
            args.lora,
        )
    )
