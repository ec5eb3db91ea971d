"""Wrappers of the model call that leave calls out where little changes: a step cache, and a gate of guidance."""

from __future__ import annotations

import math

from ...errors import expect
from ..velocity import Wrapper
from .gate import GuidanceGate
from .step import StepCache

__all__ = ["MOST", "GuidanceGate", "StepCache", "caching", "check_caching"]

MOST = 1.0  # of either dial: more would let a run be made of its first calls


def check_caching(cache: float, gate: float) -> None:
    """Raise SoraError unless both dials are numbers from 0 to `MOST`."""
    for name, value in (("cache", cache), ("gate", gate)):
        expect(
            math.isfinite(value) and 0 <= value <= MOST,
            f"{name} is {value}. Use 0 (off, every model call is made) to {MOST:g} (the fewest calls).",
        )


def caching(cache: float, gate: float) -> tuple[Wrapper, ...]:
    """Make the wrappers of two dials, see `StepCache` and `GuidanceGate`; none where both are 0.

    Raises SoraError for a dial out of range.
    """
    check_caching(cache, gate)
    # The step cache outside: a step that it leaves out asks the gate for nothing.
    steps = (StepCache(cache),) if cache else ()
    gates = (GuidanceGate(gate),) if gate else ()
    return (*steps, *gates)
