"""`sora train vae`: train the VAE that the transformer's latents come from."""

from __future__ import annotations

import argparse

from .options import add_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    add_config(parser, "vae")


def run(args: argparse.Namespace) -> None:
    """Train, or go on where the run's folder holds a state."""
    from ..loop.config import load_config
    from ..recipes.vae import VAETrainer, VAETraining

    VAETrainer(load_config(VAETraining, args.config or "vae-mini", args.overrides)).run()
