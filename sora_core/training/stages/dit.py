"""`sora train dit`: train the transformer and its text encoder on latents, or tune a model on a user's own videos."""

from __future__ import annotations

import argparse

from .options import add_config, add_videos, config_words


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    add_config(parser, "dit")
    add_videos(parser, "train the model on", required=False)


def run(args: argparse.Namespace) -> None:
    """Train, or go on where the run's folder holds a state. With --data, print the file of the tuned model."""
    from ..loop.config import load_config
    from ..recipes.dit import DiTTrainer, DiTTraining

    if args.data:
        from ..recipes.finetune import finetune

        config = load_config(DiTTraining, args.config or "tune-mini", config_words(args))
        print(finetune(config, args.data, args.caption))
        return
    DiTTrainer(load_config(DiTTraining, args.config or "dit-mini", config_words(args))).run()
