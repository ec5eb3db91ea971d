"""Chinese grammar that decides what a character means: negations, measure words, and characters of longer words."""

from __future__ import annotations

from .corrections_zh import read_corrections
from .pieces import Piece

_NOT = frozenset({"没", "没有", "不", "无", "别", "毫无", "不要", "并不", "未"})
# Measure words of what moves: after one, a single character is a name and no part of a longer word.
_COUNTED = ("只", "头", "匹", "辆", "条", "艘", "架", "朵", "颗", "个", "位", "群", "些")
# fmt: off
# What may stand between a negation and what it denies.
_BETWEEN = frozenset({
    "有", "的", "任何", "一", "是", "会", "能", "再", "要", "用", "太", "见", "在", "准", "许", "带", "让", "到",
})
_JOINED = frozenset({"和", "与", "或", "及", "以及", "或者", "也", "还有", "跟"})
_SHAPES = frozenset({
    "形", "状", "型", "形状", "造型", "图案", "花纹", "样式", "眼", "眼睛", "耳", "耳朵", "尾", "尾巴", "头", "脸",
    "皮", "毛",
    "叫声", "叫", "爪", "爪子", "翅膀", "牌", "主题", "味", "口味", "味道", "服", "服装", "面具", "玩偶服", "声", "语",
})
# fmt: on
_DESCRIBING = frozenset({"colour", "size", "mood"})
_NAMED = frozenset({"subject", "prop", "scene", "unknown", "beyond", "own", "other", "weather"})


def read_negations(pieces: list[Piece]) -> list[str]:
    """Take out what the prompt says is not there; returns it in the prompt's words."""
    said = []
    for i, piece in enumerate(pieces):
        if piece.text not in _NOT or piece.new or piece.kind == "taken back":
            continue
        end = i + 1
        while (
            end < len(pieces)
            and not pieces[end].loose
            and (pieces[end].text in _BETWEEN or pieces[end].kind in ("empty", *_DESCRIBING))
        ):
            end += 1
        # "不飞": the one word that is denied; "没有树": what there is not, all characters of it
        one = pieces[end].kind if end < len(pieces) and not pieces[end].loose else ""
        end += bool(one)
        while one == "unknown" and end < len(pieces) and pieces[end].kind == "unknown" and not pieces[end].loose:
            end += 1
        while end + 1 < len(pieces) and not pieces[end].loose and pieces[end].text in _JOINED:
            named = pieces[end + 1]
            if named.loose or named.kind not in _NAMED or named.text in _NOT:
                break
            end += 2  # "没有树和花"
            while end < len(pieces) and pieces[end].kind == "unknown" and not pieces[end].loose:
                end += 1
        if end < len(pieces) and pieces[end].text in ("的", "地") and not pieces[end].loose:
            pieces[end].drop()  # "没有下雨的森林"
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


def read_described(pieces: list[Piece]) -> None:
    """Read names that only describe: "苹果绿的汽车", "心形气球", "星星形状的饼干"."""
    for i, piece in enumerate(pieces):
        after = pieces[i + 1] if i + 1 < len(pieces) and not pieces[i + 1].loose else None
        if piece.kind not in ("subject", "beyond", "prop") or after is None:
            continue
        then = next((p for p in pieces[i + 2 : i + 4] if p.text not in ("的", "色")), None)
        named = then is not None and not then.loose and then.kind in ("subject", "own", "beyond")
        if after.kind == "colour" and named and piece.kind != "beyond":
            piece.drop()
            piece.kind = "empty"
        elif after.text in _SHAPES and after.kind != "subject":
            piece.drop()
            after.drop()
            after.text, piece.kind, after.kind = piece.text + after.text, "empty", "unknown"
            after.start = piece.start


def read_loose_colours(pieces: list[Piece]) -> None:
    """Take out colours of what is not known: "冒着黑烟" is no black one."""
    for i, piece in enumerate(pieces):
        after = pieces[i + 1] if i + 1 < len(pieces) and not pieces[i + 1].loose else None
        small = piece.text in ("小", "大", "老") and piece.kind == "size"
        if not (piece.kind == "colour" or small) or piece.new == "" or after is None or after.kind != "unknown":
            continue
        end = i + 1
        while end < len(pieces) and pieces[end].kind == "unknown" and not pieces[end].loose:
            end += 1
        then = pieces[end] if end < len(pieces) and not pieces[end].loose else None
        if then is None or (then.kind not in ("subject", "own", "colour", "size", "mood") and then.text != "的"):
            piece.drop()
            if small:  # "小明": a name
                after.text, after.start = piece.text + after.text, piece.start
            piece.kind = "lost"


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
    read_corrections(pieces)
    absent = read_negations(pieces)
    read_described(pieces)
    read_parts(pieces)
    read_adjectives(pieces)
    read_loose_colours(pieces)
    return absent
