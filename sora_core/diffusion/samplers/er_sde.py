"""er_sde: extended reverse-time SDE solver, VP form (Cui et al. 2023, arXiv:2309.06169)."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor

from ._run import ExtraArgs, Model, NoiseSampler, Run, StepCallback, below_one

Number = TypeVar("Number", float, Tensor)

POINTS = 200  # of the left Riemann sum for the integrals of stage 2 and 3


def noise_scale(x: Number) -> Number:
    """Compute phi(lambda) of the paper's ER-SDE 5: how much of the noise a step replaces."""
    if isinstance(x, Tensor):
        return x * ((x**0.3).exp() + 10.0)
    return x * (math.exp(x**0.3) + 10.0)


def _integrals(start: float, end: float) -> tuple[float, float]:
    """Integrate 1 / phi and (lambda - start) / phi from `end` up to `start`, for the second and the third term."""
    width = (start - end) / POINTS
    at = end + torch.arange(POINTS, dtype=torch.float64) * width
    scaled = noise_scale(at)
    return float((1 / scaled).sum()) * width, float(((at - start) / scaled).sum()) * width


@torch.no_grad()
def sample_er_sde(
    model: Model,
    x: Tensor,
    sigmas: Tensor,
    extra_args: ExtraArgs | None = None,
    callback: StepCallback | None = None,
    disable: bool | None = None,
    s_noise: float = 1.0,
    noise_sampler: NoiseSampler | None = None,
    max_stage: int = 3,
) -> Tensor:
    """Run ER-SDE-Solver with up to `max_stage` (1..3) Taylor terms of x0 in lambda = sigma / (1 - sigma).

    The noise is part of the method: s_noise 1 is the SDE whose marginals are right, anything else is an
    effect.
    """
    run = Run(model, x, below_one(model, sigmas), extra_args, callback, noise_sampler)
    lambdas = [s / (1 - s) for s in run.sigmas]
    previous: Tensor | None = None
    slope_previous: Tensor | None = None
    for i, sigma, sigma_next in run:
        denoised = run.estimate(i, x, sigma)
        if sigma_next == 0:
            x = denoised
            continue
        start, end = lambdas[i], lambdas[i + 1]
        alpha, alpha_next = 1 - sigma, 1 - sigma_next
        ratio = noise_scale(end) / noise_scale(start)
        x = (alpha_next / alpha * ratio) * x + alpha_next * (1 - ratio) * denoised
        slope = None
        if previous is not None and max_stage > 1:
            step = end - start
            second, third = _integrals(start, end)
            slope = (denoised - previous) / (start - lambdas[i - 1])
            x = x + slope * (alpha_next * (step + second * noise_scale(end)))
            if slope_previous is not None and max_stage > 2:
                bend = (slope - slope_previous) / ((start - lambdas[i - 2]) / 2)
                x = x + bend * (alpha_next * (step**2 / 2 + third * noise_scale(end)))
        if s_noise > 0:
            fresh = math.sqrt(max(end**2 - (start * ratio) ** 2, 0.0))
            x = x + run.noise(sigma, sigma_next) * (alpha_next * s_noise * fresh)
        previous, slope_previous = denoised, slope
    return x
