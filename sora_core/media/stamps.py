"""Time stamps that make no sense, and those of clips that were joined end to end, whose clocks begin anew."""

from __future__ import annotations

import bisect
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

# Formats whose clocks may jump, as those of broadcasts and of recordings that were joined do.
JUMPING = ("mpegts", "mpeg", "flv", "ogg")
FORWARD = 10  # seconds that such a clock leaps at once where it is another's
BACK = Fraction(1, 10)  # seconds by which a stamp of decoding may lie before the one that came before it
APART = 1  # seconds between a stamp that makes no sense and any other
FAR = 600  # seconds between the last frame and the one before it, or the first two, that nobody means
REORDERED = 4  # places by which frames stand out of order at most, as a rule
FEW, MOST_WRONG = 0.05, 50  # of all stamps, and in all, that may make no sense while the others do
MOST_RATE = 1000  # frames per second: above, a rate is the tick of a clock

Shown = tuple[int | None, int | None, int]  # pts, dts and duration of a packet, in ticks


@dataclass(frozen=True)
class Mended:
    """The stamps of a track, in the order of the file."""

    shown: list[Shown]
    joins: tuple[Fraction, ...] = ()  # seconds that are added to the clock from each place on where it begins anew
    changed: bool = False


def mended(shown: Sequence[Shown], tick: Fraction, jumping: bool) -> Mended:
    """Take out stamps that make no sense and make one clock of several.

    jumping: whether the format is one of `JUMPING`.
    """
    wrong = {i for part in (0, 1) for i in senseless([stamps[part] for stamps in shown], tick, jumping)}
    kept = [(None, None, length) if i in wrong else (pts, dts, length) for i, (pts, dts, length) in enumerate(shown)]
    joined, joins = _one_clock(kept, tick, jumping)
    whole = _filled(joined, wrong) if wrong else joined
    return Mended(whole, joins, bool(wrong or joins))


def senseless(stamps: Sequence[int | None], tick: Fraction, jumping: bool = False) -> set[int]:
    """Find the stamps that lie far from all others and not where their packet stands in the file, by index.

    At either end the distance alone decides, unless the format is a `jumping` one.
    """
    order = sorted((stamp, index) for index, stamp in enumerate(stamps) if stamp is not None)
    found: set[int] = set()
    group: list[int] = []
    few = min(max(1, int(FEW * len(order))), MOST_WRONG)
    for rank, (stamp, _) in enumerate(order):
        group.append(rank)
        after = order[rank + 1][0] - stamp if rank + 1 < len(order) else None
        if after is not None and after * tick <= APART:
            continue
        first = group[0]
        before = order[first][0] - order[first - 1][0] if first else None
        gaps = [gap * tick for gap in (before, after) if gap is not None]
        elsewhere = all(abs(order[r][1] - r) > REORDERED + len(found) for r in group)
        alone = not jumping and len(gaps) == 1 and gaps[0] > FAR
        if len(group) <= few and len(order) > 2 * few and gaps and (elsewhere or alone):
            found |= {order[r][1] for r in group}
        group = []
    return found


def _one_clock(shown: Sequence[Shown], tick: Fraction, jumping: bool) -> tuple[list[Shown], tuple[Fraction, ...]]:
    """Go on counting where a clock begins anew, as a player does: by the times of decoding."""
    made: list[Shown] = []
    joins: list[Fraction] = []
    usual = _usual_step([dts for _, dts, _ in shown])
    add, top, length = 0, None, 0
    for pts, dts, duration in shown:
        if dts is not None and top is not None:
            leap = (dts + add - top) * tick
            if leap < -BACK or (jumping and leap > FORWARD):
                # A duration that is far from the steps is the header's tick.
                add = top + (length if usual / 2 <= length <= 2 * usual else usual) - dts
                joins.append(add * tick)
        made.append((None if pts is None else pts + add, None if dts is None else dts + add, duration))
        if dts is not None:
            top, length = dts + add if top is None else max(top, dts + add), duration
    return made, tuple(joins)


def _usual_step(stamps: Sequence[int | None]) -> int:
    known = [stamp for stamp in stamps if stamp is not None]
    steps = [b - a for a, b in zip(known, known[1:], strict=False) if b > a]
    return round(statistics.median(steps)) if steps else 1


def _filled(shown: Sequence[Shown], wrong: set[int]) -> list[Shown]:
    """Give the packets whose stamps were taken out the places that are free among the others."""
    places = sorted(pts for i, (pts, _, _) in enumerate(shown) if i not in wrong and pts is not None)
    decoded = sorted(dts for i, (_, dts, _) in enumerate(shown) if i not in wrong and dts is not None)
    made = list(shown)
    for index in sorted(wrong):
        made[index] = (_free(places), _free(decoded), shown[index][2])
    return made


def _free(places: list[int]) -> int | None:
    """Take the middle of the widest gap in sorted stamps, or what follows the last if there is none; adds it."""
    if len(places) < 2:
        return None
    steps = [b - a for a, b in zip(places, places[1:], strict=False)]
    usual, widest = round(statistics.median(steps)), max(steps)
    at = steps.index(widest)
    stamp = places[at] + widest // 2 if widest > 1.5 * usual else places[-1] + usual
    bisect.insort(places, stamp)
    return stamp


def say_nothing(times: Sequence[int], tick: Fraction) -> bool:
    """Tell whether sorted stamps are all the same, or count packets and not time."""
    steps = [b - a for a, b in zip(times, times[1:], strict=False)]
    least = 1 if tick * MOST_RATE < 1 else 0
    return len(steps) > 1 and sum(step <= least for step in steps) > len(steps) / 2
