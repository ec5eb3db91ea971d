"""English negations and comparisons: what a prompt says is not there, and what somebody is only compared with."""

from __future__ import annotations

from .noun_phrases_en import ARTICLES, DESCRIBING, NAMES, phrase_end, piece_after
from .pieces import Piece

# fmt: off
_NOT = frozenset({
    "no", "without", "neither", "nor", "zero", "minus", "lacking", "excluding", "except", "nobody", "forget", "ignore",
    "omit", "exclude", "avoid", "scrap",
})
# Negations of several words.
_NOT_LONG = frozenset({
    "except for", "instead of", "rather than", "devoid of", "free of", "empty of", "clear of", "anything but",
    "void of",
    "bereft of", "free from", "not a single", "not one", "not any", "no more", "no one", "hardly any", "apart from",
    "never mind", "forget about", "leave out", "not counting", "but for", "far from",
})
_NOBODY = frozenset({"nobody", "no one"})  # that name already what is not there
_BUT = frozenset({"except", "except for", "apart from", "anything but", "excluding"})
_EMPTY = frozenset({"empty", "nothing", "nobody", "deserted", "bare", "silent", "alone", "none", "quiet", "abandoned"})
_ONLY = frozenset({"only", "just", "merely", "simply"})  # "not only a cat but also a dog": both
_ANYWHERE = frozenset({
    "around", "anywhere", "at all", "in sight", "nearby", "whatsoever", "there", "here", "about", "at", "all", "in",
    "sight", "visible", "to", "be", "seen",
})
# fmt: on
_NEVER = frozenset({"not", "never", "don", "doesn", "didn", "isn", "aren", "won", "can", "cannot"})
# fmt: off
# What a comparison leaves of a word: "bigger than a house".
_THAN = {
    "bigger": "large", "larger": "large", "taller": "large", "higher": "large", "greater": "large", "smaller": "small",
    "tinier": "small", "littler": "small", "faster": "fast", "quicker": "fast", "slower": "slowly",
}
# fmt: on


def _denies(pieces: list[Piece], i: int) -> int:
    """Count the pieces of the negation that begins at `i`, 0 for none."""
    for count in (3, 2):
        some = pieces[i : i + count]
        if len(some) == count and not any(p.loose for p in some[1:]) and " ".join(p.text for p in some) in _NOT_LONG:
            return count
    return int(pieces[i].kind == "unknown" and pieces[i].text in _NOT)


def _is_alone(pieces: list[Piece], i: int) -> bool:
    """Tell whether nothing but what follows is there: "the street is empty apart from a cat"."""
    while i and not pieces[i].loose:
        i -= 1
        if pieces[i].text in _EMPTY or pieces[i].kind == "not":
            return True
    return False


def _listed(pieces: list[Piece], end: int) -> int:
    """Return where a list ends of which the first thing is denied: "no rain, snow or fog", "no cats and dogs"."""
    at = end
    for _ in range(4):
        if at + 1 >= len(pieces):
            break
        if pieces[at].text in ("or", "nor") and not pieces[at + 1].loose:
            return _listed(pieces, phrase_end(pieces, at + 1))
        after, beyond = pieces[at + 1], pieces[at + 2] if at + 2 < len(pieces) else None
        if (
            at == end
            and pieces[at].text == "and"
            and not pieces[at].loose
            and after.kind in (*NAMES, "prop", "weather")
            and (beyond is None or beyond.loose or beyond.kind == "function")
        ):
            return at + 2
        if not pieces[at].loose or pieces[at].kind not in (*NAMES, *DESCRIBING, "prop", "weather", "scene"):
            break
        at = phrase_end(pieces, at)
    return end


def read_negations(pieces: list[Piece]) -> list[str]:
    """Take out what the prompt says is not there; returns it in the prompt's words."""
    said = []
    for i, piece in enumerate(pieces):
        if piece.new is not None and piece.kind != "empty":
            continue
        count = _denies(pieces, i)
        if piece.text == "no" and count == 1 and i + 1 < len(pieces) and pieces[i + 1].loose:
            piece.drop()  # "a moose? no, a horse"
            piece.kind = "empty"
            continue
        if count and " ".join(p.text for p in pieces[i : i + count]) in _BUT and _is_alone(pieces, i):
            for each in pieces[i : i + count]:
                each.drop()
                each.kind = "empty"
            continue
        if count:
            end = i + count
            if " ".join(p.text for p in pieces[i:end]) not in _NOBODY:
                end = _listed(pieces, phrase_end(pieces, end))
        elif piece.text in _NEVER and (piece.kind == "unknown" or (i + 1 < len(pieces) and pieces[i + 1].text == "t")):
            end = i + 1
            if end < len(pieces) and pieces[end].text in _ONLY:
                piece.drop()
                piece.kind = "empty"
                continue
            while end < len(pieces) and (pieces[end].text in ("t", "not", "be", "is") or pieces[end].kind == "empty"):
                end += 1
            end = phrase_end(pieces, end)
        else:
            continue
        if count:
            tail = end
            while tail < len(pieces) and not pieces[tail].loose and pieces[tail].text in _ANYWHERE:
                tail += 1
            if tail == len(pieces) or pieces[tail].loose or pieces[tail].kind == "function":
                end = tail if pieces[tail - 1].text not in ("in", "at", "to") else end
        first = i - 1 if i and pieces[i - 1].text == "with" and not piece.loose else i
        for each in pieces[first:end]:
            each.drop()
            each.kind = "not"
        said.append(" ".join(each.text for each in pieces[i:end]))
    return said


def read_comparisons(pieces: list[Piece]) -> None:
    """Take out what somebody is only compared with: "runs like a rocket", "as big as a house"."""
    for i, piece in enumerate(pieces):
        if piece.text == "than" and i and not piece.loose and pieces[i - 1].text in _THAN:
            said = _THAN[pieces[i - 1].text]
            pieces[i - 1].new = pieces[i - 1].concept = said
            pieces[i - 1].kind = "function" if said in ("fast", "slowly") else "size"
            for each in pieces[i : phrase_end(pieces, i + 1)]:
                each.drop()
                each.kind = "empty"
            continue
        second = piece.text == "as" and any(p.text == "as" for p in pieces[max(0, i - 3) : i]) and not piece.loose
        if (piece.text == "like" and piece.kind == "unknown" and not piece.hyphen) or second:
            after = piece_after(pieces, i)
            while after is not None and (after.text in ARTICLES or after.kind in ("empty", "mood")):
                after = piece_after(pieces, pieces.index(after))
            if after is None or after.kind in ("style", "motion"):
                piece.drop()
                continue
            for each in pieces[i : phrase_end(pieces, i + 1)]:
                each.drop()
                each.kind = "empty"


# What comes after a noun and a hyphen, and makes a word of it that describes something else.
