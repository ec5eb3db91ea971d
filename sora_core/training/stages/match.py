"""`sora train match`: a few-step LoRA, second part: the teacher's distribution."""

from __future__ import annotations

import argparse

from .options import add_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    add_config(parser, "match")


def run(args: argparse.Namespace) -> None:
    """Train, or go on where the run's folder holds a state; print the LoRA's file."""
    from ..loop.config import load_config
    from ..recipes.match import MatchTraining, match

    print(match(load_config(MatchTraining, args.config or "match-mini", args.overrides)))
