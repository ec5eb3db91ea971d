"""What a mark is tied to: the coarse look of a frame, which survives encoding and differs from scene to scene.

A frame is seen as 8 x 8 cells. Of each it is asked whether it is lighter than its neighbours. That is a bit, and four
cells side by side, a region, have one of 16 looks. A reader sees bits that are uncertain where a cell differs little
from its neighbours, so it weighs all 16 looks of a region by how likely they are.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .places import Box, Place, sources

CELLS = 8  # a side of the frame
ACROSS = 2  # cells a side of a region
REGIONS = (CELLS // ACROSS) ** 2
LOOKS = 1 << ACROSS**2
POINTS = 8  # a side of a cell, at which a picture is looked at
ERROR = 1.0  # of a cell against its neighbours, after encoding, in 8-bit units
FEWEST = 0.75  # of a cell that must be in the picture
SAME_SCENE = 0.3  # correlation of the cells of two frames; below, the second is another scene

_erf = np.vectorize(math.erf, otypes=[float])


def contrasts(luma: Tensor) -> np.ndarray:
    """Return by how much each cell of a luminance `[h,w]` is lighter than its neighbours: `[8,8]`, in its units."""
    cells = F.adaptive_avg_pool2d(luma[None, None].float(), CELLS)[0, 0].numpy().astype(np.float64)
    return _against_neighbours(cells, np.ones_like(cells))


def contrasts_at(luma: Tensor, place: Place, box: Box | None) -> np.ndarray:
    """Return the same of the frame that was marked, where it lies at `place` in `luma`; nan for cells cut away."""
    height, width = luma.shape
    rows, columns = sources(place, (height, width), box, CELLS * POINTS)
    inside = (rows >= 0) & (rows <= height) & (columns >= 0) & (columns <= width)
    grid = np.stack((2 * columns / width - 1, 2 * rows / height - 1), -1)
    points = torch.from_numpy(grid).float()[None]
    seen = F.grid_sample(luma[None, None].float(), points, padding_mode="border", align_corners=False)[0, 0].numpy()
    shape = (CELLS, POINTS, CELLS, POINTS)
    share = inside.reshape(shape).mean((1, 3))
    cells = (seen * inside).reshape(shape).mean((1, 3)) / np.maximum(share, 1e-9)
    there = (share >= FEWEST).astype(float)
    return np.where(there > 0, _against_neighbours(cells * there, there), np.nan)


def _against_neighbours(cells: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Return cells minus the mean of those of their eight neighbours that are there."""
    total, count = np.zeros_like(cells), np.zeros_like(cells)
    values, known = np.pad(cells, 1), np.pad(there, 1)
    for down in range(3):
        for across in range(3):
            if (down, across) != (1, 1):
                total += values[down : down + CELLS, across : across + CELLS]
                count += known[down : down + CELLS, across : across + CELLS]
    return np.where(count >= 3, cells - total / np.maximum(count, 1), np.nan)


def is_same_scene(one: np.ndarray, other: np.ndarray) -> bool:
    """Tell whether two frames, by their contrasts, show the same scene as good as unmoved."""
    both = math.sqrt(float((one**2).sum() * (other**2).sum()))
    # Two frames without any contrast are alike, and differ from all others.
    return bool((one * other).sum() >= SAME_SCENE * both) if both > 0 else bool((one == other).all())


def _regions(cells: np.ndarray) -> np.ndarray:
    """Group `[8,8]` into `[16,4]`: regions, and the cells of each."""
    side = CELLS // ACROSS
    return cells.reshape(side, ACROSS, side, ACROSS).transpose(0, 2, 1, 3).reshape(REGIONS, ACROSS**2)


def looks(contrast: np.ndarray) -> np.ndarray:
    """Return the look of each region `[16]`: a number of as many bits as it has cells."""
    return (_regions(contrast > 0) << np.arange(ACROSS**2)).sum(1)


@lru_cache(1)
def _bits() -> np.ndarray:
    return np.arange(LOOKS)[:, None] >> np.arange(ACROSS**2) & 1


def likely_looks(contrast: np.ndarray) -> np.ndarray:
    """Return how likely each region has each look, `[16,16]`, each row of sum 1; evenly where cells were cut away."""
    light = np.where(np.isnan(contrast), 0.5, 0.5 * (1 + _erf(np.nan_to_num(contrast) / (ERROR * math.sqrt(2)))))
    each = _regions(light)[:, None]
    return np.where(_bits() > 0, each, 1 - each).prod(-1)
