"""`sora train observer`: train the network that names the things in a video."""

from __future__ import annotations

import argparse

from .options import add_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    add_config(parser, "observer")


def run(args: argparse.Namespace) -> None:
    """Train, or go on where the run's folder holds a state."""
    from ..loop.config import load_config
    from ..recipes.observer import ObserverTrainer, ObserverTraining

    ObserverTrainer(load_config(ObserverTraining, args.config or "observer-mini", args.overrides)).run()
