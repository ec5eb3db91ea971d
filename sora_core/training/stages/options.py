"""Options that several stages share."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_config(parser: argparse.ArgumentParser, name: str) -> None:
    """Add --config and the KEY=VALUE words of a stage whose settings are TOML."""
    parser.add_argument("--config", help=f"TOML file or a name in training/configs (default: {name}-mini)")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")


def add_videos(parser: argparse.ArgumentParser, purpose: str, required: bool) -> None:
    """Add the options of training on a user's own videos; purpose: what they are for, as the help says it."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        required=required,
        help=f"{purpose} these videos, each with a .txt beside it",
    )
    parser.add_argument("--caption", default="", help="the caption of those that have none")
    parser.add_argument("--model", help="what to start from: a name or a checkpoint (default: sora-mini)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run's folder")


def add_sprites(parser: argparse.ArgumentParser) -> None:
    """Add --sprites, the pictures of the world's subjects."""
    parser.add_argument("--sprites", type=Path, help="unpacked sprite package; without it, subjects drawn by code")


def config_words(args: argparse.Namespace) -> list[str]:
    """Return the settings of a run as KEY=VALUE words: options that are settings too, then what was written so.

    The written ones come last and win.
    """
    named = {"init": args.model, "out": args.out, "rank": getattr(args, "rank", None)}
    given = {key: value if isinstance(value, int) else str(value) for key, value in named.items() if value is not None}
    return [*(f"{key}={json.dumps(value)}" for key, value in given.items()), *args.overrides]
