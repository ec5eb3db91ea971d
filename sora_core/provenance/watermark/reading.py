"""Reading of the watermark: what the frames have in common, projected on the waves, aligned and decoded.

How it works and why its p-values hold stands at the head of `.embedding`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

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
MOST_READ = 256  # frames in which a mark is looked for that was just put there


class Place(NamedTuple):
    """How the tile lies in the picture that is read."""

    scale: float  # of the tile, in sides of the frame
    shift: tuple[int, int]  # down and across, in 1/128 of the tile's side
    mirrored: bool


UNMOVED = Place(1.0, (0, 0), False)


@dataclass(frozen=True)
class WatermarkReport:
    """What `detect` found."""

    found: bool
    payload: int | None  # the 32 bits, None when nothing was found
    bit_confidence: tuple[float, ...]  # 32, the probability of each bit, most significant first, if there is a mark
    p_value: float  # upper bound of the probability to see this in a video without the mark
    score: float  # S of the p-value's bound
    scale: float  # of the tile, in sides of the frame: 1 is unmoved
    shift: tuple[float, float]  # of the tile, down and across, in its sides: (0, 0) is unmoved
    mirrored: bool
    frames: int  # that were looked at


class Accumulator:
    """Sums up what frames have in common: differences of neighbouring pixels, those in flat places above all.

    A step s counts as s / (v + FLAT^2), v the mean square of the steps around it. That is the weight of a Gaussian of
    that variance: edges and textures, which are far larger than the mark, do not drown it.
    """

    def __init__(self) -> None:
        self.frames = 0
        self._sums: list[Tensor] = []
        self._size: tuple[int, ...] = ()

    def add(self, frame: Any) -> None:
        """Add a frame `[H,W,3]`, uint8 or float 0..1, tensor or array.

        Raises SoraError for other shapes, less than 32 pixels a side, and a size that is not the first frame's.
        """
        pixels = torch.as_tensor(frame)[..., :3]
        expect(pixels.ndim == 3, f"A frame must have the shape [H,W,3], not {list(pixels.shape)}.")
        luma = pixels.detach().cpu().float() @ torch.tensor(LUMA)
        if pixels.is_floating_point():
            luma = luma * 255
        shrink = round(tile_side(*luma.shape) / TILE)
        # The waves are long: at some 128 pixels a side a period still has 10 of them.
        if shrink > 1:
            luma = F.avg_pool2d(luma[None], shrink)[0]
        if not self._sums:
            expect(
                min(luma.shape) >= SMALLEST_SIDE,
                f"Frames of {pixels.shape[1]}x{pixels.shape[0]} are too small to look for a watermark: {SMALLEST_SIDE} "
                "pixels a side at least.",
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
        """Return minus the divergence of the summed differences `[h,w]`: the mark, and little of the scene."""
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
        """Project the picture on each wave, over the median of the waves of like length: complex `[n]` of norm 1."""
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
        """Find the shifts (in 1/128 of the tile's side) at which the pilot correlates best, with the correlation."""
        grid = np.zeros((TILE, TILE), complex)
        grid[self.carrier.u % TILE, self.carrier.v] = self.pilot * waves
        found = np.fft.fft2(grid).real.ravel()
        best = np.argpartition(found, -LISTED)[-LISTED:]
        return [(float(found[i]), divmod(int(i), TILE)) for i in best]

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


def _log_p(score: float, moved: bool) -> float:
    """Return the natural logarithm of the bound on the p-value (see the head of `.embedding`)."""
    # Half of the probability goes to "not moved", the other half in equal parts to all other places.
    alignments = 2 * len(SCALES) * TILE**2 if moved else 1
    return min(0.0, ecc.BITS * math.log(2) - max(score, 0) ** 2 / 2 + math.log(2 * alignments))


def read(
    summed: Accumulator, key: bytes | str | None = None, *, false_positive_rate: float = FALSE_POSITIVE_RATE
) -> WatermarkReport:
    """Look for the mark of `key` in frames that were summed up already, as `embedding.detect`."""
    expect(summed.frames > 0, "There are no frames to look for a watermark in.")
    reader = Reader(summed.picture(), carrier_of(key_bytes(key)))
    # Most videos are not cropped: other places are searched only where the mark is not found at rest.
    waves = reader.project(UNMOVED.scale, UNMOVED.mirrored)
    values, places = reader.moved(waves, UNMOVED.shift)[None], [UNMOVED]
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


def shows(frames: Iterable[Any], key: bytes | str | None, payload: int) -> bool:
    """Tell whether frames `[H,W,3]` carry the mark of `key` with `payload`, unmoved. For who has just marked them.

    It stops at the first frames that show it, of MOST_READ at most. Raises SoraError as `Accumulator.add`.
    """
    summed = Accumulator()
    for frame in itertools.islice(frames, MOST_READ):
        summed.add(frame)
        # A mark that is there shows in few frames; the more there are, the more seldom it is asked.
        if summed.frames.bit_count() == 1 and _holds(summed, key, payload):
            return True
    return summed.frames > 0 and _holds(summed, key, payload)


def _holds(summed: Accumulator, key: bytes | str | None, payload: int) -> bool:
    reader = Reader(summed.picture(), carrier_of(key_bytes(key)))
    values = reader.moved(reader.project(UNMOVED.scale, UNMOVED.mirrored), UNMOVED.shift)[None]
    log_p, found, _, _ = _best(reader, values, [UNMOVED])
    return log_p <= math.log(FALSE_POSITIVE_RATE) and found == payload


def _candidates(reader: Reader) -> tuple[np.ndarray, list[Place]]:
    """Return the projections `[N,2n]` at the N places at which the pilot correlates best, and the places."""
    listed = []
    for mirrored in (False, True):
        for scale in SCALES:
            waves = reader.project(scale, mirrored)
            listed += [(pilot, Place(scale, shift, mirrored), waves) for pilot, shift in reader.align(waves)]
    listed.sort(key=lambda entry: -entry[0])
    listed = listed[:LISTED_IN_ALL]
    values = np.stack([reader.moved(waves, place.shift) for _, place, waves in listed])
    return values, [place for _, place, _ in listed]


def _best(reader: Reader, values: np.ndarray, places: list[Place]) -> tuple[float, int, float, int]:
    """Decode all candidates; returns log p, payload, score and number of the best."""
    payloads = ecc.decode(reader.soft(values))
    scores = reader.scores(values, payloads)
    best = int(scores.argmax())
    moved = places[best] != UNMOVED
    return _log_p(float(scores[best]), moved), int(payloads[best]), float(scores[best]), best


def _confidence(reader: Reader, values: np.ndarray, payload: int, score: float) -> tuple[float, ...]:
    """Return the probability of each bit: how much worse is the best payload that has it the other way (max-log)."""
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
