"""Chinese prompts that take back a word: "红色的汽车，不对，是蓝色的" is blue, "一只猫，我是说狗" is a dog."""

from __future__ import annotations

from .pieces import Piece

# fmt: off
# What takes back the words before it, where a mark stands before it. Longer ones first.
_MARKERS = tuple(sorted((
    "不", "不不", "不不不", "不对", "不对不对", "不对啊", "哦不", "噢不", "啊不", "喔不", "呃不", "哦不对",
    "啊不对", "不是", "不是不是", "哦不是", "错了", "说错了", "我说错了", "写错了", "打错了", "搞错了", "弄错了",
    "口误", "更正", "更正一下", "纠正一下", "等等", "等一下", "等下", "慢着", "抱歉", "对不起", "不好意思",
    "我是说", "我的意思是", "我意思是", "应该是", "应该说", "应该", "其实是", "准确地说", "确切地说", "或者说",
    "改成", "改为", "换成", "换为", "还是", "算了", "要不", "要不还是", "还是换成", "还是改成", "不如",
    "那就", "哦", "呃", "额", "嗯", "啊", "哎呀", "我想要的是", "我要的是", "我说的是", "变成了才对", "重来",
), key=len, reverse=True))
# Those that are fillers, and take nothing back by themselves.
_WEAK = frozenset({
    "等等", "等一下", "等下", "慢着", "应该", "哦", "呃", "额", "嗯", "啊", "哎呀", "那就", "还是", "不如",
})
# What may stand between the marker and the right word.
_LEADS = frozenset({
    "是", "要", "就", "应该", "还是", "就是", "让它", "它", "想", "想要", "而", "一只", "一个", "一辆", "一艘",
    "一架", "一条", "一朵", "一头", "一匹", "一颗", "一位", "一名", "一座", "一", "只", "个", "辆", "在", "的",
    "成", "把", "用", "有", "来", "画", "那", "那只", "一片", "一幅",
})
_CHANGES = ("改成", "改为", "换成", "换为", "变为")
# fmt: on
_NAMES = frozenset({"subject", "own", "beyond", "prop"})
_DESCRIBING = frozenset({"colour", "size", "mood"})
_ALONE = ("colour", "size", "number", "scene", "time", "weather", "direction", "motion", "style", "camera")
_REACH = 14  # pieces between what is taken back and what takes it back
_PLACE = frozenset({"里", "上", "中", "下", "内", "里面", "边", "之中"})
_LONGEST = 8  # characters of a marker


def read_corrections(pieces: list[Piece]) -> None:
    """Take out what a Chinese prompt takes back, with the words that do so."""
    for i in range(1, len(pieces)):
        starts = pieces[i].loose and pieces[i].kind != "taken back"
        if starts and (_deny(pieces, i) or _change(pieces, i) or _correct(pieces, i)):
            _glue(pieces, i)


def _glue(pieces: list[Piece], i: int) -> None:
    """Leave out the marks between what stood before `i` and what goes on in the sentence after what was taken back."""
    kept = next((n for n in range(i, len(pieces)) if pieces[n].new != ""), len(pieces))
    if kept < len(pieces) and not pieces[kept].loose:
        for each in pieces[i : kept + 1]:
            each.glued = True


def _marker(pieces: list[Piece], i: int) -> tuple[int, bool]:
    """Return the place after the markers from `i` on, in a row, and whether they take back without doubt."""
    end, strong = i, False
    while end < len(pieces) and (end == i or pieces[end].loose or strong):
        found = 0
        for n in range(1, _LONGEST + 1):
            some = pieces[end : end + n]
            said = "".join(p.text for p in some)
            if len(some) < n or len(said) > _LONGEST or any(p.loose for p in some[1:]):
                break
            if said in _MARKERS:
                found, sure = n, said not in _WEAK
                # "不" alone is one where a mark comes after it: "不飞" is a negation, and "不是猫" one of a cat.
                after = pieces[end + n] if end + n < len(pieces) else None
                if said in ("不", "不不", "不是", "哦不是") and (after is None or not after.loose):
                    found = 0
        if not found:
            break
        end, strong = end + found, strong or sure
    return end, strong


