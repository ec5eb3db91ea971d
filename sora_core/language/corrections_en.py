"""English prompts that take back a word: "a red, no, blue car" is blue, "a cat, I mean a dog" is a dog."""

from __future__ import annotations

from .noun_phrases_en import ARTICLES, DESCRIBING, is_single
from .pieces import Piece
from .synonyms import plural

# fmt: off
# Words that take back what comes before them, where a mark stands before them.
_AFTER_A_MARK = frozenset({
    "no", "nope", "wait", "no wait", "sorry", "oops", "whoops", "actually", "rather", "correction", "well", "hmm", "er",
    "erm", "uh", "um", "oh", "nah", "hold on", "hang on", "my mistake", "my bad", "better", "better yet", "oh no",
    "no no", "or no", "no sorry", "apologies", "pardon", "excuse me", "should be",
})
# And those that do so anywhere.
_ANYWHERE = frozenset({
    "i mean", "i meant", "make that", "make it", "scratch that", "or rather", "no sorry", "sorry no", "change that to",
    "let s say", "correction", "strike that", "er no", "no actually", "sorry i meant", "sorry i mean", "no i mean",
    "no make that", "no make it", "wait no", "actually no", "oh wait", "well actually", "no i meant", "change it to",
    "change to", "sorry that s", "i wanted", "that should be", "that should have been", "it should be",
})
# fmt: on
_LONGEST = 4  # pieces of one such phrase
_WEAK = frozenset({"well", "better", "hmm", "er", "erm", "uh", "um", "oh", "wait", "actually", "rather"})
_NAMES = frozenset({"subject", "own", "beyond", "other", "unknown", "prop"})
_ONE_OF = ("colour", "size", "number", "scene", "time", "weather", "motion", "direction", "style", "speed", "camera")
_OF_ONE = frozenset({"motion", "direction", "scene", "weather", "time"})  # what one sentence says once of somebody
_SPEEDS = frozenset({"fast", "slowly"})
_JOINTS = frozenset({"in", "at", "on", "to", "with", "over", "under"})
# What leads to the right word: "a cat, no, it's a dog"; "make that a dog".
_LEADS = frozenset({"it", "is", "that", "should", "be", "it s", "that s", "they", "are", "say", "let s say", "just"})
_KINDS = (*(frozenset({kind}) for kind in _ONE_OF), _NAMES)  # what can be said in the place of what


def read_corrections(pieces: list[Piece]) -> None:
    """Take out what a prompt takes back, with the words that do so."""
    i = 0
    while i < len(pieces):
        end = _marker(pieces, i)
        sure = " ".join(p.text for p in pieces[:end]) in _ANYWHERE or (end < len(pieces) and pieces[end].loose)
        if end and not i and sure:
            _out(pieces[:end])  # "change that to a pig": whatever came before is in no prompt
        elif end and _takes_back(pieces, i, end):
            _out(pieces[i:end])
            i = end
        i += 1


def _marker(pieces: list[Piece], i: int) -> int:
    """Return the place after the phrase at `i` that takes back, 0 where there is none; phrases in a row are one."""
    end = i
    while end < len(pieces):
        count = next((n for n in range(_LONGEST, 0, -1) if _is_one(pieces, end, n, marked=end > i)), 0)
        if not count and pieces[end].text == "not":
            count = _denied_again(pieces, end)
        if not count:
            break
        end += count
    return end if end > i else 0


def _denied_again(pieces: list[Piece], i: int) -> int:
    """Count the pieces of "not a bee" where a bee was asked, and something else is said next; 0 for none."""
    end = i + 1
    while end < len(pieces) and not pieces[end].loose and pieces[end].text in ARTICLES:
        end += 1
    if end + 1 >= len(pieces) or not pieces[end + 1].loose or pieces[end].loose:
        return 0
    said = pieces[end].concept or pieces[end].text
    before = any(said in (p.concept, p.text) and p.new != "" for p in pieces[max(0, i - 8) : i])
    return end + 1 - i if before else 0


def _is_one(pieces: list[Piece], i: int, count: int, marked: bool) -> bool:
    some = pieces[i : i + count]
    if len(some) < count or any(p.kind in ("subject", "scene", "colour") for p in some):
        return False
    said = " ".join(p.text for p in some)
    return said in _ANYWHERE or (said in _AFTER_A_MARK and (marked or not i or some[0].loose))


