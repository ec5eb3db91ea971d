"""Quantiles of the Beta distribution, so that one schedule does not bring in SciPy."""

from __future__ import annotations

import math

import numpy as np


def beta_cdf(x: np.ndarray, a: float, b: float) -> np.ndarray:
    """Compute the regularised incomplete beta function I_x(a, b) for x in 0..1: DLMF 8.17.22, a continued fraction.

    The fraction converges quickly below the mean; above it the reflection I_x(a, b) = 1 - I_{1-x}(b, a) is used.
    """
    x = np.asarray(x, dtype=np.float64)
    below = x <= (a + 1) / (a + b + 2)
    return np.where(below, _lower(np.where(below, x, 0.0), a, b), 1 - _lower(np.where(below, 0.0, 1 - x), b, a))


def _lower(x: np.ndarray, a: float, b: float, terms: int = 60) -> np.ndarray:
    # Evaluated from the innermost term outwards: 1 / (1 + d1 / (1 + d2 / (1 + ...))).
    fraction = np.ones_like(x)
    for k in range(terms, 0, -1):
        m = k // 2
        if k % 2:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            d = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        fraction = 1 + d / fraction
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    with np.errstate(divide="ignore"):
        front = np.exp(a * np.log(x) + b * np.log1p(-x) - log_beta) / a
    return front / fraction


def beta_quantile(p: np.ndarray, a: float, b: float) -> np.ndarray:
    """Find x with I_x(a, b) = p, for p in 0..1, by bisection to the last bit of float64 near 1e-15."""
    p = np.asarray(p, dtype=np.float64)
    low, high = np.zeros_like(p), np.ones_like(p)
    for _ in range(52):
        middle = (low + high) / 2
        under = beta_cdf(middle, a, b) < p
        low, high = np.where(under, middle, low), np.where(under, high, middle)
    x = (low + high) / 2
    if a == b:
        # The median is a half exactly, and a rounding error there would tip what callers round to a grid.
        x = np.where(p == 0.5, 0.5, x)
    return np.where(p >= 1, 1.0, np.where(p <= 0, 0.0, x))
