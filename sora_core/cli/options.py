"""Types of command line values, with messages that say what to write instead."""

from __future__ import annotations

import argparse
import math
import re


def add_policy(parser: argparse.ArgumentParser) -> None:
    """`--policy`: what `sora_core.safety.policy.configured_policy` takes."""
    parser.add_argument(
        "--policy",
        metavar="NAME_OR_FILE",
        help="a safety policy: default, strict, or a TOML file (the machine's own comes first)",
    )


def positive(text: str) -> float:
    """A number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def count(text: str) -> int:
    """A whole number of at least one."""
    if not re.fullmatch(r"\d+", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def seed(text: str) -> int:
    """A whole number of at least zero that fits 64 bits."""
    if not re.fullmatch(r"\d+", text) or int(text) >= 2**64:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 2^64-1")
    return int(text)


def size(text: str) -> tuple[int, int]:
    """`WIDTHxHEIGHT`."""
    match = re.fullmatch(r"(\d+)\s*[xX×*]\s*(\d+)", text.strip())
    if not match or "0" in match.groups():
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT, for example 160x96")
    return int(match[1]), int(match[2])
