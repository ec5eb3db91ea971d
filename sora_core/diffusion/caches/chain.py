"""What a cache has to know of the calls that it stands around."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def generated(velocity: Any) -> Tensor | None:
    """Find what a run generates, bool `[B,1,T,H,W]`: what it keeps says nothing of how its values change.

    None where all of it is, or where a wrapper of somebody else's stands between.
    """
    while velocity is not None:
        kept = getattr(velocity, "kept", None)
        if kept is not None:
            return kept.generate
        velocity = getattr(velocity, "inner", None)
    return None


def announce(velocity: Any, x: Tensor, sigma: Tensor) -> Any:
    """Tell two experts of a call that may be left out, and return whose turn it is; None for a network alone."""
    while velocity is not None:
        if hasattr(velocity, "announce"):
            return velocity.announce(x, sigma)
        velocity = getattr(velocity, "inner", None)
    return None
