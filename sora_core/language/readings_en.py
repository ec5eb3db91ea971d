"""English grammar that decides what a word means: negations, comparisons, compounds, and words with two meanings.

A word that is read falsely is worse than one that is not read: a mouse pad is no mouse, and to park a car is no park.
"""

from __future__ import annotations

from .pieces import Piece
from .synonyms import young

_NOT = frozenset({"no", "without", "neither", "nor", "zero", "minus"})
_NEVER = frozenset({"not", "never", "don", "doesn", "didn", "isn", "aren", "won", "can", "cannot"})
_ARTICLES = frozenset({"a", "an", "the", "one", "this", "that", "its", "his", "her", "their", "some", "my", "your"})
_NAMES = frozenset({"subject", "unknown", "beyond", "other", "own"})
_DESCRIBING = frozenset({"colour", "size", "mood"})
_PLACES = frozenset({"in", "at", "on", "through", "across", "into", "along", "under", "over", "near", "by", "onto"})
# fmt: off
_ONWARDS = frozenset({
    "now", "away", "next to", "beside", "behind", "after", "before", "under", "beneath", "there", "here", "past",
    "above", "below", "in front of", "in front", "outside", "alongside",
})
_LEAVING = frozenset({"has", "have", "had", "nothing", "nobody", "only", "none"})
# Nouns that are written as verbs: "a fly", "its head".
_NOUNS = frozenset({"head", "fly", "drop", "slide", "cross", "sink", "pass", "flies", "drops", "heads"})
_VERB_LIKE = ("ing", "ed", "ly")
# What a sentence says of a noun: an unknown word that comes after one is then no noun of its own.
_VERB_ENDS = ("ing", "ed", "ly", "s")
_SEASON = frozenset({"in", "of", "early", "late", "during", "this", "a", "the", "lovely", "sunny", "warm"})
_YEAR = frozenset({
    "day", "morning", "afternoon", "evening", "night", "weather", "season", "flowers", "meadow", "garden",
    "in the rain", "breeze", "sun", "sunshine", "colours", "colors", "leaves", "sunflower", "flower", "landscape",
    "field", "forest",
})
# fmt: on
_WHY = {"spring": "the season", "fall": "the season"}


def _after(pieces: list[Piece], i: int) -> Piece | None:
    """Return the piece after `i`, if no mark stands between."""
    return pieces[i + 1] if i + 1 < len(pieces) and not pieces[i + 1].loose else None


def _before(pieces: list[Piece], i: int) -> Piece | None:
    return pieces[i - 1] if i and not pieces[i].loose else None


def _phrase_end(pieces: list[Piece], i: int) -> int:
    """Return the place after the noun phrase that begins at `i`: articles, adjectives, and a name."""
    while i < len(pieces) and (pieces[i].text in _ARTICLES or pieces[i].kind in ("empty", *_DESCRIBING)):
        i += 1
        if i < len(pieces) and pieces[i].loose:
            return i
    while i < len(pieces) and pieces[i].kind == "unknown" and _names_follow(pieces, i):
        i += 1
    return min(i + 1, len(pieces))


def _names_follow(pieces: list[Piece], i: int) -> bool:
    after = _after(pieces, i)
    return after is not None and after.kind in ("subject", "unknown", "prop", "scene", "beyond", *_DESCRIBING)


def read_negations(pieces: list[Piece]) -> list[str]:
    """Take out what the prompt says is not there; returns it in the prompt's words."""
    said = []
    for i, piece in enumerate(pieces):
        if piece.kind != "unknown" or piece.new is not None:
            continue
        if piece.text in _NOT:
            end = _phrase_end(pieces, i + 1)
            while end + 1 < len(pieces) and pieces[end].text in ("or", "nor") and not pieces[end].loose:
                end = _phrase_end(pieces, end + 1)
        elif piece.text in _NEVER:
            end = i + 1
            while end < len(pieces) and (pieces[end].text in ("t", "not", "be", "is") or pieces[end].kind == "empty"):
                end += 1
            end = _phrase_end(pieces, end)
        else:
            continue
        for each in pieces[i:end]:
            each.drop()
            each.kind = "not"
        said.append(" ".join(each.text for each in pieces[i:end]))
    return said


