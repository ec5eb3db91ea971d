"""The held-out part of the world: combinations of words that test prompts are made of."""

from __future__ import annotations

import zlib
from typing import Any

SHARE = 10  # one combination in ten
REDRAWS = 10**15  # beyond every seed of a data set: where the clips come from that take a held-out one's place


def held_out(subject: str, scene: str, motion: str) -> bool:
    """Return whether a test prompt may use this combination. The same everywhere and for ever: a hash of the words."""
    return zlib.crc32(f"{subject}|{scene}|{motion}".encode()) % SHARE == 0


def shows_held_out(facts: dict[str, Any]) -> bool:
    """Return whether any subject of a clip does, in any of its shots, what only test prompts ask for."""
    return any(
        held_out(subject["name"], shot["scene"], motion)
        for shot in facts["shots"]
        for subject, motion in zip(facts["subjects"], shot["motions"], strict=True)
    )
