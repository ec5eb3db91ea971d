"""The plane waves that carry the watermark, and the signs that a key gives them."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ...errors import expect
from . import ecc

# Anyone can read (and forge) marks of this key; who relies on his marks makes one of his own (`sora key`).
DEFAULT_KEY = b"sora-nodes public watermark key"

TILE = 128  # the smallest shift of the tile that is told apart is 1/128 of its side
WAVES = (4.0, 13.0)  # periods a side, from and to
PILOT = 0.2  # share of the signs that carry nothing
LUMA = (0.2126, 0.7152, 0.0722)  # BT.709
SMALLEST_SIDE = 32


@dataclass(frozen=True)
class Carrier:
    """The n waves of a tile, the signs that a key gives them, and what they carry."""

    u: np.ndarray  # [n], periods a tile side, downwards
    v: np.ndarray  # [n], periods a tile side, across
    signs: np.ndarray  # [2n], +1 or -1: the key's, of the waves' cosines and then of their sines
    carries: np.ndarray  # [2n]: each sign's place in the codeword, or -1 for the pilot

    def with_code(self, code: np.ndarray) -> np.ndarray:
        """Return all signs `[..., 2n]` when the codeword `[..., 128]` is carried."""
        return self.signs * np.where(self.carries >= 0, code[..., self.carries], 1.0)


def key_bytes(key: bytes | str | None) -> bytes:
    """Return a key as bytes; None is the public one. Raises SoraError for an empty key."""
    if key is None:
        return DEFAULT_KEY
    key = key.encode() if isinstance(key, str) else bytes(key)
    expect(bool(key), "The watermark key is empty: give a secret text, or none for the public key.")
    return key


@lru_cache(8)
def carrier_of(key: bytes) -> Carrier:
    """Draw the signs of a key, and spread the codeword over them, from a stream that only the key determines."""
    top = int(WAVES[1])
    u, v = np.mgrid[-top : top + 1, 0 : top + 1]
    radius = np.hypot(u, v)
    half = (v > 0) | (u > 0)  # the other half of the plane holds the same waves
    inside = (radius >= WAVES[0]) & (radius <= WAVES[1]) & half
    u, v = u[inside], v[inside]
    count = 2 * len(u)
    stream = hashlib.shake_256(b"sora watermark 1\0" + key).digest(count + 4 * count)
    signs = 1.0 - 2.0 * (np.frombuffer(stream[:count], np.uint8) & 1)
    # Stable, so that equal numbers are ordered alike everywhere: the order is part of the mark.
    order = np.argsort(np.frombuffer(stream[count:], "<u4"), kind="stable")
    carries = np.full(count, -1)
    loaded = order[int(PILOT * count) :]
    carries[loaded] = np.arange(len(loaded)) % ecc.LENGTH
    return Carrier(u, v, signs, carries)


def tile_side(height: int, width: int) -> float:
    """Return the side in pixels of the tile that has the area of a frame."""
    return math.sqrt(height * width)


@lru_cache(1024)  # the same for each angle of a search
def plane_waves(length: int, side: float, top: int, sign: int, start: float = 0.0) -> np.ndarray:
    """Return exp(2 pi i sign k x) `[2 top + 1, length]` at the pixels' centres for tiles of `side` pixels.

    k = -top..top are the periods a tile side, x the place in tile sides. start: pixels from the tile's corner to the
    first one.
    """
    places = (np.arange(length) + 0.5 + start) / side
    made = np.exp(2j * np.pi * sign * np.outer(np.arange(-top, top + 1), places))
    made.flags.writeable = False  # it is shared
    return made
