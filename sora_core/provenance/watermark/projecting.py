"""A picture projected on the waves of a mark, and where in it given signs fit best."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F

from . import ecc
from .carrier import TILE, WAVES, Carrier, plane_waves, tile_side

CLIP = 1.5  # a projection counts at most this many times the median of its like
LISTED = 4  # alignments that are listed for each scale


@lru_cache(2)
def _rings(u: bytes, v: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Group waves of like length: of each its ring `[n]`, the members of each ring (n for none), their two middles."""
    down, across = (np.frombuffer(each, int) for each in (u, v))
    _, rings = np.unique(np.hypot(down, across).round(), return_inverse=True)
    counts = np.bincount(rings)
    members = np.full((len(counts), counts.max()), len(rings))
    for ring, count in enumerate(counts):
        members[ring, :count] = np.flatnonzero(rings == ring)
    return rings, members, np.stack(((counts - 1) // 2, counts // 2), 1)


class Reader:
    """Projects a picture on the waves of a key and decodes them."""

    def __init__(self, picture: np.ndarray, carrier: Carrier) -> None:
        self.picture, self.carrier = picture, carrier
        count = len(carrier.u)
        self.rings, self.members, self.middles = _rings(carrier.u.tobytes(), carrier.v.tobytes())
        pilot = np.where(carrier.carries < 0, carrier.signs, 0)
        self.pilot = pilot[:count] - 1j * pilot[count:]

    def project(self, scale: float, mirrored: bool, stretch: float = 1.0, centred: bool = False) -> np.ndarray:
        """Project the picture on each wave, over the median of the waves of like length: complex `[n]` of norm 1.

        centred: the tile is scaled about the picture's middle, not about its corner.
        """
        picture = self.picture[:, ::-1] if mirrored else self.picture
        top = int(WAVES[1])
        side = tile_side(*picture.shape) * scale
        sides = side / math.sqrt(stretch), side * math.sqrt(stretch)
        # The tile's own middle stays where it is in a frame that was not scaled.
        starts = (length * (scale - 1) / 2 if centred else 0.0 for length in picture.shape)
        lengths = zip(picture.shape, sides, starts, strict=True)
        down, across = (plane_waves(length, size, top, -1, start) for length, size, start in lengths)
        waves = (down @ picture @ across[top:].T)[self.carrier.u + top, self.carrier.v]
        # The median, because a scene's own stripes stand out in few waves: those are cut to CLIP, the others count.
        length = abs(waves) + 1e-12
        ordered = np.sort(np.append(length, np.inf)[self.members], 1)
        medians = np.take_along_axis(ordered, self.middles, 1).mean(1)
        waves = waves / length * np.minimum(length / medians[self.rings], CLIP)
        return waves / max(np.linalg.norm(waves), 1e-12)

    def align(self, waves: np.ndarray, signs: np.ndarray, most: int = LISTED) -> list[tuple[float, tuple[int, int]]]:
        """Find the shifts (in 1/128 of the tile's side) at which `signs` (complex `[n]`) fit best, and how well."""
        grid = np.zeros((TILE, TILE), complex)
        grid[self.carrier.u % TILE, self.carrier.v] = signs * waves
        found = np.fft.fft2(grid).real.ravel()
        best = np.argpartition(found, -most)[-most:]
        return [(float(found[i]), divmod(int(i), TILE)) for i in best]

    def pattern(self, payload: int) -> np.ndarray:
        """Return all signs (complex `[n]`) of the mark that carries `payload`, as `align` takes them."""
        signs, count = self.carrier.with_code(ecc.encode(payload)), len(self.carrier.u)
        return signs[:count] - 1j * signs[count:]

    def moved(self, waves: np.ndarray, shift: tuple[int, int]) -> np.ndarray:
        """Return the real projections `[2n]` (cosines, sines) of the tile moved by `shift`."""
        turned = waves * np.exp(-2j * np.pi * (self.carrier.u * shift[0] + self.carrier.v * shift[1]) / TILE)
        return np.concatenate((turned.real, turned.imag))

    def soft(self, values: np.ndarray) -> np.ndarray:
        """Sum projections `[N,2n]` up to soft signs of the codeword `[N,128]`."""
        carries = self.carrier.carries
        loaded = carries >= 0
        out = np.zeros((len(values), ecc.LENGTH))
        for row, given in zip(out, values * self.carrier.signs, strict=True):
            np.add.at(row, carries[loaded], given[loaded])
        return out

    def scores(self, values: np.ndarray, payloads: np.ndarray) -> np.ndarray:
        """Return S `[N]` of each payload `[N]` at its alignment, whose projections are `[N,2n]`."""
        codes = np.stack([ecc.encode(int(payload)) for payload in payloads])
        return (self.carrier.with_code(codes) * values).sum(1)


def turned(picture: np.ndarray, degrees: float) -> np.ndarray:
    """Turn a picture `[h,w]` about its middle."""
    turn = math.radians(degrees)
    height, width = picture.shape
    cos, sin = math.cos(turn), math.sin(turn)
    # In units of half a side, in which the grid is drawn.
    matrix = torch.tensor([[[cos, -sin * height / width, 0.0], [sin * width / height, cos, 0.0]]])
    grid = F.affine_grid(matrix, [1, 1, height, width], align_corners=False)
    given = torch.from_numpy(np.ascontiguousarray(picture))[None, None].float()
    return F.grid_sample(given, grid, align_corners=False)[0, 0].double().numpy()
