"""English prompts that take back a word: "a red, no, blue car" is blue, "a cat, I mean a dog" is a dog."""

from __future__ import annotations

from .noun_phrases_en import ARTICLES, DESCRIBING
from .pieces import Piece

# fmt: off
# Words that take back what comes before them, where a mark stands before them.
_AFTER_A_MARK = frozenset({
    "no", "nope", "wait", "no wait", "sorry", "oops", "whoops", "actually", "rather", "correction", "well", "hmm", "er",
    "erm", "uh", "um", "oh", "nah", "hold on", "hang on", "my mistake", "my bad", "better", "better yet",
})
# And those that do so anywhere.
_ANYWHERE = frozenset({
    "i mean", "i meant", "make that", "make it", "scratch that", "or rather", "no sorry", "sorry no", "change that to",
    "let s say", "correction", "strike that", "er no", "no actually", "sorry i meant", "sorry i mean", "no i mean",
    "no make that", "no make it", "wait no", "actually no", "oh no", "oh wait", "well actually", "no i meant",
})
# fmt: on
_LONGEST = 4  # pieces of one such phrase
_WEAK = frozenset({"well", "better", "hmm", "er", "erm", "uh", "um", "oh", "wait", "actually", "rather"})
_NAMES = frozenset({"subject", "own", "beyond", "other", "unknown", "prop"})
_ONE_OF = ("colour", "size", "number", "scene", "time", "weather", "motion", "direction", "style")
_KINDS = (*(frozenset({kind}) for kind in _ONE_OF), _NAMES)  # what can be said in the place of what


def read_corrections(pieces: list[Piece]) -> None:
    """Take out what a prompt takes back, with the words that do so."""
    i = 0
    while i < len(pieces):
        end = _marker(pieces, i)
        if end and _takes_back(pieces, i, end):
            _out(pieces[i:end])
            i = end
        i += 1


def _marker(pieces: list[Piece], i: int) -> int:
    """Return the place after the phrase at `i` that takes back, 0 where there is none; phrases in a row are one."""
    end = i
    while end < len(pieces):
        count = next((n for n in range(_LONGEST, 0, -1) if _is_one(pieces, end, n, marked=end > i)), 0)
        if not count:
            break
        end += count
    return end if end > i else 0


def _is_one(pieces: list[Piece], i: int, count: int, marked: bool) -> bool:
    some = pieces[i : i + count]
    if len(some) < count or any(p.kind in ("subject", "scene", "colour") for p in some):
        return False
    said = " ".join(p.text for p in some)
    return said in _ANYWHERE or (said in _AFTER_A_MARK and (marked or (i > 0 and some[0].loose)))


def _takes_back(pieces: list[Piece], start: int, end: int) -> bool:
    """Take out what stands before the marker `start` to `end` and is said otherwise after it; tells whether it is."""
    denied = end < len(pieces) and pieces[end - 1].text in ("no", "nope") and not pieces[end].loose
    if denied and pieces[end].text not in ARTICLES:
        return False  # "a dog runs, no cats"
    first = end
    while first < len(pieces) and (pieces[first].text in ARTICLES or pieces[first].text in ("in", "at", "on", "to")):
        first += 1
    if first >= len(pieces):
        return False
    kinds = next((group for group in _KINDS if pieces[first].kind in group), None)
    named = _name_of(pieces, first)
    if kinds is None:
        return False
    # Words that may as well mean something else need the same kind of word right before them.
    weak = all(p.text in _WEAK for p in pieces[start:end])
    at = _last(pieces, start, kinds, 2 if weak else 8)
    if at is None and named is not None and kinds <= DESCRIBING:
        at, kinds = _last(pieces, start, _NAMES, 2 if weak else 8), _NAMES
    if at is None:
        return False
    before = _name_of(pieces, at, start) if kinds <= DESCRIBING else None
    if kinds <= DESCRIBING and named is None:
        pieces[at].new, pieces[at].concept = pieces[first].text, pieces[first].concept
        _out(
            pieces[
                end : first + 2 if [p.text for p in pieces[first + 1 : first + 2]] in (["one"], ["ones"]) else first + 1
            ]
        )
    elif kinds <= DESCRIBING and before is None:
        _out_phrase(pieces, at) if pieces[end].text in ARTICLES else _out([pieces[at]])
    elif kinds <= DESCRIBING or kinds == _NAMES:
        name = at if before is None else before
        # "a big red ball, sorry, balloon" is as big and red.
        _out([pieces[name]]) if pieces[end].kind in _NAMES else _out_phrase(pieces, name)
        again = any(p.kind in ("motion", "direction") and not p.loose for p in pieces[first + 1 : first + 4])
        _out([p for p in pieces[name + 1 : start] if again and p.kind in ("motion", "direction")])
    else:
        _out_place(pieces, at, end, first)
    # What comes after is said in its place: no mark stands between.
    for each in pieces[start : end + 1]:
        each.loose, each.glued = False, True
    return True


def _out_place(pieces: list[Piece], at: int, end: int, first: int) -> None:
    """Take out the piece `at` with its article and joint, as far as what comes after has its own (`end` to `first`)."""
    own = [p.text in ARTICLES for p in pieces[end:first]]
    j = at
    while j and not pieces[j].loose and own and (pieces[j - 1].text in ARTICLES or not all(own)):
        if pieces[j - 1].text not in (*ARTICLES, "in", "at", "on", "to"):
            break
        j -= 1
    _out(pieces[j : at + 1])


def _last(pieces: list[Piece], start: int, kinds: frozenset[str], reach: int) -> int | None:
    """Find the last piece before `start` of one of `kinds`, at most `reach` pieces away."""
    for at in range(start - 1, max(-1, start - 1 - reach), -1):
        if pieces[at].kind in kinds and pieces[at].new != "":
            return at
    return None


def _name_of(pieces: list[Piece], i: int, end: int | None = None) -> int | None:
    """Find the name that the words from `i` on describe, before `end`; None where there is none."""
    for at in range(i, len(pieces) if end is None else end):
        if at > i and pieces[at].loose:
            return None
        if pieces[at].kind in _NAMES:
            return at
        if pieces[at].kind not in DESCRIBING:
            return None
    return None


def _out_phrase(pieces: list[Piece], at: int) -> None:
    """Take out a name with its article and what describes it."""
    first = at
    while first and not pieces[first].loose and pieces[first - 1].kind in (*DESCRIBING, "number"):
        first -= 1
    if first and not pieces[first].loose and pieces[first - 1].text in ARTICLES:
        first -= 1
    _out(pieces[first : at + 1])


def _out(pieces: list[Piece]) -> None:
    for each in pieces:
        each.drop()
        each.kind = "taken back"
