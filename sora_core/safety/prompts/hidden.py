"""Words that are spelled to pass: one letter wrong, run together, or with something between the letters.

Only words that decide by themselves are looked for, and only where the text has no word that the check knows. Ordinary
words that are one letter from such a one ("channel", "therapist") stand in ordinary.txt.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

MIN_TYPO = 5  # letters of the word that is meant: shorter ones have too many neighbours
MIN_NAME = 7  # of a name, joined
_MIN_PART = 3
_MOST_PARTS = 4
_LONGEST = 40  # letters: no word is longer


def _without_one(word: str) -> Iterable[str]:
    return (word[:i] + word[i + 1 :] for i in range(len(word)))


def one_apart(a: str, b: str) -> bool:
    """Return whether one letter more, less or other, or two that changed places, make `a` into `b`."""
    if a == b or abs(len(a) - len(b)) > 1:
        return False
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    rest, other = a[start:], b[start:]
    if len(rest) == len(other):
        swapped = len(rest) > 1 and rest[0] == other[1] and rest[1] == other[0] and rest[2:] == other[2:]
        return rest[1:] == other[1:] or swapped
    return rest[1:] == other if len(rest) > len(other) else rest == other[1:]


class Hidden:
    """Finds words that decide behind letters that were changed."""

    def __init__(self, known: Collection[str], sure: Iterable[str], names: Iterable[str]) -> None:
        """`known`: words to leave alone; `sure`: words that decide by themselves; `names`: joined ones."""
        self.known = known
        self.sure = {word for word in sure if len(word) >= 4}
        names = {name for name in names if len(name) >= MIN_NAME}
        self.cut = self.sure | names  # worth putting together over a comma or a line
        self._meant: dict[str, list[str]] = {}
        wanted = [word for word in sorted(self.sure) if len(word) >= MIN_TYPO] + sorted(names)
        for word in wanted:
            for key in {word, *_without_one(word)}:
                self._meant.setdefault(key, []).append(word)

    def typo(self, word: str) -> str | None:
        """Find the word that decides and is one letter from `word`."""
        if len(word) < MIN_TYPO - 1 or len(word) > _LONGEST:
            return None
        keys = [word, *_without_one(word)]
        found = {meant for key in keys for meant in self._meant.get(key, ()) if one_apart(word, meant)}
        # The first letter is rarely wrong: words that share it come first.
        return min(found, key=lambda meant: (meant[0] != word[0], meant), default=None)

    def parts(self, word: str) -> list[str] | None:
        """Split letters into known words one of which decides (`nakedwoman`), None where there is no such way."""
        if not 7 <= len(word) <= _LONGEST:
            return None
        best: list[list[str] | None] = [[]] + [None] * len(word)
        for end in range(_MIN_PART, len(word) + 1):
            for start in range(max(0, end - 20), end - _MIN_PART + 1):
                before, part = best[start], word[start:end]
                if before is None or part not in self.known or len(before) >= _MOST_PARTS:
                    continue
                made = [*before, part]
                if best[end] is None or self._rank(made) < self._rank(best[end] or []):
                    best[end] = made
        found = best[-1]
        return found if found and len(found) > 1 and any(part in self.sure for part in found) else None

    def _rank(self, parts: list[str]) -> tuple[bool, int]:
        return not any(part in self.sure for part in parts), len(parts)

    def between(self, word: str) -> str | None:
        """Find the word that decides whose letters have the same sign between them all (`nxaxkxexd`)."""
        inner = word[::2]
        return inner if len(inner) >= 4 and len(set(word[1::2])) == 1 and inner in self.cut else None
