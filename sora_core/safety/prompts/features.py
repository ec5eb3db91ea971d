"""From units to numbers: hashed features of words, their classes, and what stands near what."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from zlib import crc32

from .lexicon import RISKY, Unit

BUCKETS = 1 << 16
REACH = 6  # units on either side that a word is read with
NEAR = 2  # up to here a pair's features are marked as near, beyond as far
_RISKY = frozenset(RISKY)
# Length in units, and step. A harmful phrase in a long prompt fills a short window; they overlap, so that none is cut.
_WINDOWS = ((8, 4), (16, 8), (32, 16))


@lru_cache(maxsize=1 << 17)
def bucket(feature: str) -> int:
    """Hash a feature to its row of the table. CRC, for Python's own hash differs from run to run."""
    return crc32(feature.encode()) & (BUCKETS - 1)


def unit_features(units: Sequence[Unit]) -> list[list[int]]:
    """Find the buckets of each unit's features.

    A pair's feature is kept with the riskier of the two, so that a window that shows only that one still knows its
    company: `shoots` stays the basketball player's wherever the window ends.
    """
    found: list[list[int]] = [[] for _ in units]
    sentence, sentences = 0, []
    for i, unit in enumerate(units):
        sentence += unit.gap == 2 and i > 0
        sentences.append(sentence)
    for i, unit in enumerate(units):
        if any(c.startswith("name") for c in unit.classes):
            continue  # a name counts by itself
        own = found[i]
        own.append(bucket(f"w {unit.text}"))
        own += [bucket(f"c {c}") for c in unit.classes]
        risky = not unit.classes.isdisjoint(_RISKY)
        if i + 1 < len(units) and sentences[i + 1] == sentences[i]:
            own.append(bucket(f"b {unit.text} {units[i + 1].text}"))
        for j in range(i + 1, min(i + 1 + REACH, len(units))):
            if sentences[j] != sentences[i]:
                break
            other = units[j]
            other_risky = not other.classes.isdisjoint(_RISKY)
            if not (risky or other_risky) or not unit.classes or not other.classes:
                continue
            at = found[j] if other_risky else own
            where = "n" if j - i <= NEAR else "f"
            for a in unit.classes:
                for b in other.classes:
                    at.append(bucket(f"{where} {a}>{b}"))
            if risky:
                at += [bucket(f"r {unit.text}>{b}") for b in other.classes]
            if other_risky:
                at += [bucket(f"l {a}>{other.text}") for a in unit.classes]
    return found


def windows(units: Sequence[Unit]) -> list[tuple[int, int]]:
    """List half-open ranges of units to score one by one: the whole text, each sentence, and sliding windows."""
    count = len(units)
    starts = [i for i, unit in enumerate(units) if i == 0 or unit.gap == 2]
    found = {(0, count), *zip(starts, [*starts[1:], count], strict=True)}
    for size, step in _WINDOWS:
        if count > size:
            found |= {(start, min(start + size, count)) for start in range(0, count - size + step, step)}
    return sorted(found)
