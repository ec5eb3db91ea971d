"""res_multistep: the second-order multistep method of Zhang et al. 2023 (RES, arXiv:2308.02157)."""

from __future__ import annotations

import math

import torch

from ._run import Run, ancestral_down, renoise


@torch.no_grad()
def sample_res_multistep(
    model, x, sigmas, extra_args=None, callback=None, disable=None, eta=0.0, s_noise=1.0, noise_sampler=None
):
    """Exponential integrator in -log(sigma) with the order conditions of the paper's section 3. Order 2 at
    eta 0.

    eta above 0 steps further down and adds noise back, by the flow's own noise levels.
    """
    run = Run(model, x, sigmas, extra_args, callback, noise_sampler)
    previous, previous_sigma, previous_down = None, None, None
    for i, sigma, sigma_next in run:
        denoised = run.denoise(x, sigma)
        run.report(i, x, denoised)
        if sigma_next == 0:
            x = denoised
            continue
        down = ancestral_down(sigma, sigma_next, eta)
        if previous is None or down == 0:
            x = x + (x - denoised) * (down / sigma - 1)
        else:
            h = math.log(sigma / down)
            # Where the previous x0 lies, in steps from here (negative): without noise exactly one step back.
            c2 = math.log(previous_down / previous_sigma) / h
            phi_1 = -math.expm1(-h) / h
            phi_2 = (1 - phi_1) / h
            x = down / sigma * x + h * ((phi_1 - phi_2 / c2) * denoised + (phi_2 / c2) * previous)
        if eta > 0:
            x = renoise(x, down, sigma_next, lambda a=sigma, b=sigma_next: run.noise(a, b), s_noise)
        previous, previous_sigma, previous_down = denoised, sigma, down
    return x
