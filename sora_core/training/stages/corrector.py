"""`sora train corrector`: train the network that corrects a VAE's latents."""

from __future__ import annotations

import argparse

from .options import add_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    add_config(parser, "corrector")


def run(args: argparse.Namespace) -> None:
    """Train, or go on where the run's folder holds a state."""
    from ..loop.config import load_config
    from ..recipes.corrector import CorrectorTrainer, CorrectorTraining

    CorrectorTrainer(load_config(CorrectorTraining, args.config or "corrector-mini", args.overrides)).run()
