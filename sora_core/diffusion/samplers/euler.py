"""First-order steps: euler, and euler_ancestral with its noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ._run import ExtraArgs, Model, NoiseSampler, Run, StepCallback, ancestral_down, renoise


def churn(
    run: Run, x: Tensor, sigma: float, sigma_next: float, s_churn: float, s_tmin: float, s_tmax: float, s_noise: float
) -> tuple[Tensor, float]:
    """Raise the noise level before a step: (x_hat, sigma_hat). Karras et al. 2022 (arXiv:2206.00364), alg. 2, line 4-6.

    The paper adds noise to x0 + sigma * eps; here the signal is scaled as well, so that x_hat lies on the
    flow's own path. Nothing happens at s_churn 0, outside [s_tmin, s_tmax], or at pure noise.
    """
    if s_churn <= 0 or sigma >= 1 or not s_tmin <= sigma <= s_tmax:
        return x, sigma
    # The paper's bound: never more new noise than there is already.
    gamma = min(s_churn / (len(run.sigmas) - 1), 2**0.5 - 1)
    sigma_hat = min(sigma * (1 + gamma), 1.0)
    return renoise(x, sigma, sigma_hat, partial(run.noise, sigma, sigma_next), s_noise), sigma_hat


# One step of a method: (run, x at sigma, x0 there, sigma, sigma_next) -> x at sigma_next.
Step = Callable[[Run, Tensor, Tensor, float, float], Tensor]


def churning(step: Step) -> Callable[..., Tensor]:
    """Make a sampler that raises the noise level before each step of a method, where its options say so."""

    @torch.no_grad()
    def sample(
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
        run = Run(model, x, sigmas, extra_args, callback, noise_sampler)
        for i, sigma, sigma_next in run:
            x, sigma = churn(run, x, sigma, sigma_next, s_churn, s_tmin, s_tmax, s_noise)
            x = step(run, x, run.estimate(i, x, sigma), sigma, sigma_next)
        return x

    # Not `functools.wraps`, by which the sampler would seem to have the step's arguments.
    sample.__name__ = sample.__qualname__ = step.__name__
    sample.__doc__, sample.__module__ = step.__doc__, step.__module__
    return sample


@churning
def sample_euler(run: Run, x: Tensor, denoised: Tensor, sigma: float, sigma_next: float) -> Tensor:
    """Take Euler steps along dx/dsigma = (x - x0) / sigma. Order 1, one model call a step."""
    return x + (x - denoised) / sigma * (sigma_next - sigma)


@torch.no_grad()
def sample_euler_ancestral(
    model: Model,
    x: Tensor,
    sigmas: Tensor,
    extra_args: ExtraArgs | None = None,
    callback: StepCallback | None = None,
    disable: bool | None = None,
    eta: float = 1.0,
    s_noise: float = 1.0,
    noise_sampler: NoiseSampler | None = None,
) -> Tensor:
    """Take Euler steps that go too far down and come back up with fresh noise, in the flow's own noise levels.

    eta 0 is euler. The mean follows euler; the noise keeps the marginal distribution for any eta in 0..1.
    """
    run = Run(model, x, sigmas, extra_args, callback, noise_sampler)
    for i, sigma, sigma_next in run:
        denoised = run.estimate(i, x, sigma)
        if sigma_next == 0:
            x = denoised
            continue
        down = ancestral_down(sigma, sigma_next, eta)
        ratio = down / sigma
        x = ratio * x + (1 - ratio) * denoised
        if eta > 0:
            x = renoise(x, down, sigma_next, partial(run.noise, sigma, sigma_next), s_noise)
    return x
