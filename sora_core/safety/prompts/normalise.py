"""Text as a check has to read it: one spelling for every disguise.

`fold` works on characters: compatibility forms (NFKD), accents, invisible characters, text that is turned around,
look-alikes of Latin letters, traditional characters, emoji. `speller` works on words. Every token remembers its place
in the text, so that a report can quote it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

DATA = Path(__file__).with_name("data")
MAX_TEXT = 40_000  # characters; a check reads no further and says so

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0002ffff"
_WORD = "[a-z0-9@$€£]+(?:[!*|+#'’]+[a-z0-9@$€£]+)*"
PIECE = re.compile(rf"(?P<emoji>\x00[^\x00]*\x00)|(?P<han>[{_HAN}])|(?P<word>{_WORD})")
_SENTENCE = re.compile(r"[.!?;]\s|[。！？；\n]")
_PAUSE = re.compile(r"[,:、…—()\[\]{}<>《》「」\"“”]")
TURN = "\u202e"  # turns what follows around, until the line or U+202C ends it
_TURNED = re.compile("([^\u202e]+)|\u202e([^\u202c\n]*)\u202c?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Token:
    """A word of a text."""

    text: str  # as it is meant
    start: int  # its place in the original text
    end: int
    gap: int = 0  # what stands before it: 0 nothing or a space, 1 a comma or its like, 2 the end of a sentence


@lru_cache(maxsize=1)
def _characters() -> tuple[dict[str, str], dict[str, str]]:
    """Load what characters are read as.

    Returns single characters and their letters, and emoji and their words, in NULs so that nothing joins them.
    """
    simple: dict[str, str] = {}
    for line in read_lines("confusables.txt"):
        latin, others = line.split(maxsplit=1)
        simple |= dict.fromkeys(others, latin)
    for pair in " ".join(read_lines("traditional.txt")).split():
        simple[pair[0]] = pair[1]
    # Enclosed letters that NFKD leaves alone: negative circled and squared ones, regional indicators.
    for first in (0x1F150, 0x1F170, 0x1F1E6):
        simple |= {chr(first + i): chr(ord("a") + i) for i in range(26)}
    emoji = {}
    for line in read_lines("emoji.txt"):
        picture, words = line.split(maxsplit=1)
        emoji[picture[0]] = f"\0{words}\0"
    return simple, emoji


@lru_cache(maxsize=1)
def _capitals() -> dict[str, str]:
    """Load capitals of other scripts that look like a Latin one whose small letter they do not look like."""
    lines = (line.split(maxsplit=1) for line in read_lines("capitals.txt"))
    return {other: latin for latin, others in lines for other in others}


def read_lines(name: str) -> list[str]:
    """Read the lines of a data file, without comments and blank ones."""
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


@lru_cache(maxsize=8192)
def _fold_character(char: str) -> str:
    """Fold one character; "" for one that is not seen."""
    simple, emoji = _characters()
    if char in emoji:
        return emoji[char]
    folded = ""
    # Capitals first: the small letter of Ν or Η looks like another.
    for part in unicodedata.normalize("NFKD", _capitals().get(char, char)):
        if unicodedata.combining(part) or unicodedata.category(part) in ("Cf", "Cc", "Mn", "Me") and part != "\n":
            folded += " " if part == "\t" else ""
            continue
        for low in part.casefold():
            folded += simple.get(low, low)
    if len(folded) == 1 and unicodedata.category(folded) == "So":
        return f"\0{unicodedata.name(folded, '').lower()}\0"
    return folded


def _in_order(text: str) -> Iterable[tuple[int, str]]:
    """Yield places and characters in the order in which they are seen: U+202E turns what follows around."""
    if TURN not in text:
        return enumerate(text)
    order: list[int] = []
    for match in _TURNED.finditer(text):
        order += range(match.start(1), match.end(1)) if match[1] else reversed(range(match.start(2), match.end(2)))
    return ((place, text[place]) for place in order)


def fold(text: str) -> tuple[str, list[int]]:
    """Fold a text. Returns it, and for each of its characters the place in `text` that it comes from."""
    folded: list[str] = []
    places: list[int] = []
    for place, char in _in_order(text):
        read = char.lower() if char.isascii() and char.isprintable() else _fold_character(char)
        folded.append(read)
        places += [place] * len(read)
    return "".join(folded), places


def gap_of(between: str) -> int:
    """Return what stands between two words, as in `Token.gap`."""
    return 2 if _SENTENCE.search(between) else 1 if _PAUSE.search(between) else 0


def plain_tokens(text: str) -> tuple[str, ...]:
    """Split an undisguised text, such as an entry of a list, into words and Han characters."""
    pieces = PIECE.finditer(fold(text)[0])
    return tuple(bare_word(p[0]) if p["word"] else p[0] for p in pieces if not p["emoji"])


def bare_word(word: str) -> str:
    """Return a word without the genitive's ending and apostrophes."""
    return re.sub(r"['’]", "", re.sub(r"['’]s$", "", word))
