"""A gate of guidance: the negative prompt is asked only where what it says has changed.

Guidance lives on the difference between the prompts' velocities, which changes far less over a run than the velocities
do. So the negative prompt's is told from the positive one's and the last differences, as FasterCache (arXiv 2410.19355)
does for every second step; here it is left out while the difference is expected to be told well enough. A step without
it costs half.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..prompts import Prompt
from ..velocity import Velocity
from .chain import announce, generated
from .track import USUAL, Track, keys_of

MOST_GATED = 4  # calls of the negative prompt left out in a row


@dataclass(frozen=True)
class GuidanceGate:
    """A wrapper of the model call, see `velocity`. It keeps nothing from one run to the next."""

    tolerance: float  # of a difference's expected error, as a part of an estimate's spread: 0 leaves nothing out

    def __call__(self, velocity: Velocity) -> Velocity:
        """Wrap the model call of one run."""
        return _GateRun(velocity, self.tolerance)


class _GateRun:
    """The model calls of one run: the first prompt in each, the others in some."""

    def __init__(self, velocity: Velocity, tolerance: float) -> None:
        self.inner, generate = velocity, generated(velocity)
        self.track = gate_track(tolerance, lambda: generate)
        self.whole = True  # whether all prompts were asked in the last call

    def __call__(self, x: Tensor, sigma: Tensor, prompts: Sequence[Prompt]) -> list[Tensor]:
        """Predict the velocity `[B,C,T,H,W]` of `x` at `sigma` `[B]` for each of `prompts`."""
        self.whole = True
        if len(prompts) < 2:
            self.track.forget()
            return self.inner(x, sigma, prompts)
        level = float(sigma.flatten()[0])
        keys = (announce(self.inner, x, sigma), *keys_of(prompts))
        wide = sigma.view(-1, *[1] * (x.ndim - 1))
        # Differences of estimates, sigma times those of velocities: they go on smoothly where sigma falls to 0.
        told = self.track.expected(level, keys)
        self.whole = told is None
        if told is not None:
            (first,) = self.inner(x, sigma, prompts[:1])
            return [first, *(first - told / wide)]
        made = self.inner(x, sigma, prompts)
        differences = torch.stack([wide * (made[0] - v) for v in made[1:]])
        self.track.learn(level, differences, x - wide * made[0])
        return made


def gate_track(tolerance: float, generate: Callable[[], Tensor | None]) -> Track:
    """Make what a gate keeps of a run. generate: gives what is generated, bool `[B,1,T,H,W]`, None for all."""
    return Track(tolerance, MOST_GATED, lambda values: (USUAL - 1) * values.mean(0), generate)
