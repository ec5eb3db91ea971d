"""Chinese grammar that decides what a character means: negations, measure words, and characters of longer words."""

from __future__ import annotations

from .pieces import Piece

_NOT = frozenset({"没", "没有", "不", "无", "别", "毫无", "不要", "并不", "未"})
# Measure words of what moves: after one, a single character is a name and no part of a longer word.
_COUNTED = ("只", "头", "匹", "辆", "条", "艘", "架", "朵", "颗", "个", "位", "群", "些")
_DESCRIBING = frozenset({"colour", "size", "mood"})
_NAMED = frozenset({"subject", "prop", "scene", "unknown", "beyond", "own", "other", "weather"})


def read_negations(pieces: list[Piece]) -> list[str]:
    """Take out what the prompt says is not there; returns it in the prompt's words."""
    said = []
    for i, piece in enumerate(pieces):
        if piece.text not in _NOT or piece.new:
            continue
        end = i + 1
        while (
            end < len(pieces)
            and not pieces[end].loose
            and (
                pieces[end].text in ("有", "的", "任何", "一", "是", "会", "能")
                or pieces[end].kind in ("empty", *_DESCRIBING)
            )
        ):
            end += 1
        # "不飞": the one word that is denied; "没有树": what there is not, all characters of it
        one = pieces[end].kind if end < len(pieces) and not pieces[end].loose else ""
        end += bool(one)
        while one == "unknown" and end < len(pieces) and pieces[end].kind == "unknown" and not pieces[end].loose:
            end += 1
        for each in pieces[i:end]:
            each.drop()
            each.kind = "not"
        said.append("".join(each.text for each in pieces[i:end]))
    return said


def read_parts(pieces: list[Piece]) -> None:
    """Leave single characters unread that are part of a longer word which nobody knows: "马鞍" is no horse."""
    for i, piece in enumerate(pieces):
        after = pieces[i + 1] if i + 1 < len(pieces) and not pieces[i + 1].loose else None
        if piece.kind != "subject" or len(piece.text) > 1 or piece.new is not None or not piece.chinese:
            continue
        before = pieces[i - 1] if i and not piece.loose else None
        counted = before is not None and before.text.endswith(_COUNTED)
        if after is not None and after.kind == "unknown" and after.chinese and not counted:
            piece.drop()
            after.text = piece.text + after.text
            piece.kind, after.kind = "empty", "other"


def read_adjectives(pieces: list[Piece]) -> None:
    """Take out the colours and sizes of what is not known: they would be somebody else's."""
    for i, piece in enumerate(pieces):
        if piece.kind not in ("beyond", "other"):
            continue
        j = i
        while j and not pieces[j].loose and (pieces[j - 1].kind in _DESCRIBING or pieces[j - 1].text == "的"):
            j -= 1
            if pieces[j].kind in _DESCRIBING:
                pieces[j].drop()
                pieces[j].kind = "lost"


def read_chinese(pieces: list[Piece]) -> list[str]:
    """Settle what the pieces of a Chinese prompt mean; returns what it says is not there."""
    absent = read_negations(pieces)
    read_parts(pieces)
    read_adjectives(pieces)
    return absent
