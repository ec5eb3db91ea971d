"""`sora train distill`: a few-step LoRA, first part: the ends of the teacher's paths."""

from __future__ import annotations

import argparse

from .options import add_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    add_config(parser, "distill")


def run(args: argparse.Namespace) -> None:
    """Train, or go on where the run's folder holds a state; print the LoRA's file."""
    from ..loop.config import load_config
    from ..recipes.distill import DistillTraining, distill

    print(distill(load_config(DistillTraining, args.config or "distill-mini", args.overrides)))
