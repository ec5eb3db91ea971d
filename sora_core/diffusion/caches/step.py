"""A step cache: model calls are left out while the run goes straight.

Estimates of x0 hardly bend over stretches of a run. As in TeaCache (arXiv 2411.19108) and EasyCache (arXiv 2507.02860)
what a call would change is estimated from the calls before, adds up over those left out, and a call is made once it
reaches a tolerance. As in TaylorSeer (arXiv 2503.06923) what is left out is not repeated but foretold, here by a line
through the last two estimates. Estimates of x0 are kept, not velocities: a sampler that adds fresh noise changes the
velocity by all of it, and what it has to be is known from x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..prompts import Prompt
from ..velocity import Velocity
from .chain import announce, generated
from .track import Track, guided, keys_of

MOST_STEPS = 4  # left out in a row


@dataclass(frozen=True)
class StepCache:
    """A wrapper of the model call, see `velocity`. It keeps nothing from one run to the next."""

    tolerance: float  # of an estimate's expected error, as a part of its spread: 0 leaves no call out

    def __call__(self, velocity: Velocity) -> Velocity:
        """Wrap the model call of one run."""
        return _StepRun(velocity, self.tolerance)


class _StepRun:
    """The model calls of one run, of which some are left out."""

    def __init__(self, velocity: Velocity, tolerance: float) -> None:
        self.inner, generate = velocity, generated(velocity)
        self.track = step_track(tolerance, lambda: generate)

    def __call__(self, x: Tensor, sigma: Tensor, prompts: Sequence[Prompt]) -> list[Tensor]:
        """Predict the velocity `[B,C,T,H,W]` of `x` at `sigma` `[B]` for each of `prompts`, or foretell it."""
        level = float(sigma.flatten()[0])
        keys = (announce(self.inner, x, sigma), *keys_of(prompts))
        wide = sigma.view(-1, *[1] * (x.ndim - 1))
        told = self.track.expected(level, keys)
        if told is not None:
            return list((x - told) / wide)
        made = self.inner(x, sigma, prompts)
        estimates = torch.stack([x - wide * v for v in made])
        self.track.learn(level, estimates, estimates[0], getattr(self.inner, "whole", True))
        return made


def step_track(tolerance: float, generate: Callable[[], Tensor | None]) -> Track:
    """Make what a step cache keeps of a run. generate: gives what is generated, bool `[B,1,T,H,W]`, None for all."""
    return Track(tolerance, MOST_STEPS, guided, generate)
