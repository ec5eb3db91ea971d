"""Noise of what is kept, for a run that goes on where another stopped.

A LATENT that a run left before its end holds noise where it is generated, and is clean where it is kept. Many models
see what is kept noised along with the rest: the next run, which draws no noise, needs the noise of the first there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .streams import is_nested, parts_of

LEFTOVER = "sora_noise"  # key of a LATENT: noise `[B,C,T,h,w]` where it is kept, 0 where it is generated


def leave_noise(latent: Mapping[str, Any], generate: Tensor | None, noise: Any) -> dict[str, Any]:
    """Copy a LATENT with the `noise` of what a run kept of its picture, which ended above sigma 0.

    generate: `[B,1,T,h,w]`, above 0.5 where the run generated; None for everywhere, or for a run that was finished.
    """
    rest = {key: value for key, value in latent.items() if key != LEFTOVER}
    if generate is None or noise is None:
        return rest
    drawn = parts_of(noise)[0]
    kept = generate.to(drawn.device) <= 0.5
    return {**rest, LEFTOVER: drawn * kept}


def take_noise(latent: Mapping[str, Any], noise: Any) -> Any:
    """Return `noise` like the samples of a LATENT, or where it is none at all what the run before left there."""
    left = latent.get(LEFTOVER)
    drawn, *sounds = parts_of(noise)
    if not isinstance(left, Tensor) or left.shape != drawn.shape or any(bool(part.any()) for part in (drawn, *sounds)):
        return noise
    return type(noise)([left.to(drawn), *sounds]) if is_nested(noise) else left.to(drawn)
