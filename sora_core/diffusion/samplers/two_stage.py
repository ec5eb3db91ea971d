"""Second order with two model calls a step: heun and dpm_2. The last step, to sigma 0, is Euler's."""

from __future__ import annotations

import math

from torch import Tensor

from ._run import Run
from .euler import churning


@churning
def sample_heun(run: Run, x: Tensor, denoised: Tensor, sigma: float, sigma_next: float) -> Tensor:
    """Run Heun's method (Karras et al. 2022, arXiv:2206.00364, algorithm 1): the mean of the slopes at both ends."""
    slope = (x - denoised) / sigma
    step = sigma_next - sigma
    # At sigma 0 there is no slope to ask for: x - x0 and sigma are both 0.
    if sigma_next > 0:
        end = x + slope * step
        slope = (slope + (end - run.denoise(end, sigma_next)) / sigma_next) / 2
    return x + slope * step


@churning
def sample_dpm_2(run: Run, x: Tensor, denoised: Tensor, sigma: float, sigma_next: float) -> Tensor:
    """Run DPM-Solver-2 (Lu et al. 2022, arXiv:2206.00927): the slope at the geometric middle of the step."""
    slope = (x - denoised) / sigma
    if sigma_next > 0:
        # Half way in log sigma, the variable in which the method is of order 2.
        middle = math.sqrt(sigma * sigma_next)
        x_middle = x + slope * (middle - sigma)
        slope = (x_middle - run.denoise(x_middle, middle)) / middle
    return x + slope * (sigma_next - sigma)
