"""What a decoder leaves in its pictures, as numbers: statistics of fine structure, one row a frame.

Rendered and filmed pictures have crisp edges or noise. A video VAE leaves neither: its edges are soft, there are steps
at its grid of 8 pixels, and colour follows the luminance. Most of the numbers are logarithms and shares, so that
brightness and contrast hardly move what counts. The network on top of them (`.classifier`) says what they mean
together.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from ..watermark.carrier import LUMA

LARGEST_SIDE = 512  # pixels; of larger frames the middle is looked at
QUANTILES = (0.5, 0.75, 0.9, 0.97, 0.995)  # of the second differences
BLOCK = 8  # pixels a side of the VAE's cells and of a codec's blocks
LAGS = (1, 2, 4, 8)  # pixels


def frame_traces(frame: Any) -> np.ndarray:
    """Measure a frame: `[H,W,3]`, uint8 or float 0..1, array or tensor, at least 32 pixels a side -> traces `[54]`."""
    pixels = np.asarray(frame)[..., :3]
    pixels = pixels.astype(np.float32) * (1 if pixels.dtype == np.uint8 else 255)
    height, width = (min(side, LARGEST_SIDE) // BLOCK * BLOCK for side in pixels.shape[:2])
    # The cut starts on the grid of 8, where a decoder's and a codec's blocks start.
    top, left = ((side - cut) // 2 // BLOCK * BLOCK for side, cut in zip(pixels.shape, (height, width), strict=False))
    pixels = pixels[top : top + height, left : left + width]
    luma = pixels @ np.asarray(LUMA, np.float32)
    # Second differences: slopes and shading drop out, edges and noise stay.
    bends = [np.diff(luma, 2, axis=1), np.diff(luma, 2, axis=0), np.diff(np.diff(luma, axis=0), axis=1)]
    found: list[np.ndarray] = []
    for bend in bends:
        size = np.abs(bend)
        found += [np.log1p(np.quantile(size, QUANTILES)), _log(np.mean(size * size))]
    found += [_spectrum(luma), _grid(luma), _colour(pixels, luma), _echo(bends), _edges(luma)]
    return np.concatenate([np.atleast_1d(part) for part in found]).astype(np.float32)


def _log(value: Any) -> np.ndarray:
    # The floor keeps a flat picture's logarithm finite.
    return np.log(np.asarray(value, np.float64) + 1e-2)


@lru_cache(1)
def _dct() -> tuple[np.ndarray, np.ndarray]:
    """Return the orthonormal DCT-II of 8 points, and which diagonal each coefficient of a block is on."""
    k, n = np.mgrid[:BLOCK, :BLOCK]
    matrix = np.sqrt(2 / BLOCK) * np.cos(np.pi * (2 * n + 1) * k / (2 * BLOCK))
    matrix[0] /= np.sqrt(2)
    return matrix.astype(np.float32), k + n


def _spectrum(luma: np.ndarray) -> np.ndarray:
    """Return the log energy of the 14 diagonals of blocks' DCT, and how much of it sits in the busiest blocks."""
    matrix, diagonal = _dct()
    height, width = luma.shape
    blocks = luma.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).transpose(0, 2, 1, 3)
    power = (matrix @ blocks @ matrix.T).reshape(-1, BLOCK * BLOCK) ** 2
    lines = np.stack([power[:, diagonal.ravel() == d].mean(1) for d in range(1, 2 * BLOCK - 1)], 1)
    high = np.sort(lines[:, 5:].sum(1))
    busy = high[-max(1, len(high) // 8) :].sum() / (high.sum() + 1e-6)
    return np.append(_log(lines.mean(0)), busy)


def _grid(luma: np.ndarray) -> np.ndarray:
    """Return the log of the mean step between neighbours at each place in a cell of 8, over the mean of all."""
    across, down = np.abs(np.diff(luma, axis=1)), np.abs(np.diff(luma, axis=0))
    steps = np.zeros(BLOCK)
    for step in (across.mean(0), down.mean(1)):
        # A row of n pixels has n - 1 steps; the missing one must not count as 0.
        padded = np.append(step, np.nan).reshape(-1, BLOCK)
        steps += np.nanmean(padded, 0)
    return np.log((steps + 1e-2) / (steps.mean() + 1e-2))


def _colour(pixels: np.ndarray, luma: np.ndarray) -> np.ndarray:
    """Return the fine structure of the colour differences beside the luminance's, and how far they go together."""
    bend = np.diff(luma, 2, axis=1)
    base, found = np.mean(bend * bend), []
    for channel in (0, 2):
        other = np.diff(pixels[..., channel] - luma, 2, axis=1)
        power = np.mean(other * other)
        found += [_log(power) - _log(base), np.mean(bend * other) / np.sqrt(base * power + 1e-3)]
    return np.asarray(found)


def _echo(bends: list[np.ndarray]) -> np.ndarray:
    """Return how alike the fine structure is to itself a few pixels on."""
    found = []
    for lag in LAGS:
        pairs = ((bends[0][:, :-lag], bends[0][:, lag:]), (bends[1][:-lag], bends[1][lag:]))
        found.append(sum(np.mean(a * b) for a, b in pairs) / (sum(np.mean(a * a) for a, _ in pairs) + 1e-2))
    return np.asarray(found)


def _edges(luma: np.ndarray) -> np.ndarray:
    """Return the shares of flat, sloping and steep places, and how much of the steepest steps lies within a pixel."""
    step = np.abs(np.diff(luma, axis=1))
    shares = [np.mean(step < 0.5), np.mean(step < 2), np.mean(step > 12), np.mean(step > 30)]
    wide = np.abs(luma[:, 4:] - luma[:, :-4])
    steep = wide > max(24.0, float(np.quantile(wide, 0.97)))
    inner = np.maximum(step[:, 1:-2], step[:, 2:-1])
    crisp = float(np.mean(inner[steep] / wide[steep])) if steep.any() else 0.5
    return np.asarray([*shares, crisp])
