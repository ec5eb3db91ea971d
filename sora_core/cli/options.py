"""Options that several commands have, and types of values whose messages say what to write instead."""

from __future__ import annotations

import argparse
import math
import re

from ..diffusion import MAX_SEED


def add_policy(parser: argparse.ArgumentParser) -> None:
    """Add `--policy`: what `sora_core.safety.policy.configured_policy` takes."""
    parser.add_argument(
        "--policy",
        metavar="NAME_OR_FILE",
        help="a safety policy: default, strict, or a TOML file (the machine's own comes first)",
    )


def add_lora(parser: argparse.ArgumentParser) -> None:
    """Add `--lora`: what `sora_core.loading.lora.parse_lora` takes."""
    parser.add_argument(
        "--lora",
        action="append",
        default=[],
        metavar="FILE[:STRENGTH]",
        help="a LoRA to merge into the model (repeatable)",
    )


def add_caching(parser: argparse.ArgumentParser) -> None:
    """Add `--cache` and `--gate`: what `sora_core.diffusion.caches.caching` takes. Not given, they are None."""
    parser.add_argument(
        "--cache", type=float, metavar="TOLERANCE", help="leave out steps that change little: 0 (none) to 1, e.g. 0.6"
    )
    parser.add_argument(
        "--gate",
        type=float,
        metavar="TOLERANCE",
        help="the same for guidance, whose steps cost half then: 0 to 1, e.g. 0.5",
    )


def positive(text: str) -> float:
    """Read a number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def count(text: str) -> int:
    """Read a whole number of at least one."""
    # int() alone would take "1_0", " 7" and "+3".
    if not re.fullmatch(r"\d+", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def seed(text: str) -> int:
    """Read a whole number of at least zero that fits 64 bits."""
    if not re.fullmatch(r"\d+", text) or int(text) > MAX_SEED:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 2^64-1")
    return int(text)


def size(text: str) -> tuple[int, int]:
    """Read `WIDTHxHEIGHT` in pixels."""
    match = re.fullmatch(r"(\d+)\s*[xX×*]\s*(\d+)", text.strip())
    if not match or "0" in match.groups():
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT, for example 160x96")
    return int(match[1]), int(match[2])
