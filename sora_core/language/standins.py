"""Names of what cannot be drawn, and who stands in: a wolf is drawn as a dog, and the prompt's author is told.

Where nothing stood there, the model would draw anybody.
"""

from __future__ import annotations

import re

from .lexicon import load_lexicon
from .noun_phrases_en import ARTICLES, DESCRIBING, is_single
from .pieces import Piece
from .synonyms import plural

MANY = frozenset({"people", "children", "men", "women", "geese", "oxen", "folk"})  # plurals without an s
_GROUPS = frozenset({"couple", "crowd", "family"})  # of more than one
# Whose plural is as the singular.
_ALIKE = frozenset({"deer", "reindeer", "moose", "elk", "bison", "buffalo", "jellyfish", "starfish", "shrimp"})
# What is too far from those that it is nearest to: a guitar is no star.
_FAR = frozenset({"star", "candle", "balloon", "pumpkin", "星星", "蜡烛", "气球", "南瓜"})


def stand_in(pieces: list[Piece]) -> list[tuple[Piece, str]]:
    """Tell pieces that cannot be drawn as the nearest that can; returns those, each with that name."""
    found: list[tuple[Piece, str]] = []
    for i, piece in enumerate(pieces):
        name = re.split(" or a | or |或", piece.why)[0]
        concept = load_lexicon().surface("zh" if piece.chinese else "en").get(name)
        if piece.kind != "beyond" or name in _FAR or concept is None:
            continue
        piece.kind, piece.concept = "subject", concept
        piece.new = name if piece.chinese or _is_one(pieces, i) else plural(name)
        if piece.text in _GROUPS and piece.end - piece.start == len(piece.text):  # no "family's"
            begin = _begin(pieces, i)
            if begin and not pieces[begin].loose and pieces[begin - 1].text in ("a", "an"):
                pieces[begin - 1].drop()
            piece.new = f"two {piece.new}" if piece.text == "couple" and begin == i else piece.new
        found.append((piece, piece.new))
    return found


def _is_one(pieces: list[Piece], i: int) -> bool:
    """Tell whether an English name is of one: "a deer", and not "three deer", "deer graze" or "a crowd"."""
    last = pieces[i].text.split()[-1]
    if last not in _ALIKE:
        return is_single(pieces[i]) and last not in MANY and pieces[i].text not in _GROUPS
    i = _begin(pieces, i)
    return i > 0 and not pieces[i].loose and pieces[i - 1].text in ARTICLES


def _begin(pieces: list[Piece], i: int) -> int:
    """Find where what describes the name at `i` begins."""
    while i and not pieces[i].loose and pieces[i - 1].kind in (*DESCRIBING, "unknown", "empty"):
        i -= 1
    return i
