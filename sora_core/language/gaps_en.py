"""English phrases of which the noun was taken out: "in a dark room" without its room is dark, and is in nothing."""

from __future__ import annotations

from .noun_phrases_en import ARTICLES, DESCRIBING
from .pieces import Piece

_NAMED = frozenset({"subject", "scene", "own", "prop", "time", "unknown", "style", "event"})
_GONE = frozenset({"unknown", "other", "beyond", "cannot", "lost", "empty"})  # kinds of what leaves a gap
_STAYS = frozenset({"mood", "weather", "event"})  # of what stood before the noun: these are true of all that is seen
_JOINTS = frozenset({"in", "on", "at", "to", "of", "with", "and", "near", "against", "by", "onto", "into", "from"})
_BESIDE = frozenset({"above", "below", "behind", "in front", "beside"})


def close_gaps(pieces: list[Piece]) -> None:
    """Take out articles, numbers and joints that lead to a noun which is no longer there."""
    for i, piece in enumerate(pieces):
        if piece.text in ARTICLES and piece.kind == "function" and piece.new is None:
            _close(pieces, i)
    for i in range(len(pieces) - 1, -1, -1):
        after = pieces[i + 1] if i + 1 < len(pieces) else None
        counted = after is not None and after.kind == "beyond" and after.new == "" and not after.loose
        if pieces[i].kind == "number" and pieces[i].new is None and (counted or _leads_nowhere(pieces, i)):
            pieces[i].drop()
    for i in range(len(pieces) - 1, -1, -1):
        joint = (pieces[i].text in _JOINTS or pieces[i].new == "along") and pieces[i].kind == "function"
        beside = pieces[i].kind == "relation" and pieces[i].concept in _BESIDE
        nothing = ((joint or beside) and _leads_nowhere(pieces, i)) or (beside and _comes_from_nothing(pieces, i))
        if nothing and pieces[i].new in (None, "along"):
            pieces[i].drop()


def _describes(piece: Piece) -> bool:
    """Tell whether a piece stands between an article and its noun."""
    return piece.kind in (*DESCRIBING, "number", "weather") or piece.text == "dark"


def _brings(piece: Piece) -> bool:
    """Tell whether a piece has a joint of its own: "at night", "in the snow"."""
    return (piece.new or piece.text).startswith(("in ", "at ", "on ", "under", "while "))


def _phrase(pieces: list[Piece], i: int) -> list[Piece]:
    """List the pieces after `i` up to the noun of their phrase, or to where it would be; what is gone is among them."""
    found = []
    for piece in pieces[i + 1 :]:
        if piece.loose:
            break
        found.append(piece)
        describes = _describes(piece) and not _brings(piece)
        if piece.new != "" and not describes and not (piece.kind == "motion" and piece.text.endswith("ing")):
            break
    return found


def _leads_nowhere(pieces: list[Piece], i: int) -> bool:
    """Tell whether what `i` leads to was taken out, and nothing else stands in its place."""
    found = _phrase(pieces, i)
    gap = any(p.new == "" and p.kind in _GONE for p in found)
    last = next((p for p in found if p.new != "" and not _describes(p) and p.kind != "motion"), None)
    named = last is not None and (last.kind in _NAMED or last.text in ARTICLES) and not _brings(last)
    return gap and not named


def _close(pieces: list[Piece], i: int) -> None:
    """Take out the article at `i` where its noun is gone; what describes all that is seen stays by itself."""
    if not _leads_nowhere(pieces, i):
        return
    pieces[i].drop()
    for each in _phrase(pieces, i):
        if each.new == "" or not _describes(each):
            continue
        if each.kind in _STAYS:
            before = any(p.new != "" for p in pieces[:i])
            each.new = f", {each.new or each.text}" if before else each.new
            break
        each.drop()


def _comes_from_nothing(pieces: list[Piece], i: int) -> bool:
    """Tell whether what is behind, above or below something was taken out: "a curtain behind a cat" without it."""
    for piece in reversed(pieces[:i]):
        if piece.new != "":
            return False
        if piece.kind in ("unknown", "other", "beyond"):
            after = next((p for p in pieces[i + 1 : i + 6] if p.kind in ("subject", "own", "scene")), None)
            return after is not None and after.kind != "scene"
        if piece.loose:
            return False
    return False
