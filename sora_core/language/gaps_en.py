"""English phrases of which the noun was taken out: "in a dark room" without its room is dark, and is in nothing."""

from __future__ import annotations

from .noun_phrases_en import ARTICLES, DESCRIBING
from .phrases_en import article
from .pieces import Piece

_NAMED = frozenset({"subject", "scene", "own", "prop", "time", "unknown", "style", "event"})
_GONE = frozenset({"unknown", "other", "beyond", "cannot", "lost", "empty"})  # kinds of what leaves a gap
_STAYS = frozenset({"mood", "weather", "event"})  # of what stood before the noun: these are true of all that is seen
# fmt: off
_JOINTS = frozenset({
    "in", "on", "at", "to", "of", "with", "and", "near", "against", "by", "onto", "into", "from", "through", "across",
    "inside", "within", "among", "along", "under", "under a", "under the", "for",
})
# fmt: on
_ONTO = frozenset({"on", "of", "with", "and", "for"})
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
        joint = (pieces[i].text in _JOINTS or pieces[i].new == "along") and pieces[i].kind in ("function", "motion")
        beside = pieces[i].kind == "relation" and pieces[i].concept in _BESIDE
        # "a tank top on a dog", at the beginning
        starts = joint and pieces[i].text in _ONTO and all(p.new == "" for p in pieces[:i])
        nothing = ((joint or beside) and _leads_nowhere(pieces, i)) or (
            (beside or starts) and _comes_from_nothing(pieces, i)
        )
        if nothing and pieces[i].new in (None, "along"):
            pieces[i].drop()


def agree(text: str, pieces: list[Piece]) -> None:
    """Let "a" and "an" agree with what comes after them now: "an old man" without its "old" is a man.

    text: the prompt, which says whether an article begins with a capital letter.
    """
    for i, piece in enumerate(pieces):
        said = piece.text if piece.new is None else piece.new
        if said.split()[-1:] not in (["a"], ["an"]) or piece.kind not in ("function", "cannot"):
            continue
        n = next((n for n in range(i + 1, len(pieces)) if pieces[n].new != ""), 0)
        # What the prompt itself has beside its article stays as it is written.
        if not n or pieces[n].loose or (n == i + 1 and pieces[n].new is None and piece.new is None):
            continue
        if pieces[n].text in ARTICLES and pieces[n].kind == "function" and said == piece.text:
            piece.drop()  # "a shadow of a cat"
            continue
        if (pieces[n].new or "").endswith("mountains") and said == piece.text:
            piece.new = "the"  # "an icy slope"
            continue
        right = article((pieces[n].new or pieces[n].text).strip(", ")).split()[0]
        if right != said.split()[-1]:
            said = " ".join([*said.split()[:-1], right])
            piece.new = said.capitalize() if text[piece.start : piece.start + 1].isupper() else said


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
    for at in range(i - 1, -1, -1):
        if pieces[at].new != "":
            return False
        if pieces[at].kind in ("unknown", "other", "beyond"):
            after = next((p for p in pieces[i + 1 : i + 6] if p.kind in ("subject", "own", "scene")), None)
            return after is not None and after.kind != "scene" and not _is_said_of_another(pieces, at)
        if pieces[at].loose:
            return False
    return False


def _is_said_of_another(pieces: list[Piece], i: int) -> bool:
    """Tell whether the gap at `i` is no noun that starts a phrase: "a whale sings beside a ship", "in a box behind"."""
    while i and not pieces[i].loose and pieces[i].text not in ARTICLES and pieces[i].text not in _JOINTS:
        i -= 1
        if pieces[i].kind in ("subject", "own") and pieces[i].new != "":
            return True
    before = pieces[i - 1] if i and not pieces[i].loose and pieces[i].text in ARTICLES else pieces[i]
    return before.text in _JOINTS and before.text not in ("and", "of")
