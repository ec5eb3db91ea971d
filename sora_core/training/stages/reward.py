"""`sora train reward`: a LoRA that learns from judged clips."""

from __future__ import annotations

import argparse

from .options import add_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    add_config(parser, "reward")


def run(args: argparse.Namespace) -> None:
    """Train, or go on where the run's folder holds a state; print the LoRA's file."""
    from ..loop.config import load_config
    from ..recipes.reward import RewardTraining, learn_from_rewards

    print(learn_from_rewards(load_config(RewardTraining, args.config or "reward-mini", args.overrides)))
