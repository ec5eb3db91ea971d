"""A prompt cut into pieces: words and phrases of the lexicon's, others that mean the same, and those that nobody knows.

A piece is read in its place, and may be given other words; the prompt is then put together again with its marks.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from .grammar import NEGATIONS
from .lexicon import MAX_WORDS, load_lexicon
from .synonyms import SKIPPED, Entry, load_table

_WORDS = re.compile(r"[a-z0-9]+|[\u3400-\u9fff]+")
_MARKS = re.compile(r"[,.;:!?…—–，。；：！？、-]+")
_WEIGHT = re.compile(r":\s*[+-]?(?:\d+(?:\.\d+)?|\.\d+)\s*(?=\))")  # of "(word:1.3)": a number, and no word


@dataclass
class Piece:
    """One word or phrase of a prompt."""

    text: str  # lower case, single spaces
    start: int  # in the prompt
    end: int
    kind: str  # of its concept in the lexicon; "unknown", "empty", "cannot", "beyond", "other" or "own"
    concept: str = ""
    loose: bool = False  # a comma or another mark stands before it
    hyphen: bool = False  # a hyphen stands before it
    new: str | None = None  # what to write in its place, "" for nothing; None leaves it as it is
    why: str = ""  # of "cannot": what there is not; of "beyond": the nearest that there is
    familiar: bool = False  # a phrase whose words the lexicon has one by one
    capital: bool = False  # it is written with a capital letter
    glued: bool = False  # the marks before it are left out

    @property
    def chinese(self) -> bool:
        """Whether it is Chinese."""
        return not self.text.isascii()

    def drop(self) -> None:
        """Take it out of the prompt."""
        self.new = ""


@dataclass(frozen=True)
class _Unit:
    """An English word or a Chinese character."""

    text: str
    start: int
    end: int
    loose: bool
    hyphen: bool


def _units(text: str) -> list[_Unit]:
    low, last = text.lower(), 0
    found: list[_Unit] = []
    weights = {i for match in _WEIGHT.finditer(low) for i in range(*match.span())}
    for match in _WORDS.finditer(low):
        if match.start() in weights:
            continue
        between = low[last : match.start()]
        loose = bool(found) and (bool(between.strip(" \t-'’")) or " - " in between or "--" in between)
        hyphen = between in ("-", "‐")
        if match[0].isascii():
            # A possessive is its noun, as the text encoder has it.
            if match[0] == "s" and between in ("'", "’") and found:
                was = found[-1]
                found[-1] = _Unit(was.text, was.start, match.end(), was.loose, was.hyphen)
            else:
                found.append(_Unit(match[0], *match.span(), loose, hyphen))
        else:
            for n, character in enumerate(match[0]):
                at = match.start() + n
                found.append(_Unit(character, at, at + 1, loose and not n, False))
        last = match.end()
    return found


@lru_cache(maxsize=1)
def _forms() -> tuple[dict[str, str], dict[str, str], int]:
    """Hold the lexicon's English forms, its Chinese ones, and the number of characters of the longest of these."""
    en, zh = (load_lexicon().surface(language) for language in ("en", "zh"))
    return en, zh, max(map(len, zh))


