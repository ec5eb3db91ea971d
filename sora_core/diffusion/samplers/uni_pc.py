"""uni_pc: unified predictor-corrector (Zhao et al. 2023, arXiv:2302.04867), predicting x0.

The corrector reuses the model call at the predicted point, so a step costs one call.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...errors import SoraError
from ._run import ExtraArgs, LogVariable, Model, Run, StepCallback, below_one

# In log_sigma, as in ComfyUI, the run stops this near to 0; what is left is one part in a thousand of noise.
LAST_SIGMA = 1e-3


def _weights(h: float, past: list[float], order: int, variant: str) -> tuple[float, list[float], list[float]]:
    """Compute (B(h), predictor weights, corrector weights) of the paper's eq. 5-8, for data prediction.

    h: of the step, in the variable that is extrapolated in. past: distances of the earlier points from the current
    one, as multiples of h (negative), newest first.
    """
    hh = -h
    base = math.expm1(hh)
    b_h = hh if variant == "bh1" else base
    nodes = torch.tensor([*past[: order - 1], 1.0], dtype=torch.float64)
    rows: list[Tensor] = []
    values: list[float] = []
    phi, factorial = base / hh - 1, 1
    for k in range(1, order + 1):
        rows.append(nodes ** (k - 1))
        values.append(phi * factorial / b_h)
        factorial *= k + 1
        phi = phi / hh - 1 / factorial
    matrix, right = torch.stack(rows), torch.tensor(values, dtype=torch.float64)
    # The orders that the authors simplify: one half is exact enough there and does not depend on h.
    predictor = [0.5] * (order - 1) if order <= 2 else torch.linalg.solve(matrix[:-1, :-1], right[:-1]).tolist()
    corrector = [0.5] if order == 1 else torch.linalg.solve(matrix, right).tolist()
    return b_h, predictor, corrector


def _combine(weights: list[float], differences: list[Tensor]) -> Tensor | float:
    """Sum the weighted differences of x0; 0 where order 1 has none."""
    return sum((d * w for d, w in zip(differences, weights, strict=True)), start=0.0)


@torch.no_grad()
def sample_uni_pc(
    model: Model,
    x: Tensor,
    sigmas: Tensor,
    extra_args: ExtraArgs | None = None,
    callback: StepCallback | None = None,
    disable: bool | None = None,
    order: int = 3,
    variant: str = "bh1",
    interpolate_in: str = "log_sigma",
) -> Tensor:
    """Run UniPC of order 1..3, at lower order for the first steps and the last.

    Away from the ends of the run the corrector makes it of order + 1; the last step is of order 1, and its
    error is what remains (order 2 overall, over evenly spaced sigmas).

    variant: "bh1" (ComfyUI's uni_pc) or "bh2" (its uni_pc_bh2, and diffusers' default), the paper's B(h).
    interpolate_in: "log_sigma" is ComfyUI's, and ends at sigma 0.001 in place of 0; "log_snr" is diffusers',
        and its last step takes x0 itself.

    In float64 this and ComfyUI's uni_pc agree to 1e-13. In float32 theirs is up to a few thousandths off, ours a
    millionth: it computes sigma as sqrt(1 - exp(-log(1 + sigma^2))), which near 0.001 keeps two digits.
    """
    if variant not in ("bh1", "bh2"):
        raise SoraError(f"variant is {variant!r}. Use bh1 or bh2.")
    variable = LogVariable(interpolate_in)
    if variable.snr:
        sigmas = below_one(model, sigmas)
    elif len(sigmas) > 1 and sigmas[-1] == 0 and sigmas[-2] > LAST_SIGMA:
        sigmas = sigmas.clone()
        sigmas[-1] = LAST_SIGMA
    run = Run(model, x, sigmas, extra_args, callback)
    steps = len(run.sigmas) - 1
    if steps < 1:
        return x
    # The last step has no corrector, so of n steps at most n - 1 can raise the order.
    order = max(1, min(order, steps if variable.snr else steps - 1))

    denoised = run.estimate(0, x, run.sigmas[0])
    known: list[tuple[float, Tensor]] = [(variable(run.sigmas[0]), denoised)]  # newest first
    for i, sigma, sigma_next in run:
        now, denoised = known[0]
        if sigma_next == 0:
            return denoised
        h = variable(sigma_next) - now
        this_order = min(order, i + 1, steps - i)
        past = [(at - now) / h for at, _ in known[1:this_order]]
        differences = [(d - denoised) / r for (_, d), r in zip(known[1:this_order], past, strict=True)]
        b_h, predictor, corrector = _weights(h, past, this_order, variant)
        alpha = variable.alpha(sigma_next)
        base = (sigma_next / sigma) * x - alpha * math.expm1(-h) * denoised
        x = base - (alpha * b_h) * _combine(predictor, differences)
        if i + 1 < steps:
            ahead = run.denoise(x, sigma_next)
            x = base - (alpha * b_h) * _combine(corrector, [*differences, ahead - denoised])
            run.report(i + 1, x, ahead, sigma_next)
            known = [(variable(sigma_next), ahead), *known[: order - 1]]
    return x
