"""A flow with known answers: data N(m, s^2), so x_sigma is N((1-sigma) m, v), and x0 given x is linear."""

from __future__ import annotations

import torch

MEAN, STD = 0.7, 0.4


def variance(sigma: float) -> float:
    """v(sigma) = (1 - sigma)^2 s^2 + sigma^2."""
    return (1 - sigma) ** 2 * STD**2 + sigma**2


class GaussianModel:
    """`model(x, sigma[B]) -> E[x0 | x]`, counting its calls."""

    def __init__(self, mean: float = MEAN, shift: float = 1.0):
        self.mean, self.calls = mean, 0

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor, **_) -> torch.Tensor:
        self.calls += 1
        s = sigma.view(-1, *[1] * (x.ndim - 1))
        gain = (1 - s) * STD**2 / ((1 - s) ** 2 * STD**2 + s**2)
        return self.mean + gain * (x - (1 - s) * self.mean)


class ConsistencyModel(GaussianModel):
    """The end of the probability-flow path through `x`, which is what a distilled model predicts."""

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor, **_) -> torch.Tensor:
        return exact(x, float(sigma[0]), 0.0, self.mean)


def exact(x: torch.Tensor, sigma: float, sigma_next: float, mean: float = MEAN) -> torch.Tensor:
    """Closed-form probability flow: the standardised value of x stays what it is."""
    scale = (variance(sigma_next) / variance(sigma)) ** 0.5
    return (1 - sigma_next) * mean + scale * (x - (1 - sigma) * mean)


def moments(fn, sigmas: torch.Tensor, model=GaussianModel, **options) -> tuple[float, float]:
    """Mean and variance of what a sampler makes of Gaussian noise, without drawing any.

    A sampler is linear in x and its noise when the model is, so the noise of every step gets an axis of its
    own: the variance is the sum of squares of the result's coefficients.
    """
    count = len(sigmas) + 1
    drawn = iter(range(1, count))

    def unit(*_) -> torch.Tensor:
        basis = torch.zeros(1, count, dtype=torch.float64)
        basis[0, next(drawn)] = 1
        return basis

    # The first sigma may be below 1: start from the data's own distribution at that noise level.
    start = torch.zeros(1, count, dtype=torch.float64)
    first = float(sigmas[0])
    start[0, 0] = variance(first) ** 0.5
    coefficients = fn(model(mean=0.0), start, sigmas, noise_sampler=unit, **options)
    mean_path = torch.full((1, 1), (1 - first) * MEAN, dtype=torch.float64)
    mean = fn(model(), mean_path, sigmas, noise_sampler=lambda *_: torch.zeros(1, 1), **options)
    return float(mean), float(coefficients.square().sum())
