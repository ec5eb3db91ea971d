"""lcm: multistep sampling of a consistency model (Luo et al. 2023, arXiv:2310.04378, algorithm 3)."""

from __future__ import annotations

import torch
from torch import Tensor

from ._run import ExtraArgs, Model, NoiseSampler, Run, StepCallback


@torch.no_grad()
def sample_lcm(
    model: Model,
    x: Tensor,
    sigmas: Tensor,
    extra_args: ExtraArgs | None = None,
    callback: StepCallback | None = None,
    disable: bool | None = None,
    noise_sampler: NoiseSampler | None = None,
    s_noise: float = 1.0,
    s_noise_end: float | None = None,
    noise_clip_std: float = 0.0,
) -> Tensor:
    """Jump to x0, then noise it afresh for the next sigma.

    Right for distilled models, which predict the end of the path. A model that predicts the mean of x0 comes out too
    smooth, whatever the number of steps.

    s_noise, s_noise_end: factor on the fresh noise, from the first step to the last (None: as the first).
    noise_clip_std: clip the fresh noise at so many standard deviations; 0 does not.
    """
    run = Run(model, x, sigmas, extra_args, callback, noise_sampler)
    last = max(len(run.sigmas) - 2, 1)
    end = s_noise if s_noise_end is None else s_noise_end
    for i, sigma, sigma_next in run:
        denoised = run.estimate(i, x, sigma)
        x = denoised
        if sigma_next > 0:
            noise = run.noise(sigma, sigma_next)
            if noise_clip_std > 0:
                bound = noise_clip_std * noise.std()
                noise = noise.clamp(-bound, bound)
            scale = s_noise + (end - s_noise) * i / last
            x = (1 - sigma_next) * denoised + noise * (sigma_next * scale)
    return x
