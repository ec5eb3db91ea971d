"""Second order with two model calls a step: heun and dpm_2. The last step, to sigma 0, is Euler's."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ._run import ExtraArgs, Model, NoiseSampler, Run, StepCallback
from .euler import churn


@torch.no_grad()
def sample_heun(
    model: Model,
    x: Tensor,
    sigmas: Tensor,
    extra_args: ExtraArgs | None = None,
    callback: StepCallback | None = None,
    disable: bool | None = None,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
    noise_sampler: NoiseSampler | None = None,
) -> Tensor:
    """Run Heun's method (Karras et al. 2022, arXiv:2206.00364, algorithm 1): the mean of the slopes at both ends."""
    run = Run(model, x, sigmas, extra_args, callback, noise_sampler)
    for i, sigma, sigma_next in run:
        x, sigma = churn(run, x, sigma, sigma_next, s_churn, s_tmin, s_tmax, s_noise)
        denoised = run.estimate(i, x, sigma)
        slope = (x - denoised) / sigma
        step = sigma_next - sigma
        # At sigma 0 there is no slope to ask for: x - x0 and sigma are both 0.
        if sigma_next > 0:
            end = x + slope * step
            slope = (slope + (end - run.denoise(end, sigma_next)) / sigma_next) / 2
        x = x + slope * step
    return x


@torch.no_grad()
def sample_dpm_2(
    model: Model,
    x: Tensor,
    sigmas: Tensor,
    extra_args: ExtraArgs | None = None,
    callback: StepCallback | None = None,
    disable: bool | None = None,
    s_churn: float = 0.0,
    s_tmin: float = 0.0,
    s_tmax: float = math.inf,
    s_noise: float = 1.0,
    noise_sampler: NoiseSampler | None = None,
) -> Tensor:
    """Run DPM-Solver-2 (Lu et al. 2022, arXiv:2206.00927): the slope at the geometric middle of the step."""
    run = Run(model, x, sigmas, extra_args, callback, noise_sampler)
    for i, sigma, sigma_next in run:
        x, sigma = churn(run, x, sigma, sigma_next, s_churn, s_tmin, s_tmax, s_noise)
        denoised = run.estimate(i, x, sigma)
        slope = (x - denoised) / sigma
        if sigma_next > 0:
            # Half way in log sigma, the variable in which the method is of order 2.
            middle = math.sqrt(sigma * sigma_next)
            x_middle = x + slope * (middle - sigma)
            slope = (x_middle - run.denoise(x_middle, middle)) / middle
        x = x + slope * (sigma_next - sigma)
    return x