def read_comparisons(pieces: list[Piece]) -> None:
    """Take out what somebody is only compared with: "runs like a rocket", "as big as a house"."""
    for i, piece in enumerate(pieces):
        second = piece.text == "as" and any(p.text == "as" for p in pieces[max(0, i - 3) : i]) and not piece.loose
        if (piece.text == "like" and piece.kind == "unknown") or second:
            after = _after(pieces, i)
            if after is None or after.kind in ("style", "motion"):
                piece.drop()
                continue
            for each in pieces[i : _phrase_end(pieces, i + 1)]:
                each.drop()
                each.kind = "empty"


def read_compounds(pieces: list[Piece]) -> None:
    """Tell a noun from what describes another noun: a mouse pad, a tiger shark, a bear cub, a ruby-red car."""
    words = young()
    for i, piece in enumerate(pieces):
        after = _after(pieces, i)
        if after is None:
            continue
        if after.hyphen and after.kind == "colour" and piece.kind != "colour" and piece.new is None:
            piece.drop()  # "ruby-red"
            piece.kind = "empty"
        if piece.kind != "subject" or piece.new == "":
            continue
        if after.text in words:
            after.drop()
            after.kind = "empty"
        elif after.kind == "subject" and after.new != "" and after.concept != piece.concept and _one(piece):
            piece.drop()
            piece.kind = "empty"
        elif after.kind in ("unknown", "other", "beyond") and _one(piece) and not _says_more(pieces, i, after):
            piece.drop()
            after.text = f"{piece.text} {after.text}"
            piece.kind = "empty"
            after.kind = after.kind if after.kind == "beyond" else "other"


def _one(piece: Piece) -> bool:
    """Tell whether an English noun is in the singular."""
    last = piece.text.split()[-1]
    return not last.endswith("s") or last in ("bus", "octopus")


def _says_more(pieces: list[Piece], i: int, after: Piece) -> bool:
    """Tell whether an unknown word after a noun is something that is said of it: a verb, or an adverb."""
    if after.kind in ("other", "beyond"):
        return False
    if after.text.endswith(("ing", "ed", "ly")):
        return True
    named = i > 0 and (pieces[i - 1].text in _ARTICLES or pieces[i - 1].kind in (*_DESCRIBING, "unknown"))
    return after.text.endswith("s") and not after.text.endswith("ss") and named


def read_adjectives(pieces: list[Piece]) -> None:
    """Take out the colours and sizes of what is not known: they would be somebody else's."""
    for i, piece in enumerate(pieces):
        noun = piece.kind in ("beyond", "other") or (
            piece.kind == "unknown"
            and piece.new is None
            and not piece.text.endswith(_VERB_LIKE)
            and not _names_follow(pieces, i)
        )
        j = i
        while noun and j and not pieces[j].loose and pieces[j - 1].kind in (*_DESCRIBING, "empty"):
            j -= 1
        if not noun or j == i:
            continue
        before = pieces[j - 1] if j else None
        kinds = ("function", "number", "unknown")
        if before is None or pieces[j].loose or before.text in _ARTICLES or before.kind in kinds:
            for each in pieces[j:i]:
                if each.kind in _DESCRIBING:
                    each.drop()
                    each.kind = "lost"


def read_two_meanings(pieces: list[Piece]) -> None:
    """Take out words of the lexicon that mean something else here."""
    for i, piece in enumerate(pieces):
        before, after = _before(pieces, i), _after(pieces, i)
        if piece.new is None and _is_other(piece, before, after):
            piece.drop()
            piece.kind = "other" if piece.text in _NOUNS else "cannot" if piece.text in _WHY else "empty"
            piece.why = _WHY.get(piece.text, "")
        elif piece.concept == "orbit" and piece.text.endswith("around") and piece.new is None:
            _read_around(pieces, i, after)
        elif piece.text in ("up", "down") and after is not None and piece.new is None:
            # "walks down the street": along it
            place = next(
                (p for p in pieces[i + 1 : i + 9] if p.kind in ("scene", "unknown", "subject", "direction")), None
            )
            if after.text in _ARTICLES and place is not None and place.kind in ("scene", "unknown"):
                piece.new, piece.kind = "along", "function"
        elif piece.text == "rose" and before is not None and before.kind in ("subject", "own"):
            piece.new, piece.kind, piece.concept = "rises", "direction", "up"
        elif piece.text == "orange" and before is not None and before.text in ("an", "the") and _is_noun(after):
            piece.drop()
            piece.kind, piece.text = "other", "orange"


