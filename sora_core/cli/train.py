"""`sora train vae|dit|latents ...`: hands over to the training package's own command line."""

from __future__ import annotations

import argparse

OWN_PARSER = True


def run(args: argparse.Namespace) -> int | None:
    """Run a stage of training."""
    from ..training.cli import main

    return main([word for word in args.arguments if word != "--debug"])
