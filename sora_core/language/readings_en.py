"""English grammar that decides what a word means: compounds, adjectives, and words with two meanings.

A word that is read falsely is worse than one that is not read: a mouse pad is no mouse, and to park a car is no park.
"""

from __future__ import annotations

from .corrections_en import read_corrections
from .negations_en import read_comparisons, read_negations
from .noun_phrases_en import ARTICLES, DESCRIBING, NAMES, is_single, names_follow, phrase_end, piece_after, piece_before
from .nouns_en import (
    read_described,
    read_heaps,
    read_parts,
    read_unknown_motions,
    read_verbs_as_nouns,
    read_verbs_like_nouns,
)
from .pieces import Piece
from .synonyms import plural, young

_PLACES = frozenset({"in", "at", "on", "through", "across", "into", "along", "under", "over", "near", "by", "onto"})
# fmt: off
_ONWARDS = frozenset({
    "now", "away", "next to", "beside", "behind", "after", "before", "under", "beneath", "there", "here", "past",
    "above", "below", "in front of", "in front", "outside", "alongside",
})
_LEAVING = frozenset({"has", "have", "had", "nothing", "nobody", "only", "none"})
# Nouns that are written as verbs: "a fly", "its head".
_PEEKS = frozenset({"and", "then", "back", "right", "again", "it", "peeks", "peers", "pops", "sneaks", "jumps"})
_NOUNS = frozenset({"head", "fly", "drop", "slide", "cross", "sink", "pass", "flies", "drops", "heads"})
_VERB_LIKE = ("ing", "ed", "ly")
# What a sentence says of a noun: an unknown word that comes after one is then no noun of its own.
_VERB_ENDS = ("ing", "ed", "ly", "s")
_SEASON = frozenset({"in", "of", "early", "late", "during", "this", "a", "the", "lovely", "sunny", "warm"})
_STATES = frozenset({
    "stuck", "caught", "lost", "gone", "asleep", "awake", "afloat", "hidden", "frozen", "broken", "worn", "torn",
    "built",
    "seen", "hung", "bent", "bound", "swept", "struck", "alive", "alight", "ablaze", "aboard", "stranded", "alone",
    "well",
})
_ONWARDS_TO = frozenset({
    "across", "through", "over", "past", "towards", "toward", "into", "along", "around", "after", "behind", "between",
    "back", "forwards", "forward", "to the",
})
_YEAR = frozenset({
    "day", "morning", "afternoon", "evening", "night", "weather", "season", "flowers", "meadow", "garden",
    "in the rain", "breeze", "sun", "sunshine", "colours", "colors", "leaves", "sunflower", "flower", "landscape",
    "field", "forest",
})
# What goes up and down: who rolls down a hill rolls down.
_STEEP = frozenset({
    "hill", "hills", "hillside", "slope", "slopes", "mountain", "mountains", "mountainside", "cliff", "stairs", "ramp",
    "dune", "dunes", "volcano", "tree", "trunk", "ladder", "tower", "wall", "rock", "chimney", "pole", "hole",
})
_TOGETHER = frozenset({"pack", "packs", "herd", "herds", "flock", "flocks", "swarm", "swarms", "pod", "family"})
# fmt: on
_WHY = {"spring": "the season", "fall": "the season"}


def read_compounds(pieces: list[Piece]) -> None:
    """Tell a noun from what describes another noun: a mouse pad, a tiger shark, a bear cub, a ruby-red car."""
    words = young()
    for i, piece in enumerate(pieces):
        after = piece_after(pieces, i)
        if after is None:
            continue
        if piece.kind != "subject" or piece.new == "":
            continue
        if after.text in words or (after.text in _TOGETHER and after.kind != "scene"):
            after.drop()
            after.kind = "empty"
            if after.text.endswith("s") and after.text in _TOGETHER and is_single(piece):
                piece.new = plural(piece.new or piece.text)  # "wolf packs"
        elif after.kind == "subject" and after.new != "" and after.concept != piece.concept and is_single(piece):
            piece.drop()
            piece.kind = "empty"
        elif after.kind == "unknown" and after.capital and not piece.capital:
            after.drop()  # "my cat Felix": its name
        elif after.kind in ("unknown", "other", "beyond") and is_single(piece) and not _says_more(pieces, i, after):
            piece.drop()
            after.text = f"{piece.text} {after.text}"
            piece.kind = "empty"
            after.kind = after.kind if after.kind == "beyond" else "other"


def read_given_names(pieces: list[Piece]) -> None:
    """Take out what somebody is called: "a robot called Bob" does not bob."""
    for i, piece in enumerate(pieces):
        before, after = piece_before(pieces, i), piece_after(pieces, i)
        if piece.text not in ("named", "called", "nicknamed") or before is None or after is None:
            continue
        if before.kind in ("subject", "own", "beyond", "unknown") and after.text not in ARTICLES:
            for each in (piece, after):
                each.drop()
                each.kind = "empty" if each is piece else "unknown"


def _says_more(pieces: list[Piece], i: int, after: Piece) -> bool:
    """Tell whether an unknown word after a noun is something that is said of it: a verb, or an adverb."""
    if after.kind in ("other", "beyond"):
        return False
    if after.text.endswith(("ing", "ed", "ly")) or after.text in _STATES:
        return True
    if not after.text.endswith("s") or after.text.endswith("ss"):
        return False
    goes = piece_after(pieces, i + 1)
    if goes is not None and (
        goes.kind == "direction" or goes.text in _ONWARDS_TO or goes.text.endswith(("ly", "wards"))
    ):
        return True  # "bee zigzags left": a headline
    return i > 0 and (pieces[i - 1].text in ARTICLES or pieces[i - 1].kind in (*DESCRIBING, "unknown"))


