"""From units to numbers: hashed features of risky words, their classes, and what stands near them.

Only risky words have features of their own. Words of no list have none at all, function words among them, and harmless
words speak only through the risky ones that they stand beside: so a text without a risky word scores the same at any
length, and whatever raises a score can be named.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from zlib import crc32

from .lexicon import RISKY, WEAK, Unit

BUCKETS = 1 << 16
REACH = 7  # units on either side that a word is read with
NEAR = 3  # up to here a pair's features are marked as near, beyond as far
_RISKY = frozenset(RISKY)
_STRONG = _RISKY - WEAK
_ANCHORS = _RISKY - {"minor", "victim"}  # those only say whom
# Risky words that are summed: what stands further apart is not one thing, and a long text has more of them.
_WINDOWS = (1, 2, 3)


@lru_cache(maxsize=1 << 17)
def bucket(feature: str) -> int:
    """Hash a feature to its row of the table. CRC, for Python's own hash differs from run to run."""
    return crc32(feature.encode()) & (BUCKETS - 1)


def anchor(unit: Unit) -> bool:
    """Return whether a word may decide, alone or in company: a risky one that no list calls harmless as it stands."""
    return not unit.classes.isdisjoint(_ANCHORS) and unit.classes.isdisjoint(("calm", "film"))


def tells(unit: Unit) -> bool:
    """Return whether a word may decide alone."""
    return anchor(unit) and "everyday" not in unit.classes and not unit.classes.isdisjoint(_STRONG)


def sentences(units: Sequence[Unit]) -> list[int]:
    """Return the number of each unit's sentence."""
    return list(accumulate(int(unit.gap == 2 and i > 0) for i, unit in enumerate(units)))


def unit_features(units: Sequence[Unit]) -> list[list[int]]:
    """Find the buckets of each unit's features. Names have none: they count by themselves.

    A pair's feature is kept with the riskier of the two, so that a window that shows only that one still knows its
    company: `shoots` stays the basketball player's wherever the window ends.
    """
    found: list[list[int]] = [[] for _ in units]
    number = sentences(units)
    speaks = [bool(unit.classes) and not any(c.startswith("name") for c in unit.classes) for unit in units]
    bad = [anchor(unit) for unit in units]
    for i, unit in enumerate(units):
        if not bad[i] or not speaks[i]:
            continue
        own = found[i]
        if tells(unit):
            own.append(bucket(f"w {unit.text}"))
            own += [bucket(f"c {c}") for c in unit.classes]
        for step in (1, -1):
            for distance in range(1, REACH + 1):
                j = i + step * distance
                if not 0 <= j < len(units) or number[j] != number[i]:
                    break
                if not speaks[j] or step < 0 and bad[j]:
                    continue  # of two risky words the first keeps the pair
                other = units[j]
                where = ("n" if distance <= NEAR else "f") + (">" if step > 0 else "<")
                for b in other.classes:
                    own += [bucket(f"{where} {a} {b}") for a in unit.classes]
                    own.append(bucket(f"r{where[1]} {unit.text} {b}"))
                if bad[j]:
                    own += [bucket(f"l {a} {other.text}") for a in unit.classes]
                if distance == 1:
                    own.append(bucket(f"b{where[1]} {unit.text} {other.text}"))
    return found


def windows(units: Sequence[Unit]) -> list[tuple[int, int]]:
    """List half-open ranges of units to score one by one: one to three risky words of a sentence, in a row."""
    number = sentences(units)
    bad = [i for i, unit in enumerate(units) if anchor(unit)]
    found = {
        (bad[k], bad[k + size - 1] + 1)
        for size in _WINDOWS
        for k in range(len(bad) - size + 1)
        if number[bad[k + size - 1]] == number[bad[k]]
    }
    return sorted(found) or [(0, 0)]
