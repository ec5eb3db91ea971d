"""The DPM-Solver++ family (Lu et al. 2022, arXiv:2211.01095): multistep solvers that predict x0.

The SDE solvers work in the flow's log-SNR. Their noise is one Brownian motion over the whole run, so that more steps
refine the same video instead of making another; the numbers are ComfyUI's.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...errors import SoraError
from ._run import ExtraArgs, LogVariable, Model, NoiseSampler, Run, StepCallback, below_one, brownian_noise_sampler


@torch.no_grad()
def sample_dpmpp_2m(
    model: Model,
    x: Tensor,
    sigmas: Tensor,
    extra_args: ExtraArgs | None = None,
    callback: StepCallback | None = None,
    disable: bool | None = None,
    interpolate_in: str = "log_sigma",
) -> Tensor:
    """Run DPM-Solver++(2M), algorithm 2. Order 2, one model call a step; the last step, to 0, takes x0 itself.

    interpolate_in: the variable in which the last two x0 are extrapolated. "log_sigma" is ComfyUI's
        dpmpp_2m; "log_snr" is the paper's and diffusers'. Both are of order 2.
    """
    variable = LogVariable(interpolate_in)
    if variable.snr:
        sigmas = below_one(model, sigmas)
    run = Run(model, x, sigmas, extra_args, callback)
    past: tuple[Tensor, float] | None = None  # the last x0, and h of the step from it
    for i, sigma, sigma_next in run:
        denoised = run.estimate(i, x, sigma)
        if sigma_next == 0:
            # Both variables are infinite there: the limit of the step.
            x = denoised
            continue
        h = variable(sigma_next) - variable(sigma)
        target = denoised
        if past is not None:
            previous, h_previous = past
            target = denoised + (denoised - previous) * (h / (2 * h_previous))
        x = (sigma_next / sigma) * x - variable.alpha(sigma_next) * math.expm1(-h) * target
        past = (denoised, h)
    return x


def _sde_run(
    model: Model,
    x: Tensor,
    sigmas: Tensor,
    extra_args: ExtraArgs | None,
    callback: StepCallback | None,
    noise_sampler: NoiseSampler | None,
) -> Run:
    """Start a run whose noise is one Brownian motion."""

    def motion(like: Tensor, seed: int | None) -> NoiseSampler:
        # It spans the sigmas as they were asked for, not the first one moved below 1: so ComfyUI does.
        return brownian_noise_sampler(like, sigmas, seed)

    return Run(model, x, below_one(model, sigmas), extra_args, callback, noise_sampler, motion)


def _sde_step(
    run: Run,
    x: Tensor,
    denoised: Tensor,
    correction: Tensor | None,
    sigma: float,
    sigma_next: float,
    h: float,
    eta: float,
    s_noise: float,
) -> Tensor:
    """Solve the linear part exactly over a step of half-log-SNR `h`, with the noise that eta asks for.

    SDE-DPM-Solver++(1) of the paper at eta 1, DPM-Solver++(1) at 0. correction: what earlier x0 add, in units of x0.
    """
    alpha = 1 - sigma_next
    x = sigma_next / sigma * math.exp(-h * eta) * x - alpha * math.expm1(-h * (1 + eta)) * denoised
    if correction is not None:
        x = x + alpha * correction
    if eta > 0 and s_noise > 0:
        x = x + run.noise(sigma, sigma_next) * (sigma_next * math.sqrt(-math.expm1(-2 * h * eta)) * s_noise)
    return x


@torch.no_grad()
def sample_dpmpp_2m_sde(
    model: Model,
    x: Tensor,
    sigmas: Tensor,
    extra_args: ExtraArgs | None = None,
    callback: StepCallback | None = None,
    disable: bool | None = None,
    eta: float = 1.0,
    s_noise: float = 1.0,
    noise_sampler: NoiseSampler | None = None,
    solver_type: str = "midpoint",
) -> Tensor:
    """Run SDE-DPM-Solver++(2M). eta 1 is the reverse SDE, 0 the ODE (order 2).

    solver_type: "midpoint" or "heun", how the change of x0 over the step is weighted.
    """
    if solver_type not in ("midpoint", "heun"):
        raise SoraError(f"solver_type is {solver_type!r}. Use midpoint or heun.")
    run = _sde_run(model, x, sigmas, extra_args, callback, noise_sampler)
    variable = LogVariable("log_snr")
    past: tuple[Tensor, float] | None = None  # the last x0, and h of the step from it
    for i, sigma, sigma_next in run:
        denoised = run.estimate(i, x, sigma)
        if sigma_next == 0:
            x = denoised
            continue
        h = variable(sigma_next) - variable(sigma)
        h_eta = h * (1 + eta)
        correction = None
        if past is not None:
            previous, h_previous = past
            midpoint = solver_type == "midpoint"
            weight = -0.5 * math.expm1(-h_eta) if midpoint else math.expm1(-h_eta) / h_eta + 1
            correction = (denoised - previous) * (weight * h / h_previous)
        x = _sde_step(run, x, denoised, correction, sigma, sigma_next, h, eta, s_noise)
        past = (denoised, h)
    return x


@torch.no_grad()
def sample_dpmpp_3m_sde(
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
    """Run SDE-DPM-Solver++(3M): first and second differences of the last three x0.

    The second difference has the published weight, which is half of what the third order takes; so the order
    is 2, with a smaller constant than 2M's, and the numbers are those of the other implementations.
    """
    run = _sde_run(model, x, sigmas, extra_args, callback, noise_sampler)
    variable = LogVariable("log_snr")
    past: list[tuple[Tensor, float]] = []  # (x0, h of the step that followed it), newest first
    for i, sigma, sigma_next in run:
        denoised = run.estimate(i, x, sigma)
        if sigma_next == 0:
            x = denoised
            continue
        h = variable(sigma_next) - variable(sigma)
        h_eta = h * (1 + eta)
        phi_2 = math.expm1(-h_eta) / h_eta + 1
        correction = None
        if past:
            # Newton's differences of x0, in steps of this length.
            r0 = past[0][1] / h
            first = (denoised - past[0][0]) / r0
            if len(past) > 1:
                r1 = past[1][1] / h
                change = (first - (past[0][0] - past[1][0]) / r1) / (r0 + r1)
                correction = (first + change * r0) * phi_2 - change * (phi_2 / h_eta - 0.5)
            else:
                correction = first * phi_2
        x = _sde_step(run, x, denoised, correction, sigma, sigma_next, h, eta, s_noise)
        past = [(denoised, h), *past[:1]]
    return x
