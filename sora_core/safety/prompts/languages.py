"""Which words of a text the embedded check cannot read: it reads English and Chinese.

Other scripts are told by their letters, languages in Latin letters by their commonest words. Two or three words of such
a language without any of those are not noticed.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from .lexicon import load_lexicon
from .normalise import fold, read_lines

_WORD = re.compile(r"[^\W\d_]+")
_SHOWN = 5
_LEAST = 2  # common words of another language
_ENGLISH = "en"


@lru_cache(maxsize=1)
def _common() -> dict[str, frozenset[str]]:
    """Load the commonest words of languages, each with the languages that have it."""
    found: dict[str, set[str]] = {}
    for line in read_lines("languages.txt"):
        language, *words = line.split()
        for word in words:
            found.setdefault(word, set()).add(language)
    return {word: frozenset(languages) for word, languages in found.items()}


@lru_cache(maxsize=8192)
def _script(char: str) -> str:
    """Return "latin", "han" or "other" for a letter as it is meant: 𝒂 and ａ are Latin."""
    char = unicodedata.normalize("NFKD", char)[0]
    name = unicodedata.name(char, "")
    return "latin" if name.startswith("LATIN") else "han" if name.startswith("CJK") else "other"


def unread(text: str) -> list[str]:
    """List the first words of a text that the embedded check cannot read; none where it can."""
    known = load_lexicon().speller.known
    foreign: list[str] = []
    seen: dict[str, dict[str, str]] = {}  # of each language its common words, and as what they stand in the text
    for match in _WORD.finditer(text):
        word = match[0]
        letters = [_script(char) for char in word if unicodedata.category(char) != "Mn"]
        if 2 * letters.count("other") > len(letters) and len(word) > 1:
            # A word of look-alikes is a disguise, which is read.
            if _plain(word) not in known:
                foreign.append(word)
            continue
        for language in _common().get(word.casefold(), ()) if len(word) > 1 else ():
            seen.setdefault(language, {})[word.casefold()] = word
    english = len(seen.pop(_ENGLISH, ()))
    most = max(seen, key=lambda language: len(seen[language]), default="")
    if most and len(seen[most]) >= max(_LEAST, english + 1):
        foreign += seen[most].values()
    return list(dict.fromkeys(foreign))[:_SHOWN]


def _plain(word: str) -> str:
    return fold(word)[0]
