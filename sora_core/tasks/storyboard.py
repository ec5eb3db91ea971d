"""Several shots in one video: each shot's tokens read their own prompt, all tokens see each other.

Shots are made together, so that a subject named in several of them is the same one. A cut falls between two latents.
How the prompts travel depends on the model, see `shots`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import SoraError, expect
from ..media.sizes import check_rate

MAX_SHOTS = 8  # of one clip, made together
MAX_LONG_SHOTS = 200  # of a long video
# At the start of a line.
_SECONDS = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*(?:s|sec|seconds|秒)?\s*(keep|保留)?\s*[:：|]")


@dataclass(frozen=True)
class Shot:
    """One shot of a video."""

    prompt: str
    seconds: float
    keep: bool = False  # whether it is to stay as an earlier render has it, whatever else changes


def parse_storyboard(text: str, seconds: float = 2.0, most: int = MAX_SHOTS) -> list[Shot]:
    """Read shots from lines of `SECONDS: prompt`; a line without seconds gets `seconds`.

    `SECONDS keep: prompt` is a shot that stays as an earlier render has it.

    Raises SoraError that names the line, and for more than `most` shots or none.
    """
    shots = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = _SECONDS.match(line)
        prompt, duration = (line[match.end() :].strip(), float(match[1])) if match else (line.strip(), seconds)
        shots.append(_checked(f"Line {number} of the storyboard", prompt, duration, bool(match and match[2])))
    expect(bool(shots), "The storyboard is empty: write one shot per line, for example `2s: a cat on a beach`.")
    expect(len(shots) <= most, f"The storyboard has {len(shots)} shots, at most {most} are made. Join some.")
    return shots


def _checked(name: str, prompt: str, seconds: float, keep: bool) -> Shot:
    """Make a shot. Raises SoraError, with its `name`, for an empty prompt and for a duration out of range."""
    expect(bool(prompt), f"{name} has no prompt: write what the shot shows.")
    expect(math.isfinite(seconds) and 0 < seconds <= 600, f"{name} lasts {seconds:g} s: use more than 0, at most 600.")
    return Shot(prompt, seconds, keep)


def shots_of(
    shots: str | Sequence[Shot | tuple[str, float]], most: int = MAX_SHOTS, seconds: float = 2.0
) -> list[Shot]:
    """Read a storyboard from text, see `parse_storyboard`, or from shots and (prompt, seconds) pairs."""
    if not isinstance(shots, str):
        expect(
            isinstance(shots, Sequence),
            f"The shots are {shots!r:.60}: use lines such as `2s: a cat on a beach`, or (prompt, seconds) pairs.",
        )
        listed = [_shot_of(f"Shot {number}", shot) for number, shot in enumerate(shots, 1)]
        shots = "\n".join(f"{shot.seconds:.6f}{' keep' * shot.keep}: {shot.prompt}" for shot in listed)
    return parse_storyboard(shots, seconds, most)


def _shot_of(name: str, shot: Any) -> Shot:
    """Read one shot, its prompt on one line. Raises SoraError for what is neither a `Shot` nor a pair."""
    pair = (shot.prompt, shot.seconds) if isinstance(shot, Shot) else shot
    fits = isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[0], str)
    expect(
        fits and hasattr(pair[1], "__float__"),
        f"{name} is {shot!r:.60}: use a (prompt, seconds) pair, such as ('a cat on a beach', 2).",
    )
    return _checked(name, " ".join(pair[0].split()), float(pair[1]), isinstance(shot, Shot) and shot.keep)


def plan_shots(shots: Sequence[Shot], fps: float, ratio: int = 4) -> list[int]:
    """Count the latents of each shot, at least one. The first shot's first latent is a single frame.

    Each cut is at the latent nearest to where it was asked for, so that rounding does not add up. ratio: frames of one
    latent. Raises SoraError for a frame rate out of range.
    """
    expect(bool(shots), "There are no shots.")
    check_rate(fps)
    cuts, time = [0], 0.0
    for shot in shots:
        time += shot.seconds
        cuts.append(max(cuts[-1] + 1, 1 + math.floor((time * fps - 1) / ratio + 0.5)))
    return [b - a for a, b in zip(cuts, cuts[1:], strict=False)]


def shots_of_window(latents: Sequence[int], start: int, length: int) -> tuple[list[int], list[int]]:
    """Find which shots the window of `length` latents from `start` shows, and how many latents of each.

    latents: how many each shot has. What is past the last shot belongs to it.
    """
    numbers, counts, begin = [], [], 0
    for number, count in enumerate(latents):
        end = begin + count if number < len(latents) - 1 else math.inf
        shared = min(end, start + length) - max(begin, start)
        if shared > 0:
            numbers.append(number)
            counts.append(int(shared))
        begin += count
    if not numbers:
        raise SoraError(f"The storyboard has no shot at latent {start}.")
    return numbers, counts
