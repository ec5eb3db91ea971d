"""Reading of the watermark: what the frames have in common, projected on the waves, aligned and decoded.

How it works and why its p-values hold stands at the head of `.embedding`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
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
STRETCHES = tuple(1.015**i for i in range(-28, 29) if i)  # 0.66 to 1.52
ANGLES = tuple(0.6 * i for i in range(-17, 18) if i)  # degrees
ZOOMS = tuple(0.85 * 1.0125**i for i in range(30))  # of a picture that was turned, about its middle; up to 1.22
LISTED = 4  # alignments that are listed for each scale; of all, LISTED_IN_ALL are decoded
LISTED_IN_ALL = 48
MOST_READ = 256  # frames in which a mark is looked for that was just put there
DARK = 24  # luminance (8-bit units) that black bars never exceed, whatever codec they went through

# How the probability of a false alarm is shared out, see the head of `.embedding`.
SHARE_OF_KNOWN = 0.1  # to the payloads that are looked for by name; the rest to all others, who have none to spare
SHARES = {"rest": 0.4, "boxed": 0.1, "stretched": 0.1, "turned": 0.1, "moved": 0.3}


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
    stretch: float = 1.0  # of the picture, across over down
    angle: float = 0.0  # degrees by which the picture was turned
    boxed: bool = False  # whether there were black bars around it


class Accumulator:
    """Sums up what frames have in common: differences of neighbouring pixels, those in flat places above all.

    A step s counts as s / (v + FLAT^2), v the mean square of the steps around it. That is the weight of a Gaussian of
    that variance: edges and textures, which are far larger than the mark, do not drown it.
    """

    def __init__(self) -> None:
        self.frames = 0
        self._sums: list[Tensor] = []
        self._brightest = torch.zeros(0, 0)
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
            self._brightest = torch.zeros(height, width)
        expect(tuple(luma.shape) == self._size, "The frames have different sizes: give one video at a time.")
        torch.maximum(self._brightest, luma, out=self._brightest)
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

    def box(self) -> tuple[slice, slice] | None:
        """Find the picture between black bars: its rows and columns, None where there are none."""
        found = []
        for axis in (1, 0):
            lit = (self._brightest.quantile(0.98, dim=axis) > DARK).nonzero().flatten().tolist()
            found.append(slice(lit[0], lit[-1] + 1) if lit else slice(0, self._size[1 - axis]))
        rows, columns = found
        whole = (rows.stop - rows.start, columns.stop - columns.start)
        return None if whole == self._size or min(whole) < SMALLEST_SIDE else (rows, columns)


class Reader:
    """Projects a picture on the waves of a key and decodes them."""

    def __init__(self, picture: np.ndarray, carrier: Carrier) -> None:
        self.picture, self.carrier = picture, carrier
        count = len(carrier.u)
        ring = np.hypot(carrier.u, carrier.v).round()
        self.rings = [np.flatnonzero(ring == radius) for radius in np.unique(ring)]
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
        size = abs(waves) + 1e-12
        for ring in self.rings:
            size[ring] /= np.median(size[ring])
            waves[ring] /= abs(waves[ring]) + 1e-12
        waves = waves * np.minimum(size, CLIP)
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


def _log_places(place: Place) -> float:
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


def _log_p(score: float, place: Place, payloads: float) -> float:
    """Return the natural logarithm of the bound on the p-value (see the head of `.embedding`).

    payloads: how many were looked for, over their share.
    """
    return min(0.0, math.log(payloads) - max(score, 0) ** 2 / 2 + _log_places(place))


class _Found(NamedTuple):
    """The best that was found so far."""

    log_p: float
    payload: int
    score: float
    place: Place
    values: np.ndarray  # [2n], the projections there


class _Search:
    """Looks for the mark in all places, cheap and likely ones first."""

    def __init__(self, summed: Accumulator, key: bytes | str | None, known: Sequence[int]) -> None:
        carrier = carrier_of(key_bytes(key))
        picture, box = summed.picture(), summed.box()
        self.reader = Reader(picture, carrier)
        self.inner = None if box is None else Reader(np.ascontiguousarray(picture[box]), carrier)
        self.known = {payload: self.reader.pattern(payload) for payload in known}
        # Payloads that are looked for by name are few, so that less is asked of them.
        self.few = len(known) / SHARE_OF_KNOWN
        self.many = 2.0**ecc.BITS / (1 - SHARE_OF_KNOWN if known else 1)
        self.best = _Found(0.0, 0, 0.0, UNMOVED, np.zeros(2 * len(carrier.u)))

    def try_places(self, reader: Reader, listed: list[tuple[Place, np.ndarray]]) -> _Found:
        """Decode at places (each with its waves `[n]`); returns the best that was found so far."""
        values = np.stack([reader.moved(waves, place.shift) for place, waves in listed])
        payloads = ecc.decode(reader.soft(values))
        tried = [(self.many, payloads, reader.scores(values, payloads))]
        for payload in self.known:
            same = np.full(len(values), payload)
            tried.append((self.few, same, reader.scores(values, same)))
        for count, given, scores in tried:
            for (place, _), value, payload, score in zip(listed, values, given, scores, strict=True):
                log_p = _log_p(float(score), place, count)
                if (log_p, -score) < (self.best.log_p, -self.best.score):
                    self.best = _Found(log_p, int(payload), float(score), place, value)
        return self.best

    def at_rest(self) -> _Found:
        """Look where most marks are: not moved, or not moved between black bars."""
        best = self.try_places(self.reader, [(UNMOVED, self.reader.project(1.0, False))])
        if self.inner is not None:
            best = self.try_places(self.inner, [(BOXED, self.inner.project(1.0, False))])
        return best

    def stretched(self) -> _Found:
        """Look where one side was scaled more than the other."""
        reader = self.inner or self.reader
        listed = [(Place(1.0, (0, 0), False, by), reader.project(1.0, False, by)) for by in STRETCHES]
        return self.try_places(reader, listed)

    def turned(self) -> _Found:
        """Look where the picture was turned about its middle, and scaled to hide or to keep its corners."""
        listed = []
        source = self.inner or self.reader
        for angle in ANGLES:
            reader = Reader(_turned(source.picture, -angle), source.carrier)
            listed += [
                (Place(zoom, (0, 0), False, 1.0, angle), reader.project(zoom, False, centred=True)) for zoom in ZOOMS
            ]
        patterns = [source.pilot, *self.known.values()]
        ranks = np.stack([[float((pattern * waves).sum().real) for _, waves in listed] for pattern in patterns])
        best = {int(i) for row in ranks for i in np.argsort(-row)[: LISTED_IN_ALL // 2]}
        return self.try_places(source, [listed[i] for i in sorted(best)])

    def moved(self) -> _Found:
        """Look at all scales and shifts, mirrored or not."""
        reader = self.inner or self.reader
        listed: list[list[tuple[float, Place, np.ndarray]]] = [[] for _ in range(1 + len(self.known))]
        for mirrored in (False, True):
            for scale in SCALES:
                waves = reader.project(scale, mirrored)
                for rows, signs in zip(listed, (reader.pilot, *self.known.values()), strict=True):
                    places = ((rank, Place(scale, shift, mirrored)) for rank, shift in reader.align(waves, signs))
                    rows += [(rank, place, waves) for rank, place in places]
        for rows in listed:
            rows.sort(key=lambda entry: -entry[0])
            best = self.try_places(reader, [(place, waves) for _, place, waves in rows[:LISTED_IN_ALL]])
        return best


def _turned(picture: np.ndarray, degrees: float) -> np.ndarray:
    """Turn a picture `[h,w]` about its middle."""
    turn = math.radians(degrees)
    height, width = picture.shape
    cos, sin = math.cos(turn), math.sin(turn)
    # In units of half a side, in which the grid is drawn.
    matrix = torch.tensor([[[cos, -sin * height / width, 0.0], [sin * width / height, cos, 0.0]]])
    grid = F.affine_grid(matrix, [1, 1, height, width], align_corners=False)
    given = torch.from_numpy(np.ascontiguousarray(picture))[None, None].float()
    return F.grid_sample(given, grid, align_corners=False)[0, 0].double().numpy()


def read(
    summed: Accumulator,
    key: bytes | str | None = None,
    *,
    false_positive_rate: float = FALSE_POSITIVE_RATE,
    known: Sequence[int] = (),
) -> WatermarkReport:
    """Look for the mark of `key` in frames that were summed up already, as `embedding.detect`."""
    expect(summed.frames > 0, "There are no frames to look for a watermark in.")
    search = _Search(summed, key, known)
    # Most videos are not moved: other places are searched only where the mark is not found at rest.
    for look in (search.at_rest, search.stretched, search.moved, search.turned):
        best = look()
        found = best.log_p <= math.log(false_positive_rate)
        if found:
            break
    place = best.place
    return WatermarkReport(
        found=found,
        payload=best.payload if found else None,
        bit_confidence=_confidence(search.reader, best.values, best.payload, best.score),
        p_value=math.exp(max(best.log_p, -700)),
        score=best.score,
        scale=place.scale,
        shift=(place.shift[0] / TILE, place.shift[1] / TILE),
        mirrored=place.mirrored,
        frames=summed.frames,
        stretch=place.stretch,
        angle=place.angle,
        boxed=place.boxed,
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
    best = _Search(summed, key, (payload,)).at_rest()
    return best.log_p <= math.log(FALSE_POSITIVE_RATE) and best.payload == payload


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
