"""Classifier-free guidance: which prompts are on at a noise level, and what is made of their velocities."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import SoraError, expect
from .prompts import Prompt
from .velocity import Velocity


def rescale_guidance(guided: Tensor, cond: Tensor, amount: float, generate: Tensor | None = None) -> Tensor:
    """Pull the spread of a guided velocity `[B,C,T,H,W]` back to that of the prompt alone, by `amount` 0..1.

    Lin et al. 2023 (arXiv:2305.08891), eq. 15-16, on the model's output. The spread is each sample's standard
    deviation over the latents that are generated: bool `[B,1,T,H,W]`, None for all.
    """

    def spread(v: Tensor) -> Tensor:
        if generate is None:
            return v.flatten(1).std(dim=1)
        return torch.stack([s[g.expand_as(s)].std() for s, g in zip(v, generate, strict=True)])

    factor = amount * spread(cond) / spread(guided).clamp_min(1e-12) + (1 - amount)
    return guided * factor.view(-1, *[1] * (guided.ndim - 1))


def check_guidance(cfg: float, interval: tuple[float, float]) -> None:
    """Raise SoraError unless `cfg` is a number and `interval` an ascending pair within 0..1."""
    expect(math.isfinite(cfg), f"cfg is {cfg}. Use a number such as 5 (1 turns guidance off).")
    low, high = interval
    expect(0 <= low <= high <= 1, f"The guidance interval is {low} to {high}. Use 0 <= start <= end <= 1.")


class Guidance:
    """`guidance(x, sigma) -> v`, the velocity of the prompts that are on, away from that of the negative ones.

    v = v_negative + cfg * (v_positive - v_negative), Ho & Salimans 2022 (arXiv:2207.12598), eq. 6 with w = cfg - 1.
    Guidance stands on velocities: x0 is linear in them, and the rescaling is meant for what the model gives.
    """

    def __init__(
        self,
        velocity: Velocity,
        positive: Sequence[Prompt],
        negative: Sequence[Prompt] = (),
        cfg: float = 1.0,
        interval: tuple[float, float] = (0.0, 1.0),
        rescale: float = 0.0,
        generate: Tensor | None = None,
    ) -> None:
        """Guide by `cfg`; 1, or no negative prompt, is no guidance.

        interval: (low, high) sigmas between which guidance is used; outside, the positive prompt alone (Kynkaanniemi
        et al. 2024, arXiv:2404.07724). rescale, generate: see `rescale_guidance`. Raises SoraError for values out of
        range.
        """
        check_guidance(cfg, interval)
        low, high = interval
        expect(0 <= rescale <= 1, f"cfg_rescale is {rescale}. Use a number from 0 to 1.")
        self.velocity, self.positive, self.negative = velocity, positive, negative
        self.cfg, self.interval, self.rescale, self.generate = cfg, (low, high), rescale, generate

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Predict the velocity `[B,C,T,H,W]` of `x` at `sigma` `[B]`. Raises SoraError where no prompt is on."""
        # One sigma for the batch decides which prompts are on: samplers keep a batch in step.
        level = float(sigma.flatten()[0])
        positive = _active(self.positive, level, "positive")
        # A cfg of 1 asks for the positive prompts only, at half the price.
        guided = self.cfg != 1.0 and bool(self.negative) and self.interval[0] <= level <= self.interval[1]
        negative = _active(self.negative, level, "negative") if guided else []
        velocities = self.velocity(x, sigma, positive + negative)
        v = _average(velocities[: len(positive)], positive)
        if not negative:
            return v
        v_negative = _average(velocities[len(positive) :], negative)
        cond, v = v, v_negative + self.cfg * (v - v_negative)
        return rescale_guidance(v, cond, self.rescale, self.generate) if self.rescale > 0 else v


def _active(prompts: Sequence[Prompt], sigma: float, what: str) -> list[Prompt]:
    active = [p for p in prompts if p.active(sigma)]
    if not active:
        raise SoraError(
            f"No {what} prompt is active at sigma {sigma:.3f}: the start and end percents leave a gap. Close it."
        )
    return active


def _average(velocities: list[Tensor], prompts: list[Prompt]) -> Tensor:
    """Average by strength."""
    if len(velocities) == 1:
        return velocities[0]
    total = sum(p.strength for p in prompts)
    first, *rest = (v * (p.strength / total) for v, p in zip(velocities, prompts, strict=True))
    return sum(rest, start=first)
