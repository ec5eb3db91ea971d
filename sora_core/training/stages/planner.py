"""`sora train planner`: train the planner of layouts of a model."""

from __future__ import annotations

import argparse

from .options import add_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    add_config(parser, "planner")


def run(args: argparse.Namespace) -> None:
    """Train, or go on where the run's folder holds a state."""
    from ..loop.config import load_config
    from ..recipes.planner import PlannerTrainer, PlannerTraining

    PlannerTrainer(load_config(PlannerTraining, args.config or "planner-mini", args.overrides)).run()