def read_adjectives(pieces: list[Piece]) -> None:
    """Take out the colours and sizes of what is not known: they would be somebody else's."""
    for i, piece in enumerate(pieces):
        told = i > 1 and pieces[i - 1].concept == "is" and pieces[i - 2].kind in ("unknown", "other", "beyond", "not")
        if piece.kind == "colour" and told and not piece.loose and piece.new is None:
            piece.drop()  # "the carpet is red"
            piece.kind = "lost"
            continue
        noun = piece.kind in ("beyond", "other") or (
            piece.kind == "unknown"
            and piece.new is None
            and not piece.text.endswith(_VERB_LIKE)
            and not names_follow(pieces, i)
        )
        j = i
        while noun and j and not pieces[j].loose and pieces[j - 1].kind in (*DESCRIBING, "empty"):
            j -= 1
        if not noun or j == i:
            continue
        before = pieces[j - 1] if j else None
        kinds = ("function", "number", "unknown")
        if before is None or pieces[j].loose or before.text in ARTICLES or before.kind in kinds:
            for each in pieces[j:i]:
                if each.kind in DESCRIBING:
                    each.drop()
                    each.kind = "lost"


def read_two_meanings(pieces: list[Piece]) -> None:
    """Take out words of the lexicon that mean something else here."""
    for i, piece in enumerate(pieces):
        before, after = piece_before(pieces, i), piece_after(pieces, i)
        if piece.new is None and _is_other(piece, before, after):
            piece.drop()
            piece.kind = "other" if piece.text in _NOUNS else "cannot" if piece.text in _WHY else "empty"
            piece.why = _WHY.get(piece.text, "")
        elif piece.text == "going to" and after is not None and (after.text in ARTICLES or after.kind == "direction"):
            piece.new, piece.kind, piece.concept = None, "motion", "move"  # "going to the left"
        elif piece.kind == "cannot" and piece.why == "the season" and piece.text.startswith(("in ", "on ", "of ")):
            # "in an autumn forest": in a forest; "in autumn" alone leaves nothing.
            if after is not None and after.kind in ("scene", "subject", "prop", "own"):
                piece.new = " ".join(piece.text.split()[:-1])
        elif piece.concept == "orbit" and piece.text.endswith("around") and piece.new is None:
            _read_around(pieces, i, after)
        elif piece.text in ("up", "down", "out", "off") and before is not None and before.kind == "cannot":
            piece.drop()  # "burns down"
            piece.kind = "empty"
        elif piece.text in ("up", "down") and after is not None and piece.new is None:
            # "walks down the street": along it
            place = next(
                (p for p in pieces[i + 1 : i + 9] if p.kind in ("scene", "unknown", "subject", "direction")), None
            )
            steep = place is not None and place.text.split()[-1] in _STEEP
            if after.text in ARTICLES and place is not None and place.kind in ("scene", "unknown") and not steep:
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
    article = was in ARTICLES
    if word == "park":
        return was in ("to", "and", "can", "will", "you", "we", "they") or then in ARTICLES or then in ("it", "cars")
    if word in ("watch", "watches"):
        return not article and (
            then in ARTICLES or then == "it" or (after is not None and after.kind in ("size", "colour", "subject"))
        )
    if word == "spring":
        return was in _SEASON or then in _YEAR or (before is None and after is None)
    if word == "out":
        leads = before is not None and (before.kind in ("motion", "direction", "event", "relation") or was in _PEEKS)
        return not leads and then not in ("of", "from")
    if word == "fall":
        return article or was in ("in", "early", "late")
    if word == "right":
        return then in _ONWARDS and was not in ("to", "the", "to the")
    if word == "left":
        return then in ("alone", "behind") or was in _LEAVING
    if word in ("high", "long"):
        return before is not None and (before.kind in ("motion", "direction") or was in ("for a", "so", "too"))
    return word in _NOUNS and article and was != "that"  # "a pig that flies"


def _read_around(pieces: list[Piece], i: int, after: Piece | None) -> None:
    """Read "around" where nobody is circled: "jumps around", "walks around the garden"."""
    piece = pieces[i]
    verb = piece.text.removesuffix("around").strip()
    if verb.startswith(("circ", "orbit", "loop")):
        return
    before = piece_before(pieces, i)
    if not verb and before is not None and before.text.split()[-1] in ("up", "down", "all", "rises", "rising"):
        piece.new, piece.kind, piece.concept = "near", "function", "near"  # "bubbles drift up around it"
        return
    named = next((p for p in pieces[i + 1 : i + 9] if p.kind in ("subject", "scene", "own", *NAMES)), None)
    loose = any(p.loose for p in pieces[i + 1 : i + 9][: pieces[i + 1 : i + 9].index(named)]) if named else False
    goes_on = after is not None and (after.text in ARTICLES or after.kind in (*DESCRIBING, "subject", "number"))
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
            and (pieces[begin - 1].kind in (*DESCRIBING, "unknown", "number") or pieces[begin - 1].text in ARTICLES)
        ):
            begin -= 1
        end = phrase_end(pieces, i + 1)
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
    read_corrections(pieces)
    absent = read_negations(pieces)
    read_comparisons(pieces)
    read_given_names(pieces)
    read_two_meanings(pieces)
    read_parts(pieces)
    read_verbs_as_nouns(pieces)
    read_heaps(pieces)
    read_described(pieces)
    read_verbs_like_nouns(pieces)
    read_unknown_motions(pieces)
    read_compounds(pieces)
    read_adjectives(pieces)
    read_roles(pieces)
    return absent
