"""res_multistep: the second-order multistep method of Zhang et al. 2023 (RES, arXiv:2308.02157)."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from ._run import ExtraArgs, Model, NoiseSampler, Run, StepCallback, ancestral_down, renoise


@torch.no_grad()
def sample_res_multistep(
    model: Model,
    x: Tensor,
    sigmas: Tensor,
    extra_args: ExtraArgs | None = None,
    callback: StepCallback | None = None,
    disable: bool | None = None,
    eta: float = 0.0,
    s_noise: float = 1.0,
    noise_sampler: NoiseSampler | None = None,
) -> Tensor:
    """Integrate exponentially in -log(sigma), with the order conditions of the paper's section 3. Order 2 at eta 0.

    eta above 0 steps further down and adds noise back, by the flow's own noise levels.
    """
    run = Run(model, x, sigmas, extra_args, callback, noise_sampler)
    past: tuple[Tensor, float, float] | None = None  # the last x0, where it was asked for, and where its step led
    for i, sigma, sigma_next in run:
        denoised = run.estimate(i, x, sigma)
        if sigma_next == 0:
            x = denoised
            continue
        down = ancestral_down(sigma, sigma_next, eta)
        if past is None or down == 0:
            # Euler's step: the first has no past, and the variable below is infinite at 0.
            x = x + (x - denoised) * (down / sigma - 1)
        else:
            previous, previous_sigma, previous_down = past
            h = math.log(sigma / down)
            # Where the previous x0 lies, in steps from here (negative): without noise exactly one step back.
            c2 = math.log(previous_down / previous_sigma) / h
            phi_1 = -math.expm1(-h) / h
            phi_2 = (1 - phi_1) / h
            x = down / sigma * x + h * ((phi_1 - phi_2 / c2) * denoised + (phi_2 / c2) * previous)
        if eta > 0:
            x = renoise(x, down, sigma_next, partial(run.noise, sigma, sigma_next), s_noise)
        past = (denoised, sigma, down)
    return x