def _is_noun(after: Piece | None) -> bool:
    """Tell whether a word for a colour is a fruit here: nothing that could have a colour comes after it."""
    return after is None or after.kind in ("motion", "direction", "relation", "event")


def _is_other(piece: Piece, before: Piece | None, after: Piece | None) -> bool:
    """Tell whether a word means something else than the lexicon has it mean."""
    word, was, then = piece.text, before.text if before else "", after.text if after else ""
    article = was in _ARTICLES
    if word == "park":
        return was in ("to", "and", "can", "will", "you", "we", "they") or then in _ARTICLES or then in ("it", "cars")
    if word in ("watch", "watches"):
        return not article and (
            then in _ARTICLES or then == "it" or (after is not None and after.kind in ("size", "colour", "subject"))
        )
    if word == "spring":
        return was in _SEASON or then in _YEAR or (before is None and after is None)
    if word == "fall":
        return article or was in ("in", "early", "late")
    if word == "right":
        return then in _ONWARDS and was not in ("to", "the", "to the")
    if word == "left":
        return then in ("alone", "behind") or was in _LEAVING
    if word in ("high", "long"):
        return before is not None and (before.kind in ("motion", "direction") or was in ("for a", "so", "too"))
    return word in _NOUNS and article


def _read_around(pieces: list[Piece], i: int, after: Piece | None) -> None:
    """Read "around" where nobody is circled: "jumps around", "walks around the garden"."""
    piece = pieces[i]
    verb = piece.text.removesuffix("around").strip()
    if verb.startswith(("circ", "orbit", "loop")):
        return
    named = next((p for p in pieces[i + 1 : i + 9] if p.kind in ("subject", "scene", "own", *_NAMES)), None)
    loose = any(p.loose for p in pieces[i + 1 : i + 9][: pieces[i + 1 : i + 9].index(named)]) if named else False
    goes_on = after is not None and (after.text in _ARTICLES or after.kind in (*_DESCRIBING, "subject", "number"))
    if named is None or loose or not goes_on:
        piece.new, piece.kind, piece.concept = verb, "motion" if verb else "empty", "move" if verb else ""
    elif named.kind == "scene":
        piece.new, piece.kind, piece.concept = f"{verb} in".strip(), "motion" if verb else "function", "move"


def read_roles(pieces: list[Piece]) -> None:
    """Put first who does it: "a fox chased by a dog" is "a dog chases a fox"."""
    for i, piece in enumerate(pieces):
        if piece.text not in ("followed by", "chased by", "pursued by", "trailed by", "hunted by") or piece.new:
            continue
        first = i
        while first and pieces[first - 1].kind not in ("subject", "own") and not pieces[first].loose:
            if (
                pieces[first - 1].text not in ("is", "being", "that", "which", "who", "are", "gets")
                and pieces[first - 1].kind != "empty"
            ):
                break
            first -= 1
        name = first - 1
        if name < 0 or pieces[name].kind not in ("subject", "own") or pieces[first].loose:
            continue
        begin = name
        while (
            begin
            and not pieces[begin].loose
            and (pieces[begin - 1].kind in (*_DESCRIBING, "unknown", "number") or pieces[begin - 1].text in _ARTICLES)
        ):
            begin -= 1
        end = _phrase_end(pieces, i + 1)
        if (
            end > i + 1
            and pieces[end - 1].kind in ("subject", "own")
            and not any(p.loose for p in pieces[begin + 1 : end])
        ):
            one = " ".join(p.text if p.new is None else p.new for p in pieces[begin:first] if p.kind != "is")
            two = " ".join(p.text if p.new is None else p.new for p in pieces[i + 1 : end])
            verb = "follows" if "is" not in [p.text for p in pieces[first:i]] else "follows"
            for each in pieces[begin + 1 : end]:
                each.drop()
            pieces[begin].new = f"{two} {verb} {one}"


def read_english(pieces: list[Piece]) -> list[str]:
    """Settle what the pieces of an English prompt mean; returns what it says is not there."""
    absent = read_negations(pieces)
    read_comparisons(pieces)
    read_two_meanings(pieces)
    read_compounds(pieces)
    read_adjectives(pieces)
    read_roles(pieces)
    return absent
