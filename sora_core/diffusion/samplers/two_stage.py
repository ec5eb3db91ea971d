"""Second order with two model calls a step: heun and dpm_2. The last step, to sigma 0, is Euler's."""

from __future__ import annotations

import math

import torch

from ._run import Run
from .euler import churn


@torch.no_grad()
def sample_heun(
    model,
    x,
    sigmas,
    extra_args=None,
    callback=None,
    disable=None,
    s_churn=0.0,
    s_tmin=0.0,
    s_tmax=float("inf"),
    s_noise=1.0,
    noise_sampler=None,
):
    """Heun's method (Karras et al. 2022, algorithm 1): the mean of the slopes at both ends of the step."""
    run = Run(model, x, sigmas, extra_args, callback, noise_sampler)
    for i, sigma, sigma_next in run:
        x, sigma = churn(run, x, sigma, sigma_next, s_churn, s_tmin, s_tmax, s_noise)
        denoised = run.denoise(x, sigma)
        run.report(i, x, denoised, sigma)
        slope = (x - denoised) / sigma
        step = sigma_next - sigma
        if sigma_next > 0:
            end = x + slope * step
            slope = (slope + (end - run.denoise(end, sigma_next)) / sigma_next) / 2
        x = x + slope * step
    return x


@torch.no_grad()
def sample_dpm_2(
    model,
    x,
    sigmas,
    extra_args=None,
    callback=None,
    disable=None,
    s_churn=0.0,
    s_tmin=0.0,
    s_tmax=float("inf"),
    s_noise=1.0,
    noise_sampler=None,
):
    """DPM-Solver-2 (Lu et al. 2022): the slope at the geometric middle of the step."""
    run = Run(model, x, sigmas, extra_args, callback, noise_sampler)
    for i, sigma, sigma_next in run:
        x, sigma = churn(run, x, sigma, sigma_next, s_churn, s_tmin, s_tmax, s_noise)
        denoised = run.denoise(x, sigma)
        run.report(i, x, denoised, sigma)
        slope = (x - denoised) / sigma
        if sigma_next > 0:
            middle = math.sqrt(sigma * sigma_next)
            x_middle = x + slope * (middle - sigma)
            slope = (x_middle - run.denoise(x_middle, middle)) / middle
        x = x + slope * (sigma_next - sigma)
    return x
