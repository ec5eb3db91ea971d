"""Names of what cannot be drawn, and who stands in: a wolf is drawn as a dog, and the prompt's author is told.

Where nothing stood there, the model would draw anybody.
"""

from __future__ import annotations

import re

from .lexicon import load_lexicon
from .noun_phrases_en import is_single
from .pieces import Piece
from .synonyms import plural

MANY = frozenset({"people", "children", "men", "women", "geese", "oxen", "folk"})  # plurals without an s
# What is too far from those that it is nearest to: a guitar is no star.
_FAR = frozenset({"star", "candle", "balloon", "pumpkin", "星星", "蜡烛", "气球", "南瓜"})


def stand_in(pieces: list[Piece]) -> list[tuple[Piece, str]]:
    """Tell pieces that cannot be drawn as the nearest that can; returns those, each with that name."""
    found: list[tuple[Piece, str]] = []
    for piece in pieces:
        name = re.split(" or a | or |或", piece.why)[0]
        concept = load_lexicon().surface("zh" if piece.chinese else "en").get(name)
        if piece.kind != "beyond" or name in _FAR or concept is None:
            continue
        piece.kind, piece.concept = "subject", concept
        one = piece.chinese or (is_single(piece) and piece.text.split()[-1] not in MANY)
        piece.new = name if one else plural(name)
        found.append((piece, piece.new))
    return found