def cut(text: str, own: Iterable[str] = ()) -> list[Piece]:
    """Cut `text` into pieces. own: words that a model has learned besides those of the lexicon.

    Where several phrases begin with a word, the longest is meant; of two that are equally long, the lexicon's.
    """
    units, lexicon = _units(text), load_lexicon()
    en, chinese, longest_zh = _forms()
    forms: dict[bool, Mapping[str, str]] = {False: en, True: chinese}
    tables = {False: load_table("en"), True: load_table("zh")}
    own = frozenset(own)
    pieces: list[Piece] = []
    i = 0
    while i < len(units):
        zh = not units[i].text.isascii()
        glue, most = ("", longest_zh) if zh else (" ", MAX_WORDS)
        run = 1  # units that a phrase may reach to
        while (
            i + run < len(units) and not units[i + run].loose and (not units[i + run].text.isascii()) == zh and run < 16
        ):
            run += 1
        words = [unit.text for unit in units[i : i + run]]
        known = _known(words, forms[zh], glue, most)
        extra = _known(words, own, glue, 8) if own else 0
        count, entry = tables[zh].longest(words, SKIPPED if not zh else frozenset())
        # "in deep space": a phrase of the lexicon's goes on where this one would end
        while count > known:
            cut_at = next((k for k in range(1, count) if k + _known(words[k:], forms[zh], glue, most) > count), 0)
            if not cut_at:
                break
            count, entry = tables[zh].longest(words[:cut_at], SKIPPED if not zh else frozenset())
        if extra and extra >= max(known, count):
            count, piece = extra, Piece("", 0, 0, "own")
        elif entry is not None and count > known:
            piece = _of(entry)
        elif known:
            name = forms[zh][glue.join(words[:known])]
            count, piece = known, Piece("", 0, 0, lexicon[name].kind, name)
        else:
            count, piece = 1, Piece("", 0, 0, "unknown")
        piece.text = glue.join(words[:count])
        piece.start, piece.end = units[i].start, units[i + count - 1].end
        piece.loose, piece.hyphen = units[i].loose, units[i].hyphen
        piece.capital = text[piece.start].isupper()
        pieces.append(piece)
        i += count
    return pieces


def _known(words: list[str], forms: Container[str], glue: str, most: int) -> int:
    """Count the words of the longest form that `words` begin with."""
    return next((n for n in range(min(len(words), most), 0, -1) if glue.join(words[:n]) in forms), 0)


def _of(entry: Entry) -> Piece:
    """Make a piece of what the table has; its kind is that of the first of our words that tells something."""
    if entry.kind != "ours":
        say = entry.say if entry.kind in ("cannot", "beyond") else ""
        return Piece("", 0, 0, entry.kind, new="", why=say, familiar=entry.familiar)
    lexicon = load_lexicon()
    names = lexicon.scan(entry.say)[0]
    name = next((n for n in names if lexicon[n].kind != "function"), names[0])
    return Piece("", 0, 0, lexicon[name].kind, name, new=entry.say, familiar=entry.familiar)


def joined(text: str, pieces: list[Piece]) -> str:
    """Put a prompt together again: with the new words of its pieces, and no marks around what was taken out."""
    out, last, before = [], 0, 0
    for piece in pieces:
        if piece.new is not None or piece.glued:
            gap = text[before : piece.start]
            said = text[piece.start : piece.end] if piece.new is None else piece.new
            out += [text[last:before], _MARKS.sub("" if piece.chinese else " ", gap) if piece.glued else gap, said]
            last = piece.end
        before = piece.end
    whole = "".join([*out, text[last:]])
    if not out:
        return text
    whole = re.sub(r"\(\s*(?::\s*[+-]?[\d.]+\s*)?\)", " ", whole)  # brackets around nothing
    whole = re.sub(r"[ \t]+", " ", re.sub(r"\( +", "(", whole))
    whole = re.sub(r"\s*[-'’]+(?=\s|$|[,.;!?])|(?:^|(?<=[\s,.;]))[-'’]+\s*", " ", whole)
    whole = re.sub(r" +(?=[,.;!?:，。；！？、：)])", "", whole)
    whole = re.sub(r"(?:[,;，；、]\s*)+(?=[.!?。！？])", "", whole)
    whole = re.sub(r"([,;，；、])(?:\s*[,;，；、])+", r"\1", whole)
    whole = re.sub(r"([.。])(?:\s*[,.;，。；、])+", r"\1", whole)
    whole = re.sub(r"^[\s,.;!?:，。；！？、：]+|[\s,;:，；、：]+$", "", whole)
    return re.sub(r" {2,}", " ", whole).strip()


__all__ = ["NEGATIONS", "Piece", "cut", "joined"]
