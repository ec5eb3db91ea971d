"""Reading of the watermark: what the frames have in common, projected on the waves, aligned and decoded.

How it works and why its p-values hold stands at the head of `.embedding`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ...errors import expect
from . import ecc
from .carrier import TILE, carrier_of, key_bytes
from .clipcode import BITS, NUMBERS, clip_code
from .places import ANGLES, BOXED, SCALES, STRETCHES, UNMOVED, ZOOMS, Place, log_p
from .projecting import Reader, turned
from .summing import Accumulator
from .tie import HOLDS, NOT_SHOWN, OTHER, Seen, Ties, judge

FALSE_POSITIVE_RATE = 1e-6
LISTED_IN_ALL = 48  # alignments that are decoded, of all
LOOKED_AT = 8  # of those, at which the pictures are looked at
NUMBERS_LOOKED_AT = 64  # with so many numbers each
MOST_READ = 256  # frames in which a mark is looked for that was just put there

# How the probability of a false alarm is shared out over what is looked for, see the head of `.embedding`.
OF_MODELS = 0.2  # marks of before, that name a model
SHARE_OF_KNOWN = 0.1  # of that, the payloads that are looked for by name; the rest all others, who have none to spare
OF_NUMBERS = 0.2  # the number of a clip alone
OF_TIED = 0.5  # the number and its tie; what is left is kept for what may come


@dataclass(frozen=True)
class WatermarkReport:
    """What `detect` found."""

    found: bool
    payload: int | None  # the number of the clip, or the 32 bits of a mark of before; None when nothing was found
    bit_confidence: tuple[float, ...]  # the probability of each bit, most significant first, if there is a mark
    p_value: float  # upper bound of the probability to see this in a video without the mark
    score: float  # S of the p-value's bound
    scale: float  # of the tile, in sides of the frame: 1 is unmoved
    shift: tuple[float, float]  # of the tile, down and across, in its sides: (0, 0) is unmoved
    mirrored: bool
    frames: int  # that were looked at
    stretch: float = 1.0  # of the picture, across over down
    angle: float = 0.0  # degrees by which the picture was turned
    boxed: bool = False  # whether there were black bars around it
    kind: str = "clip"  # "clip", or "model" for a mark of before, which is the same in all clips of a model and key
    tie: str = NOT_SHOWN  # to these pictures: "holds", "other pictures" or "not shown"
    tie_p: float = 1.0  # upper bound of the probability to see that tie by chance

    @property
    def bits(self) -> int:
        """How many bits the payload has."""
        return BITS if self.kind == "clip" else ecc.BITS

    @property
    def name(self) -> str:
        """The payload as it is written down."""
        return "none" if self.payload is None else f"{self.payload:0{self.bits // 4}x}"


class _Found(NamedTuple):
    """The best that was found so far."""

    log_p: float
    payload: int
    score: float
    place: Place
    values: np.ndarray  # [2n], the projections there
    seen: Seen | None = None  # the tie there, of the number of a clip; None for a mark of before


class _Search:
    """Looks for the mark in all places, cheap and likely ones first."""

    def __init__(
        self, summed: Accumulator, key: bytes | str | None, known: Sequence[int] = (), only: int | None = None
    ) -> None:
        carrier, self.code = carrier_of(key_bytes(key)), clip_code(key_bytes(key))
        picture, box = summed.picture(), summed.box()
        self.reader = Reader(picture, carrier)
        self.inner = None if box is None else Reader(np.ascontiguousarray(picture[box]), carrier)
        self.known = {payload: self.reader.pattern(payload) for payload in known}
        self.only = only
        self.ties = Ties(summed, self.code)
        # Payloads that are looked for by name are few, so that less is asked of them.
        self.few = len(known) / (OF_MODELS * SHARE_OF_KNOWN)
        self.many = 2.0**ecc.BITS / (OF_MODELS * (1 - SHARE_OF_KNOWN if known else 1))
        self.best = _Found(0.0, 0, 0.0, UNMOVED, np.zeros(2 * len(carrier.u)))

    def keep(self, found: _Found) -> None:
        """Remember what was found, if it is better than what was before."""
        if (found.log_p, -found.score) < (self.best.log_p, -self.best.score):
            self.best = found

    def try_places(
        self, reader: Reader, listed: list[tuple[Place, np.ndarray]], clips: Sequence[int] | None = None
    ) -> _Found:
        """Decode at places (each with its waves `[n]`); returns the best that was found so far.

        clips: which of the places are tried for the number of a clip, None for all.
        """
        values = np.stack([reader.moved(waves, place.shift) for place, waves in listed])
        if self.only is None:
            self.try_models(reader, [place for place, _ in listed], values)
        chosen = range(len(listed)) if clips is None else clips
        if chosen:
            self.try_clips([listed[i][0] for i in chosen], values[list(chosen)])
        return self.best

    def try_models(self, reader: Reader, places: list[Place], values: np.ndarray) -> None:
        """Look for a mark of before, that names a model, at places, whose projections are `[N,2n]`."""
        payloads = ecc.decode(reader.soft(values))
        tried = [(self.many, payloads, reader.scores(values, payloads))]
        for payload in self.known:
            same = np.full(len(values), payload)
            tried.append((self.few, same, reader.scores(values, same)))
        for count, given, scores in tried:
            for place, value, payload, score in zip(places, values, given, scores, strict=True):
                self.keep(_Found(log_p(float(score), place, count), int(payload), float(score), place, value))

    def try_clips(self, places: list[Place], values: np.ndarray) -> None:
        """Look for the number of a clip at places, whose projections are `[N,2n]`; the likeliest are looked at."""
        code, pilots = self.code, self.code.piloted(values)
        scores = code.numbers(values)
        plain = np.sqrt((values[:, code.pilot] ** 2).sum(1) + (values[:, code.coded] ** 2).sum(1)).clip(1e-12)
        bests = np.asarray(
            [log_p((s.max() + p) / n, place, 1) for s, p, n, place in zip(scores, pilots, plain, places, strict=True)]
        )
        for i in np.argsort(bests, kind="stable")[:LOOKED_AT]:
            seen = self.ties.seen(places[i])
            both = math.sqrt(plain[i] ** 2 + seen.spread)
            # One that is looked for by name is a single one, so that less is asked of it.
            numbers, count = ([self.only], 1) if self.only is not None else (_highest(scores[i]), NUMBERS)
            for number in numbers:
                score = float(scores[i, number] + pilots[i])
                with_tie = (score + seen.score(code.tie_signs(number))) / both
                for given, part in ((score / plain[i], OF_NUMBERS), (with_tie, OF_TIED)):
                    bound = log_p(given, places[i], count / part)
                    self.keep(_Found(bound, number, given, places[i], values[i], seen))

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
        fit = [float((reader.pilot * waves).sum().real) for _, waves in listed]
        return self.try_places(reader, listed, np.argsort(fit)[-LISTED_IN_ALL // 2 :].tolist())

    def turned(self) -> _Found:
        """Look where the picture was turned about its middle, and scaled to hide or to keep its corners."""
        listed = []
        source = self.inner or self.reader
        for angle in ANGLES:
            reader = Reader(turned(source.picture, -angle), source.carrier)
            listed += [
                (Place(zoom, (0, 0), False, 1.0, angle), reader.project(zoom, False, centred=True)) for zoom in ZOOMS
            ]
        patterns = [source.pilot, *self.known.values()]
        ranks = np.stack([[float((pattern * waves).sum().real) for _, waves in listed] for pattern in patterns])
        best = [[int(i) for i in np.argsort(-row)[: LISTED_IN_ALL // 2]] for row in ranks]
        every = list(dict.fromkeys(i for row in best for i in row))
        return self.try_places(source, [listed[i] for i in every], range(len(best[0])))

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
        for number, rows in enumerate(listed):
            rows.sort(key=lambda entry: -entry[0])
            # The first are those that the pilot picked, which marks of before and of now share.
            clips = range(min(len(rows), LISTED_IN_ALL)) if number == 0 else ()
            best = self.try_places(reader, [(place, waves) for _, place, waves in rows[:LISTED_IN_ALL]], clips)
        return best


def _highest(scores: np.ndarray) -> list[int]:
    return [int(number) for number in np.argpartition(scores, -NUMBERS_LOOKED_AT)[-NUMBERS_LOOKED_AT:]]


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
    return _look(search, summed, false_positive_rate, (search.at_rest, search.stretched, search.moved, search.turned))


def read_at_rest(
    summed: Accumulator,
    key: bytes | str | None = None,
    *,
    false_positive_rate: float = FALSE_POSITIVE_RATE,
    only: int | None = None,
) -> WatermarkReport:
    """Look for the mark as `read` does, but only where it is in a file that nobody cut: in a hundredth of the time.

    only: the one number of a clip that is looked for, None for all marks.
    """
    expect(summed.frames > 0, "There are no frames to look for a watermark in.")
    search = _Search(summed, key, only=only)
    return _look(search, summed, false_positive_rate, (search.at_rest,))


def _look(search: _Search, summed: Accumulator, rate: float, looks: Sequence[Callable[[], _Found]]) -> WatermarkReport:
    found, tie, chance = False, NOT_SHOWN, 1.0
    for look in looks:
        best = look()
        found = bool(best.log_p <= math.log(rate))
        seen = best.seen if found else None
        tie, chance = (NOT_SHOWN, 1.0) if seen is None else judge(seen, search.code, best.payload, best.place)
        # A picture that was turned a little shows its mark unmoved too, weaker and with little of its tie.
        if found and (tie == HOLDS or best.seen is None):
            break
    place = best.place
    return WatermarkReport(
        found=found,
        payload=best.payload if found else None,
        bit_confidence=_confidence(search, best),
        p_value=math.exp(max(best.log_p, -700)),
        score=best.score,
        scale=place.scale,
        shift=(place.shift[0] / TILE, place.shift[1] / TILE),
        mirrored=place.mirrored,
        frames=summed.frames,
        stretch=place.stretch,
        angle=place.angle,
        boxed=place.boxed,
        kind="clip" if best.seen is not None or not found else "model",
        tie=tie,
        tie_p=chance,
    )


def read_back(frames: Iterable[Any], key: bytes | str | None, number: int | None = None) -> WatermarkReport | None:
    """Read the mark of a file that was just saved, of a clip with `number`; or any mark, of a file that was copied.

    It stops at the first frames that show it, of MOST_READ at most. Returns None where none do, and for a mark that is
    of other pictures. Raises SoraError as `Accumulator.add`.
    """
    summed = Accumulator()
    for frame in itertools.islice(frames, MOST_READ):
        summed.add(frame)
        # A mark that is there shows in few frames; the more there are, the more seldom it is asked.
        if summed.frames.bit_count() == 1:
            report = read_at_rest(summed, key, only=number)
            if report.found and (report.tie == HOLDS or report.kind == "model"):
                return report
    if not summed.frames:
        return None
    report = read_at_rest(summed, key, only=number)
    return report if report.found and report.tie != OTHER else None


def _confidence(search: _Search, best: _Found) -> tuple[float, ...]:
    """Return the probability of each bit: how much worse is the best payload that has it the other way (max-log)."""
    values, payload, score, reader = best.values, best.payload, best.score, search.reader
    count = BITS if best.seen is not None else ecc.BITS
    bits = np.asarray([payload >> (count - 1 - i) & 1 for i in range(count)])
    if best.seen is not None:
        code = search.code
        scores = code.numbers(values[None])[0].reshape((2,) * BITS)
        others = np.asarray([np.take(scores, 1 - bit, axis).max() for axis, bit in enumerate(bits)])
        size = len(code.pilot) + len(code.coded)
        norm = math.sqrt(max(float((values[np.concatenate((code.pilot, code.coded))] ** 2).sum()), 1e-24))
        pilot = float(code.piloted(values[None])[0])
        others, score = (others + pilot) / norm, (float(scores.ravel()[payload]) + pilot) / norm
    else:
        force = np.full((count, count), -1)
        force[np.arange(count), np.arange(count)] = 1 - bits
        many = np.repeat(values[None], count, 0)
        others, size = reader.scores(many, ecc.decode(reader.soft(many), force)), len(values)
    # A projection is a * sign + noise, and the squares of all add up to 1: so a = score / size, and the variance of the
    # noise is 1 / size - a^2; the logarithm of the odds is a (score - other) / variance.
    share = np.clip(score / math.sqrt(size), 1e-3, 0.999)
    odds = (score - others) * share * math.sqrt(size) / (1 - share**2)
    return tuple((1 / (1 + np.exp(-np.clip(odds, -50, 50)))).round(6).tolist())