def _correct(pieces: list[Piece], i: int) -> bool:
    """Take back what the markers at `i` take back; tells whether there is something."""
    start, strong = _marker(pieces, i)
    if start == i:
        return False
    first = _after_leads(pieces, start)
    if first >= len(pieces) or not (strong or _is_sure(pieces, i, start, first)):
        return False
    if not _replace(pieces, i, first, strong):
        return False
    _out(pieces[i:first])
    return True


def _after_leads(pieces: list[Piece], i: int) -> int:
    """Return the place after the words from `i` on that only lead to the right one."""
    while i < len(pieces) and (pieces[i].text in _LEADS or pieces[i].kind == "empty"):
        i += 1
    return i


def _is_sure(pieces: list[Piece], i: int, start: int, first: int) -> bool:
    """Tell whether a mere filler takes back: "等等，两头大象" after an elephant, "还是狗吧", "应该是狗"."""
    name = _name_after(pieces, first + (pieces[first].kind == "number"))
    again = name is not None and any(
        p.concept == pieces[name].concept and p.new != "" for p in pieces[max(0, i - 2) : i]
    )
    end = next((n for n in range(first + 1, len(pieces)) if pieces[n].loose), len(pieces))
    return again or pieces[end - 1].text == "吧" or any(p.text in ("是", "应该") for p in pieces[start:first])


def _deny(pieces: list[Piece], i: int) -> bool:
    """Read "一只猫，不是猫，是狗": the cat that is denied is the one that was asked."""
    if not "".join(p.text for p in pieces[i : i + 2]).startswith(("不是", "不要", "别")):
        return False
    end = next((n for n in range(i + 1, len(pieces)) if pieces[n].loose), len(pieces))
    told = [p for p in pieces[i + 1 : end] if p.kind in (*_NAMES, *_ALONE)]
    first = _after_leads(pieces, end)
    if not told or first == end or first >= len(pieces):
        return False
    asked = [p for p in pieces[:i] if p.concept == told[-1].concept and p.new != ""]
    if not asked or not _replace(pieces, i, first, True):
        return False
    _out(pieces[i:first])
    return True


def _change(pieces: list[Piece], i: int) -> bool:
    """Read "把猫换成狗" and "把颜色改成蓝色" in a clause that begins at `i`."""
    end = next((n for n in range(i + 1, len(pieces)) if pieces[n].loose), len(pieces))
    if pieces[i].text not in ("把", "将"):
        return False
    for n in range(i + 1, end - 1):
        said = "".join(p.text for p in pieces[n : n + 2])
        if said not in _CHANGES and pieces[n].text not in _CHANGES:
            continue
        first = n + 1 if pieces[n].text in _CHANGES else n + 2
        first = _after_leads(pieces, first)
        named = {p.concept for p in pieces[i + 1 : n] if p.kind in _NAMES}
        if first < end and _replace(pieces, i, first, True, named):
            _out(pieces[i:first])
            return True
    return False


def _replace(
    pieces: list[Piece], i: int, first: int, strong: bool, named: frozenset[str] | set[str] = frozenset()
) -> bool:
    """Put what is said from `first` on into the place of what was said before `i`; tells whether that could be.

    named: the concepts that are to be replaced, where the prompt says so.
    """
    begin = first
    if pieces[first].kind == "number":
        first += 1
    name = _name_after(pieces, first)
    alone = pieces[begin].kind
    if name is not None and i > 1 and pieces[i - 1].text == "的" and pieces[i - 2].kind == alone:
        pieces[begin].loose = False
        _out(pieces[i - 2 : i])  # "一只蓝色的，不，绿色的青蛙"
        return True
    if name is not None:
        at = _last(pieces, i, _NAMES, strong, named)
        if at is None and alone == "number":
            at = _last(pieces, i, frozenset({"number"}), strong)
            if at is not None:
                _out([pieces[at]])
                return True
        if at is None:
            return False
        _take_name(pieces, at, (begin, first, name), i)
        return True
    if alone not in _ALONE:
        return False
    at = _last(pieces, i, frozenset({alone}), strong)
    if at is None and alone in ("colour", "size", "number"):
        return _describe(pieces, i, begin, strong, named)
    if at is None:
        return False
    _exchange(pieces, at, begin)
    if alone == "scene":
        _out([p for p in pieces[at + 1 : at + 2] if p.text in _PLACE and not p.loose])
        _out([p for p in pieces[begin + 1 : begin + 2] if p.text in _PLACE and not p.loose])
    elif alone == "direction":  # "往左走，不，往右走": it goes once
        gone = pieces[begin + 1 : begin + 2]
        _out(
            [p for p in gone if p.kind == "motion" and not p.loose and any(q.concept == p.concept for q in pieces[:i])]
        )
    else:
        _out([p for p in pieces[begin + 1 : begin + 2] if p.text in ("的", "地", "色", "了", "吧") and not p.loose])
    return True


