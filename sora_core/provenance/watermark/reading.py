"""Reading of the watermark: what the frames have in common, projected on the waves, aligned and decoded.

How it works and why its p-values hold stands at the head of `.watermark`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import expect
from . import ecc
from .carrier import LUMA, SMALLEST_SIDE, TILE, WAVES, Carrier, carrier_of, key_bytes, plane_waves, tile_side

FALSE_POSITIVE_RATE = 1e-6
FLAT = 1.1  # a step from one pixel to the next (8-bit units) that is as large as the mark's own
CLIP = 1.5  # a projection counts at most this many times the median of its like
SCALES = tuple(0.8 * 1.0075**i for i in range(84))
LISTED = 4  # alignments that are listed for each scale; of all, LISTED_IN_ALL are decoded
LISTED_IN_ALL = 48
UNMOVED = (1.0, (0, 0), False)  # scale, shift, mirrored


@dataclass(frozen=True)
class WatermarkReport:
    """What `detect` found.

    payload: the 32 bits, or None when nothing was found. bit_confidence: `[32]`, the probability of each bit
    (most significant first) given that there is a mark. p_value: upper bound of the probability to see this in
    a video without the mark. scale, shift: how the tile lies, in sides of the frame; (1, (0, 0)) is unmoved.
    """

    found: bool
    payload: int | None
    bit_confidence: tuple[float, ...]
    p_value: float
    score: float
    scale: float
    shift: tuple[float, float]
    mirrored: bool
    frames: int


class Accumulator:
    """Sums up what frames have in common: differences of neighbouring pixels, those in flat places above all.

    A step s counts as s / (v + FLAT^2), v the mean square of the steps around it: the weight of a Gaussian of that
    variance, so that edges and textures, which are far larger than the mark, do not drown it.
    """

    def __init__(self) -> None:
        self.frames = 0
        self._sums: list[Tensor] = []
        self._size: tuple[int, ...] = ()

    def add(self, frame: Any) -> None:
        """One `[H,W,3]` frame, uint8 or float 0..1, tensor or array."""
        pixels = torch.as_tensor(frame)[..., :3]
        expect(pixels.ndim == 3, f"A frame must have the shape [H,W,3], not {list(pixels.shape)}.")
        luma = pixels.detach().cpu().float() @ torch.tensor(LUMA)
        if pixels.is_floating_point():
            luma = luma * 255
        shrink = round(tile_side(*luma.shape) / TILE)
        if shrink > 1:
            luma = F.avg_pool2d(luma[None], shrink)[0]
        if not self._sums:
            expect(
                min(luma.shape) >= SMALLEST_SIDE,
                f"Frames of {pixels.shape[1]}x{pixels.shape[0]} are too small to look for a watermark: "
                f"{SMALLEST_SIDE} pixels a side at least.",
            )
            height, width = self._size = tuple(luma.shape)
            shapes = ((height, width - 1), (height - 1, width))
            self._sums = [torch.zeros(shape) for shape in shapes]
        expect(tuple(luma.shape) == self._size, "The frames have different sizes: give one video at a time.")
        for axis, sums in zip((1, 0), self._sums, strict=True):
            step = luma.diff(dim=axis)
            around = F.avg_pool2d(step.square()[None], 3, 1, 1, count_include_pad=False)[0]
            sums += step / (around + FLAT**2)
        self.frames += 1

    def picture(self) -> np.ndarray:
        """`[h,w]`: minus the divergence of the summed differences, which holds the mark and little of the scene."""
        across, down = self._sums
        out = F.pad(across, (1, 0)) - F.pad(across, (0, 1))
        return (out + F.pad(down, (0, 0, 1, 0)) - F.pad(down, (0, 0, 0, 1))).numpy()


class Reader:
    """Projects a picture on the waves of a key and decodes them."""

    def __init__(self, picture: np.ndarray, carrier: Carrier) -> None:
        self.picture, self.carrier = picture, carrier
        count = len(carrier.u)
        ring = np.hypot(carrier.u, carrier.v).round()
        self.rings = [np.flatnonzero(ring == radius) for radius in np.unique(ring)]
        pilot = np.where(carrier.carries < 0, carrier.signs, 0)
        self.pilot = pilot[:count] - 1j * pilot[count:]

    def project(self, scale: float, mirrored: bool) -> np.ndarray:
        """Complex `[n]` of norm 1: the picture on each wave, over the median of the waves of like length."""
        picture = self.picture[:, ::-1] if mirrored else self.picture
        top = int(WAVES[1])
        side = tile_side(*picture.shape) * scale
        down, across = (plane_waves(length, side, top, -1) for length in picture.shape)
        waves = (down @ picture @ across[top:].T)[self.carrier.u + top, self.carrier.v]
        # The median, because a scene's own stripes stand out in few waves: those are cut to CLIP, the others count.
        size = abs(waves) + 1e-12
        for ring in self.rings:
            size[ring] /= np.median(size[ring])
            waves[ring] /= abs(waves[ring]) + 1e-12
        waves = waves * np.minimum(size, CLIP)
        return waves / max(np.linalg.norm(waves), 1e-12)

    def align(self, waves: np.ndarray) -> list[tuple[float, tuple[int, int]]]:
        """The shifts (in 1/128 of the tile's side) at which the pilot correlates best."""
        grid = np.zeros((TILE, TILE), complex)
        grid[self.carrier.u % TILE, self.carrier.v] = self.pilot * waves
        found = np.fft.fft2(grid).real.ravel()
        best = np.argpartition(found, -LISTED)[-LISTED:]
        return [(float(found[i]), divmod(int(i), TILE)) for i in best]

    def moved(self, waves: np.ndarray, shift: tuple[int, int]) -> np.ndarray:
        """Real projections `[2n]` (cosines, sines) of the tile moved by `shift`."""
        turned = waves * np.exp(-2j * np.pi * (self.carrier.u * shift[0] + self.carrier.v * shift[1]) / TILE)
        return np.concatenate((turned.real, turned.imag))

    def soft(self, values: np.ndarray) -> np.ndarray:
        """Projections `[N,2n]` -> soft signs of the codeword `[N,128]`."""
        carries = self.carrier.carries
        loaded = carries >= 0
        out = np.zeros((len(values), ecc.LENGTH))
        for row, given in zip(out, values * self.carrier.signs, strict=True):
            np.add.at(row, carries[loaded], given[loaded])
        return out

    def scores(self, values: np.ndarray, payloads: np.ndarray) -> np.ndarray:
        """S `[N]` of each payload at its alignment."""
        codes = np.stack([ecc.encode(int(payload)) for payload in payloads])
        return (self.carrier.with_code(codes) * values).sum(1)


def _log_p(score: float, moved: bool) -> float:
    """Natural logarithm of the bound on the p-value (see the head of the file)."""
    alignments = 2 * len(SCALES) * TILE**2 if moved else 1
    return min(0.0, ecc.BITS * math.log(2) - max(score, 0) ** 2 / 2 + math.log(2 * alignments))


def read(
    summed: Accumulator, key: bytes | str | None = None, *, false_positive_rate: float = FALSE_POSITIVE_RATE
) -> WatermarkReport:
    """`detect` for frames that were summed up already."""
    expect(summed.frames > 0, "There are no frames to look for a watermark in.")
    reader = Reader(summed.picture(), carrier_of(key_bytes(key)))
    values, places = reader.moved(reader.project(*UNMOVED[::2]), UNMOVED[1])[None], [UNMOVED]
    log_p, payload, score, best = _best(reader, values, places)
    if log_p > math.log(false_positive_rate):
        more, elsewhere = _candidates(reader)
        other = _best(reader, more, elsewhere)
        if other[0] < log_p:
            (log_p, payload, score, best), values, places = other, more, elsewhere
    scale, shift, mirrored = places[best]
    found = log_p <= math.log(false_positive_rate)
    return WatermarkReport(
        found=found,
        payload=payload if found else None,
        bit_confidence=_confidence(reader, values[best], payload, score),
        p_value=math.exp(max(log_p, -700)),
        score=score,
        scale=scale,
        shift=(shift[0] / TILE, shift[1] / TILE),
        mirrored=mirrored,
        frames=summed.frames,
    )


def _candidates(reader: Reader) -> tuple[np.ndarray, list[tuple[float, tuple[int, int], bool]]]:
    listed = []
    for mirrored in (False, True):
        for scale in SCALES:
            waves = reader.project(scale, mirrored)
            listed += [(pilot, scale, shift, mirrored, waves) for pilot, shift in reader.align(waves)]
    listed.sort(key=lambda entry: -entry[0])
    listed = listed[:LISTED_IN_ALL]
    values = np.stack([reader.moved(waves, shift) for _, _, shift, _, waves in listed])
    return values, [(scale, shift, mirrored) for _, scale, shift, mirrored, _ in listed]


def _best(reader: Reader, values: np.ndarray, places: list) -> tuple[float, int, float, int]:
    """Decode all candidates: (log p, payload, score, which) of the best."""
    payloads = ecc.decode(reader.soft(values))
    scores = reader.scores(values, payloads)
    best = int(scores.argmax())
    moved = places[best] != UNMOVED
    return _log_p(float(scores[best]), moved), int(payloads[best]), float(scores[best]), best


def _confidence(reader: Reader, values: np.ndarray, payload: int, score: float) -> tuple[float, ...]:
    """Probability of each bit: how much worse is the best payload that has it the other way round (max-log)."""
    count = ecc.BITS
    force = np.full((count, count), -1)
    bits = np.asarray([payload >> (count - 1 - i) & 1 for i in range(count)])
    force[np.arange(count), np.arange(count)] = 1 - bits
    many = np.repeat(values[None], count, 0)
    others = reader.scores(many, ecc.decode(reader.soft(many), force))
    # A projection is a * sign + noise, and the squares of all 2n sum to 1: so a = score / 2n, and the variance of the
    # noise is 1 / 2n - a^2; the logarithm of the odds is a (score - other) / variance.
    share = np.clip(score / math.sqrt(len(values)), 1e-3, 0.999)
    odds = (score - others) * share * math.sqrt(len(values)) / (1 - share**2)
    return tuple((1 / (1 + np.exp(-np.clip(odds, -50, 50)))).round(6).tolist())
