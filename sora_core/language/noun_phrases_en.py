"""Where the noun phrases of an English prompt begin and end, for the grammar that decides what words mean."""

from __future__ import annotations

from .pieces import Piece

ARTICLES = frozenset({"a", "an", "the", "one", "this", "that", "its", "his", "her", "their", "some", "my", "your"})
NAMES = frozenset({"subject", "unknown", "beyond", "other", "own"})
ENDS_IN_S = frozenset({"bus", "octopus", "walrus", "pegasus", "platypus", "cactus", "hippopotamus", "minibus"})
DESCRIBING = frozenset({"colour", "size", "mood"})


def piece_after(pieces: list[Piece], i: int) -> Piece | None:
    """Return the piece after `i`, if no mark stands between."""
    return pieces[i + 1] if i + 1 < len(pieces) and not pieces[i + 1].loose else None


def piece_before(pieces: list[Piece], i: int) -> Piece | None:
    """Return the piece before `i`, if no mark stands between."""
    return pieces[i - 1] if i and not pieces[i].loose else None


def phrase_end(pieces: list[Piece], i: int) -> int:
    """Return the place after the noun phrase that begins at `i`: articles, adjectives, and a name."""
    while i < len(pieces) and (pieces[i].text in ARTICLES or pieces[i].kind in ("empty", *DESCRIBING)):
        i += 1
        if i < len(pieces) and pieces[i].loose:
            return i
    while i < len(pieces) and pieces[i].kind == "unknown" and names_follow(pieces, i):
        i += 1
    return min(i + 1, len(pieces))


def names_follow(pieces: list[Piece], i: int) -> bool:
    """Tell whether a name, or what describes one, comes right after `i`."""
    after = piece_after(pieces, i)
    return after is not None and after.kind in ("subject", "unknown", "prop", "scene", "beyond", *DESCRIBING)


def is_single(piece: Piece) -> bool:
    """Tell whether an English noun is in the singular."""
    last = piece.text.split()[-1]
    return not last.endswith("s") or last in ENDS_IN_S