def _take_name(pieces: list[Piece], at: int, right: tuple[int, int, int], i: int) -> None:
    """Put a name in the place of `at`; `right`: where its phrase begins, where after its number, and where it is."""
    begin, first, name = right
    described = pieces[first:name]
    before = at
    while (
        before
        and not pieces[before].loose
        and (pieces[before - 1].kind in _DESCRIBING or pieces[before - 1].text == "的")
    ):
        before -= 1
    if described:
        _out(pieces[before:at])
        pieces[name].new = "".join(p.text if p.new is None else p.new for p in pieces[first : name + 1])
        _out(described)
    if begin < first and before and (pieces[before - 1].kind == "number" or pieces[before - 1].concept == "a"):
        _exchange(pieces, before - 1, begin)
    again = {p.kind for p in pieces[name + 1 : name + 5] if not p.loose} & {"motion", "direction"}
    _exchange(pieces, at, name)
    if again:
        gone = [n for n in range(at + 1, i) if pieces[n].kind in ("motion", "direction") and not pieces[n].loose]
        _out([pieces[n] for n in gone])
        _out([pieces[n - 1] for n in gone if pieces[n - 1].text in ("在", "正在", "正")])
    _out([p for p in pieces[name + 1 : name + 2] if p.text in ("吧", "啊", "的") and not p.loose])


def _describe(pieces: list[Piece], i: int, begin: int, strong: bool, named: frozenset[str] | set[str]) -> bool:
    """Let a colour, a size or a number describe a name that had none: "一只猫，改成黑色的"."""
    at = _last(pieces, i, _NAMES, strong, named)
    if at is None or not strong:
        return False
    word = pieces[begin]
    said = word.text if word.new is None else word.new
    counted = at > 0 and pieces[at - 1].concept == "a" and pieces[at - 1].kind == "function"
    if word.kind == "number" and counted:
        pieces[at - 1].new, pieces[at - 1].kind, pieces[at - 1].concept = said, "number", word.concept
    else:
        was = pieces[at].text if pieces[at].new is None else pieces[at].new
        pieces[at].new = f"{said}{'' if word.kind == 'number' else '的'}{was}"
    _out([word, *(p for p in pieces[begin + 1 : begin + 2] if p.text in ("的", "色", "了", "吧") and not p.loose)])
    return True


def _name_after(pieces: list[Piece], i: int) -> int | None:
    """Find the name that the words from `i` on describe."""
    for n in range(i, min(i + 6, len(pieces))):
        if n > i and pieces[n].loose:
            return None
        if pieces[n].kind in _NAMES:
            return n
        if pieces[n].kind not in _DESCRIBING and pieces[n].text not in ("的", "只", "个") and pieces[n].concept != "a":
            return None
    return None


def _last(
    pieces: list[Piece], i: int, kinds: frozenset[str], strong: bool, named: frozenset[str] | set[str] = frozenset()
) -> int | None:
    """Find the last piece before `i` of one of `kinds`; after a mere filler it has to stand right before it."""
    for n in range(i - 1, max(-1, i - 1 - (_REACH if strong else 2)), -1):
        piece = pieces[n]
        if piece.kind in kinds and (piece.new != "") and (not named or piece.concept in named):
            return n
    return None


def _exchange(pieces: list[Piece], i: int, j: int) -> None:
    """Write what stands at `j` at `i`, and nothing at `j`."""
    was, now = pieces[i], pieces[j]
    for key in ("start", "end", "loose"):
        old, new = getattr(was, key), getattr(now, key)
        setattr(was, key, new)
        setattr(now, key, old)
    pieces[i], pieces[j] = now, was
    now.new = now.text if now.new is None else now.new
    _out([was])


def _out(pieces: list[Piece]) -> None:
    for each in pieces:
        each.drop()
        each.kind = "taken back"
