"""Where a mark may lie in the picture that is read, and what each place costs the bound on a false alarm."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from .carrier import TILE, tile_side

SCALES = tuple(0.8 * 1.0075**i for i in range(84))
STRETCHES = tuple(1.015**i for i in range(-28, 29) if i)  # 0.66 to 1.52
ANGLES = tuple(0.6 * i for i in range(-17, 18) if i)  # degrees
ZOOMS = tuple(0.85 * 1.0125**i for i in range(30))  # of a picture that was turned, about its middle; up to 1.22
# How the probability of a false alarm is shared out, see the head of `.embedding`.
SHARES = {"rest": 0.4, "boxed": 0.1, "stretched": 0.1, "turned": 0.1, "moved": 0.3}
FARTHEST = 0.6  # of a tile: a shift of more is one to the other side, as where a picture was put into a larger one


class Place(NamedTuple):
    """How the tile lies in the picture that is read."""

    scale: float  # of the tile, in sides of the frame
    shift: tuple[int, int]  # down and across, in 1/128 of the tile's side; about the frame's middle where it was turned
    mirrored: bool
    stretch: float = 1.0  # of the picture, across over down
    angle: float = 0.0  # degrees by which the picture was turned
    boxed: bool = False  # whether black bars around it were left out


UNMOVED = Place(1.0, (0, 0), False)
BOXED = UNMOVED._replace(boxed=True)
Box = tuple[slice, slice]  # rows and columns


def log_places(place: Place) -> float:
    """Return the logarithm of how many places there are of this one's kind, over the kind's share."""
    if place.angle:
        kind, count = "turned", len(ANGLES) * len(ZOOMS)
    elif place.stretch != 1:
        kind, count = "stretched", len(STRETCHES)
    elif place == UNMOVED:
        kind, count = "rest", 1
    elif place == BOXED:
        kind, count = "boxed", 1
    else:
        kind, count = "moved", 2 * len(SCALES) * TILE**2
    return math.log(count / SHARES[kind])


def log_p(score: float, place: Place, payloads: float) -> float:
    """Return the natural logarithm of the bound on the p-value (see the head of `.embedding`).

    payloads: how many were looked for, over their share.
    """
    return min(0.0, math.log(payloads) - max(score, 0) ** 2 / 2 + log_places(place))


def sources(place: Place, size: tuple[int, int], box: Box | None, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Find where `count` x `count` points of the frame that was marked lie in a picture of `size`: rows, columns.

    box: of the picture that was read, where there are bars around it. Both are `[count,count]`, in pixels from the
    picture's corner, outside of it where the point was cut away. What was cut is taken to have kept its proportions.
    """
    top, left = (0, 0) if box is None else (box[0].start, box[1].start)
    height, width = size if box is None else (box[0].stop - top, box[1].stop - left)
    side = tile_side(height, width) * place.scale
    sides = side / math.sqrt(place.stretch), side * math.sqrt(place.stretch)
    tall = math.sqrt(height / width * place.stretch)  # of the frame that was marked, in sides of its tile
    at = (np.arange(count) + 0.5) / count
    found = []
    for length, tile, shift, frame in zip((height, width), sides, place.shift, (tall, 1 / tall), strict=True):
        moved = shift / TILE - (shift / TILE > FARTHEST)
        start = length * (place.scale - 1) / 2 if place.angle else 0.0
        found.append((at * frame - moved) * tile - start)
    rows, columns = np.meshgrid(*found, indexing="ij")
    if place.mirrored:
        columns = width - columns
    if place.angle:
        turn = math.radians(-place.angle)
        down, across = rows - height / 2, columns - width / 2
        rows = math.sin(turn) * across + math.cos(turn) * down + height / 2
        columns = math.cos(turn) * across - math.sin(turn) * down + width / 2
    return rows + top, columns + left