def _takes_back(pieces: list[Piece], start: int, end: int) -> bool:
    """Take out what stands before the marker `start` to `end` and is said otherwise after it; tells whether it is."""
    denied = end < len(pieces) and pieces[end - 1].text in ("no", "nope") and not pieces[end].loose
    counted = _kind(pieces[end]) == _kind(pieces[start - 1]) == "number" if end < len(pieces) else False
    if denied and pieces[end].text not in ARTICLES and not counted:
        return False  # "a dog runs, no cats"
    leads = end
    while end < len(pieces) and pieces[end].text in _LEADS:
        end += 1
    first = end
    while first < len(pieces) and (pieces[first].text in ARTICLES or pieces[first].text in _JOINTS):
        first += 1
    if first >= len(pieces) or not start or any(p.text == "one" for p in pieces[end : first - 1]):
        return False  # "a penguin, I mean the one with the hat"
    if _zooms(pieces, start, first):
        return True
    if _kind(pieces[first]) == "number":
        return _takes_back_number(pieces, start, end, first)
    kinds = next((group for group in _KINDS if _kind(pieces[first]) in group), None)
    named = _name_of(pieces, first)
    if kinds is None:
        return False
    # Words that may as well mean something else need the same kind of word right before them.
    weak = all(p.text in _WEAK for p in pieces[start:end])
    if weak and pieces[first].kind in ("unknown", "other"):
        return False  # "an elephant, well fed"
    reach = 2 if weak else 8
    at = _last(pieces, start, kinds, reach)
    if (at is None and named is not None and kinds <= DESCRIBING) or kinds == _NAMES:
        at, kinds = _last_name(pieces, start, reach, named), _NAMES
    if at is None or (kinds == _NAMES and _is_same(pieces, (start, end), at, first)):
        return False
    _out(pieces[leads:end])
    before = _name_of(pieces, at, start) if kinds <= DESCRIBING else None
    if kinds <= DESCRIBING and named is None:
        pieces[at].new, pieces[at].concept = pieces[first].text, pieces[first].concept
        ends = [p.text in ("one", "ones") for p in pieces[first + 1 : first + 2]]  # "I meant a green one"
        _out(pieces[end : first + 1 + sum(ends)])
    elif kinds <= DESCRIBING and before is None:
        _out_phrase(pieces, at) if pieces[end].text in ARTICLES else _out([pieces[at]])
    elif kinds <= DESCRIBING or kinds == _NAMES:
        _take_name(pieces, at if before is None else before, start, (end, first, named))
    else:
        said = pieces[first + 1].concept if first + 1 < len(pieces) else ""
        if said and at + 1 < start and pieces[at + 1].concept == said and pieces[first].kind == "motion":
            _out([pieces[at + 1]])  # "a walking dog, no, running dog"
        _out_place(pieces, at, end, first)
    # What comes after is said in its place: no mark stands between.
    for each in pieces[start : end + 1]:
        each.loose, each.glued = False, True
    return True


def _take_name(pieces: list[Piece], name: int, start: int, right: tuple[int, int, int | None]) -> None:
    """Take back the name at `name`, said otherwise after the marker at `start`.

    right: where the right phrase begins, where after its article, and its name.
    """
    end, first, named = right
    whole = pieces[end].kind not in _NAMES
    ends = named is not None and (named + 1 == len(pieces) or pieces[named + 1].loose)
    if (
        named is not None
        and ends
        and pieces[end].text not in _JOINTS
        and any(p.new != "" for p in pieces[name + 1 : start])
    ):
        _exchange(pieces, name, first, named, whole)  # "a cat sits, no, it's a dog": a dog sits
        return
    # "a big red ball, sorry, balloon" is as big and red.
    _out_phrase(pieces, name, pieces[end].text in _JOINTS) if whole else _out([pieces[name]])
    end = next((n for n in range(first + 1, len(pieces)) if pieces[n].loose), len(pieces))
    kinds = {p.kind for p in pieces[first + 1 : end]} & _OF_ONE
    kinds |= {"motion", "direction"} if kinds & {"motion", "direction"} else set()
    for i in range(name + 1, start):
        if pieces[i].kind in kinds:  # "a cat on the beach, no, a dog in the forest"
            _out_place(pieces, i, 0, 0)


def _exchange(pieces: list[Piece], name: int, first: int, named: int, whole: bool) -> None:
    """Put the name at `named`, with what describes it from `first` on, into the place of that at `name`.

    whole: what describes the name that was there goes with it.
    """
    begin = _begin(pieces, name)
    described = [p for p in pieces[begin:name] if p.kind in DESCRIBING]
    if whole:
        _out(described)
    words = [p.text if p.new is None else p.new for p in pieces[first : named + 1]]
    was, now = pieces[name], pieces[named]
    for key in ("start", "end", "loose", "hyphen"):
        old, new = getattr(was, key), getattr(now, key)
        setattr(was, key, new)
        setattr(now, key, old)
    pieces[name], pieces[named] = now, was
    now.new = " ".join(word for word in words if word)
    _out(pieces[first : named + 1])
    if first and pieces[first - 1].text in ARTICLES:
        _out([pieces[first - 1]])


