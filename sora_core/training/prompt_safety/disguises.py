"""Disguises that people use to get a word past a filter, for training."""

from __future__ import annotations

import numpy as np

# Digits for letters; Cyrillic letters that look like Latin ones; the wide forms of ASCII.
_LEET = str.maketrans({"a": "4", "e": "3", "i": "1", "o": "0", "s": "5", "t": "7"})
_LOOKALIKE = str.maketrans("aeopcxyi", "аеорсхуі")
_WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}


def disguise(text: str, rng: np.random.Generator) -> str:
    """Hide some of a text's words in one of the usual ways, drawn by `rng`."""
    kind = rng.integers(6)
    if kind == 5:
        return text.translate(_WIDE)
    return " ".join(_word(word, int(kind), rng) if rng.random() < 0.7 else word for word in text.split(" "))


def _word(word: str, kind: int, rng: np.random.Generator) -> str:
    """Hide one word: as above, by invisible or visible marks between its letters, or by a letter said thrice."""
    if len(word) < 3:
        return word
    if kind == 0:
        return word.translate(_LEET)
    if kind == 1:
        return word.translate(_LOOKALIKE)
    if kind == 2:
        return "\u200b".join(word)
    if kind == 3:
        return str(rng.choice((".", "-", "*", " "))).join(word)
    at = int(rng.integers(1, len(word)))
    return word[:at] + word[at] * 3 + word[at:]
