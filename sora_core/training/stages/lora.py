"""`sora train lora`: a LoRA of a model, trained on a user's own videos."""

from __future__ import annotations

import argparse

from .options import add_config, add_videos, config_words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    add_config(parser, "lora")
    add_videos(parser, "adapt it to", required=True)
    parser.add_argument("--rank", type=int, help="of the changes (default: 8)")


def run(args: argparse.Namespace) -> None:
    """Train, or go on where the run's folder holds a state; print the LoRA's file."""
    from ..loop.config import load_config
    from ..recipes.lora import LoRATraining, train_lora

    config = load_config(LoRATraining, args.config or "lora-mini", config_words(args))
    print(train_lora(config, args.data, args.caption))