def _last_name(pieces: list[Piece], start: int, reach: int, named: int | None) -> int | None:
    """Find the name before `start` that another is said in place of: a subject for one, and no rock that it sits on."""
    at = _last(pieces, start, _NAMES, reach)
    who = ("subject", "own", "beyond")
    if at is None or named is None or pieces[named].kind not in who or pieces[at].kind in who:
        return at
    begin = _begin(pieces, at)
    led = (
        begin > 0
        and not pieces[begin].loose
        and (pieces[begin - 1].text in (*_JOINTS, "of", "by") or pieces[begin - 1].kind in ("relation", "direction"))
    )
    further = _last(pieces, start, frozenset(who), 12) if reach > 2 else None
    return further if further is not None and (led or begin == at or pieces[at].kind == "prop") else at


def _is_same(pieces: list[Piece], marker: tuple[int, int], at: int, first: int) -> bool:
    """Tell whether the same is named once more: "a ship sails left, I mean, the ship is red"."""
    if any(p.text in ("scratch", "strike") for p in pieces[slice(*marker)]):
        return False
    was, now = pieces[_begin(pieces, at)], pieces[first - 1]
    return pieces[at].text == pieces[first].text and (was.text in ARTICLES) >= (now.text in ARTICLES)


def _kind(piece: Piece) -> str:
    """Name what a word is one of, of which one can be said in another's place."""
    if piece.concept == "sunset":
        return "time"  # "at night, I mean, at sunset"
    if piece.kind == "camera":
        return "lens" if piece.concept == "camera" else "camera"
    return "speed" if piece.concept in _SPEEDS and piece.kind == "function" else piece.kind


def _zooms(pieces: list[Piece], start: int, first: int) -> bool:
    """Turn a zoom around: "zooms in, no, out"."""
    was, now = pieces[start - 1], pieces[first].text
    verb, _, way = was.text.rpartition(" ")
    if was.kind != "camera" or {way, now} != {"in", "out"} or was.new is not None:
        return False
    was.new, was.concept = f"{verb} {now}", f"zoom {now}"
    _out([pieces[first]])
    return True


def _takes_back_number(pieces: list[Piece], start: int, end: int, first: int) -> bool:
    """Take back what is said in another number: "two, no, three ducks", "a fish, make that two"."""
    named = _name_of(pieces, first + 1) if first + 1 < len(pieces) and not pieces[first + 1].loose else None
    numbers = frozenset({"number"})
    at = _last(pieces, start, _NAMES, 4)
    if named is not None and _last(pieces, start, numbers, 1) is not None:
        at = start - 1
        _out([pieces[at]])
    elif named is not None and at is not None:
        _out_phrase(pieces, at)
    elif at is not None:
        begin = _begin(pieces, at)
        counts = pieces[begin].kind == "number" or pieces[begin].text in ARTICLES
        if not counts or begin == at:
            return False
        pieces[begin].new, pieces[begin].kind, pieces[begin].concept = pieces[first].text, "number", pieces[first].text
        if is_single(pieces[at]) and pieces[at].new is None:
            pieces[at].new = plural(pieces[at].text)
        _out(pieces[end : first + 1])
    if at is None:
        return False
    for each in pieces[start : end + 1]:
        each.loose, each.glued = False, True
    return True


def _begin(pieces: list[Piece], at: int) -> int:
    """Find where the phrase of the name at `at` begins: its article, its number, or what describes it."""
    while at and not pieces[at].loose and pieces[at - 1].kind in (*DESCRIBING, "number"):
        at -= 1
    return at - 1 if at and not pieces[at].loose and pieces[at - 1].text in ARTICLES else at


def _out_place(pieces: list[Piece], at: int, end: int, first: int) -> None:
    """Take out the piece `at` with its article and joint, as far as what comes after has its own (`end` to `first`)."""
    own = [p.text in ARTICLES for p in pieces[end:first]] if first else [False]
    j = at
    while j and not pieces[j].loose and own and (pieces[j - 1].text in ARTICLES or not all(own)):
        if pieces[j - 1].text not in (*ARTICLES, "in", "at", "on", "to"):
            break
        j -= 1
    _out(pieces[j : at + 1])


def _last(pieces: list[Piece], start: int, kinds: frozenset[str], reach: int) -> int | None:
    """Find the last piece before `start` of one of `kinds`, at most `reach` pieces away."""
    for at in range(start - 1, max(-1, start - 1 - reach), -1):
        if _kind(pieces[at]) in kinds and pieces[at].new != "" and pieces[at].text not in _AFTER_A_MARK:
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


def _out_phrase(pieces: list[Piece], at: int, joint: bool = False) -> None:
    """Take out a name with its article and what describes it; `joint`: and with the word that leads to it."""
    first = _begin(pieces, at)
    if joint and first and not pieces[first].loose and pieces[first - 1].text in _JOINTS:
        first -= 1
    _out(pieces[first : at + 1])


def _out(pieces: list[Piece]) -> None:
    for each in pieces:
        each.drop()
        each.kind = "taken back"
