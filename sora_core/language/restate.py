"""A prompt in other words than the lexicon's, told in the lexicon's words.

Word by word and phrase by phrase, in the prompt's own order and with its marks and weights: "a kitty ambles at the edge
of the woods" is "a kitty walks at the forest". A prompt whose words the lexicon has, and reads rightly, comes back as
it is, letter by letter. What has no counterpart is left out, and told.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from .camera import Found, read_camera, read_chinese_camera
from .gaps_en import agree, close_gaps
from .lexicon import load_lexicon
from .looks import LOOKS
from .pieces import Piece, cut, joined
from .reading import read
from .readings_en import read_english
from .readings_zh import read_chinese
from .skies import read_chinese_skies, read_skies
from .spelling import respell
from .standins import stand_in
from .synonyms import drawn, load_table

_MARKS = "，。；：！？、（）"  # that stay as they are written
# What a place that is only implied says where another place is named: an orange sky over a beach.
_ELSE = {
    "at sunset": "at dusk",
    "in snowy mountains": "in the snow",
    "in a city at night": "at night",
    "夕阳下": "黄昏",
    "夜晚的城市": "夜里",
    "太空": "夜里",
}
# What the lexicon reads as weather, and is a place too where no other is named.
_PLACES = {"in the snow": "in snowy mountains while it snows", "雪中": "雪山里下着雪"}
# Where props are that stand in one place alone: "a fish by the coral".
_OF_A_PLACE = {
    "seaweed": ("seaweed", "underwater", "海底的海草"),
    "cactus": ("cactus", "in the desert", "沙漠的仙人掌"),
}
_ON_WATER = (
    "sea",
    "ocean",
    "in the sea",
    "in the ocean",
    "in the water",
    "大海",
    "海洋",
    "海里",
    "海中",
    "水里",
    "水中",
)
_SUBJECTS = ("it", "there is", "there", "that", "有", "它")  # read as articles, and none
# Kinds of pieces of which at least one has to be left: an empty prompt asks for nothing.
_NAMED = ("subject", "colour", "size", "mood", "scene", "own", "prop")  # which an article may stand before
_TELLING = ("subject", "scene", "motion", "direction", "event", "own", "time", "weather", "prop", "style", "camera")
_BESIDE = ("above", "below", "behind", "in front", "beside")
_JOINTS = ("of", "in", "and", "to", "near")  # which join what comes before to what comes after
ADVICE = {
    "a camera that goes along": "it can pan, tilt and zoom",
    "a camera that circles around": "it can pan, tilt and zoom",
    "a view from above": "it sees everything from the front",
    "a view from below": "it sees everything from the front",
    "another angle": "it sees everything from the front",
    "the style": "it has pencil, pixel art, watercolor, black and white, sepia, night vision and its own",
    "the season": "name the weather or the place instead",
    "swaying": "it has motions of the whole: to a side, up, down, bouncing, falling, spinning, growing, shrinking",
    "eating": "a bite can be taken out of food: a pizza, a cookie, an apple",
    "the wind": "it has rain, snow, fog and clouds",
}


@dataclass(frozen=True)
class Restated:
    """A prompt in the lexicon's words."""

    prompt: str
    changed: bool  # whether anything is said otherwise
    unknown: tuple[str, ...] = ()  # words that were left out, in order
    beyond: tuple[tuple[str, str], ...] = ()  # what cannot be drawn, with the nearest that can
    instead: tuple[tuple[str, str], ...] = ()  # what cannot be drawn, with what is drawn in its place
    cannot: tuple[Found, ...] = ()  # what cannot be shown, with why
    absent: tuple[str, ...] = ()  # what the prompt says is not there


def restate(prompt: str, own: Iterable[str] = (), keep: bool = False, stand_ins: bool = True) -> Restated:
    """Tell `prompt` in the lexicon's words.

    own: words that a model has learned besides those of the lexicon. keep: leave unknown words where they are.
    stand_ins: tell what cannot be drawn as the nearest that can. Raises SoraError for a prompt that is too long.
    """
    reading = read(prompt)
    whole = reading.facts is not None and not reading.unknown
    plain = "".join(c if c in _MARKS else unicodedata.normalize("NFKC", c) for c in prompt)
    lost: list[Found] = []
    text = plain if whole else respell(plain, own)
    text = read_chinese_skies(read_skies(text, whole), whole)
    for reader in (read_camera, read_chinese_camera):
        text, found = reader(text)
        lost += found
    pieces = cut(text, own)
    drawn_as = [] if keep or not stand_ins else stand_in(pieces)
    was = [piece.new for piece in pieces]
    beyond: list[Found] = []
    absent = read_english(pieces) if reading.language == "en" else read_chinese(pieces)
    _imply(pieces, whole)
    if not whole:
        beyond += _night_for_moons(pieces)
    _settle_water(pieces, whole)
    _leave_meals(pieces)
    _cut_out(pieces, keep, any(p.new != "" and p.kind in _TELLING for p in pieces))
    if reading.language == "en":
        close_gaps(pieces)
    _tidy(pieces)
    if reading.language == "en":
        agree(text, pieces)
    beyond += [(piece.text, piece.why) for piece in pieces if piece.kind == "beyond"]
    beyond += _undrawn(pieces)
    unknown = _unknown(pieces)
    lost += [(piece.text, piece.why) for piece in pieces if piece.kind == "cannot"]
    instead = [(piece.text, name) for piece, name in drawn_as if piece.kind == "subject" and piece.new]
    changed = bool(lost) or text != plain or any(p.new is not None for p in pieces)
    changed = changed or [piece.new for piece in pieces] != was
    said = joined(text, pieces).strip() if changed else prompt
    # An empty prompt would be refused: a word that asks for nothing stands for one of which nothing is left.
    said = said or ("它" if reading.language == "zh" else "it") if prompt.strip() else prompt
    return Restated(
        said,
        said != prompt,
        tuple(dict.fromkeys(unknown)),
        tuple(dict.fromkeys(beyond)),
        tuple(dict.fromkeys(instead)),
        tuple(lost),
        tuple(absent),
    )


def _imply(pieces: list[Piece], whole: bool) -> None:
    """Settle phrases that say the place or the light by what is seen: "orange sky", "snow everywhere".

    whole: the lexicon reads all of the prompt, phrases with them: they then say no more than their words, but for where
    it is in a prompt that names no place.
    """
    for piece in pieces:
        if whole and piece.familiar and piece.new and _says(piece.text, piece.concept):
            # A name of several words is no more than what it names: a hot air balloon is not hot.
            piece.new = piece.new if piece.kind == "subject" and _says_else(piece) else None
    scenes = [p for p in pieces if p.kind == "scene"]
    places = {p.concept for p in scenes if p.new is None or not (p.familiar or p.new in _ELSE or p.new == "")}
    for piece in pieces:
        if piece.new and piece.kind == "scene" and _is_said(pieces, piece):
            piece.drop()  # "bamboo in a forest"
            continue
        if piece.new is None and not places and piece.text in _PLACES:
            piece.new = _PLACES[piece.text]
            places.add("snowy mountains")
            continue
        if (
            piece.new != ""
            and piece.concept in _OF_A_PLACE
            and not whole
            and not any(p.kind == "scene" for p in pieces)
        ):
            name, where, chinese = _OF_A_PLACE[piece.concept]
            piece.new = chinese if piece.chinese else f"{name} {where}"
            continue
        if piece.new is None or piece.new == "":
            continue
        if piece.kind == "subject":
            continue
        if piece.familiar and whole and (places or piece.kind != "scene") and piece.kind != "event":
            piece.new = None
        elif piece.new in _ELSE and places - {piece.concept}:
            piece.new = _ELSE[piece.new]
        elif piece.new in _ELSE and piece.concept in places:
            piece.new = "" if not piece.familiar else None
        elif piece.kind == "scene":
            places.add(piece.concept)
    if any(piece.new == "in a city at night" for piece in pieces):
        for piece in pieces:
            if piece.kind == "time" and piece.concept == "night":
                piece.drop()  # "on a road at night"


def _is_said(pieces: list[Piece], place: Piece) -> bool:
    """Tell whether a place that is implied, "chewing bamboo", is named besides; takes out a "with" before it."""
    i = pieces.index(place)
    if place.loose or not i or not any(p.concept == place.concept for p in pieces if p is not place and p.new != ""):
        return False
    before = pieces[i - 1]
    if before.text == "with":
        before.drop()
    return before.text == "with" or before.kind not in ("function", "relation", *_NAMED)


def _says(text: str, concept: str) -> bool:
    """Tell whether the lexicon reads `concept` in `text` itself: a phrase of the table adds nothing."""
    return concept in load_lexicon().scan(text)[0]


def _says_else(piece: Piece) -> bool:
    """Tell whether the words of a name describe something that what it is told as does not."""
    lexicon = load_lexicon()
    was, now = (
        {n for n in lexicon.scan(t)[0] if lexicon[n].kind in ("mood", "size", "colour", "weather", "time")}
        for t in (piece.text, piece.new or "")
    )
    return bool(was - now)


def _night_for_moons(pieces: list[Piece]) -> list[Found]:
    """Make a moon beside somebody a night, as there is none to draw; returns it with the nearest that there is."""
    named = {p.concept for p in pieces if p.kind == "subject" and p.new != ""}
    moons = [p for p in pieces if p.kind == "subject" and p.concept == "moon" and p.new != ""]
    if not moons or not named - {"moon"} or "moon" in drawn():
        return []
    found = _undrawn(moons)
    for moon in moons:
        moon.new, moon.kind, moon.concept = ("夜里" if moon.chinese else "at night"), "time", "night"
        i = pieces.index(moon) - 1
        while i >= 0 and not pieces[i + 1].loose and pieces[i].kind in ("colour", "size", "mood"):
            pieces[i].drop()
            i -= 1
    return found


def _settle_water(pieces: list[Piece], whole: bool) -> None:
    """Keep boats afloat: to them the sea is what they sail on, and no place under water.

    whole: the lexicon reads all of the prompt: where another place is named in it, the sea is none.
    """
    if whole and any(p.kind == "scene" and p.new != "" and p.concept != "underwater" for p in pieces):
        return
    names = {p.concept for p in pieces if p.kind == "subject" and p.new != ""}
    if not names or any(LOOKS[name].kind != "boat" for name in names):
        return
    for piece in pieces:
        if piece.concept == "underwater" and piece.text in _ON_WATER:
            piece.new, piece.concept = ("海边" if piece.chinese else "at the beach"), "beach"


def _leave_meals(pieces: list[Piece]) -> None:
    """Take out that somebody eats, where no food is named: a bite would be taken out of them."""
    if any(p.kind == "subject" and LOOKS[p.concept].kind == "food" for p in pieces):
        return
    somebody = any(p.kind in ("subject", "own") and p.new != "" for p in pieces)
    for piece in pieces:
        active = piece.text.split()[-1] if not piece.chinese else piece.text
        if piece.concept == "bite" and somebody and not _bitten(active):
            piece.drop()
            piece.kind, piece.why = "cannot", "eating"


def _bitten(word: str) -> bool:
    """Tell whether a word of the event says that a bite is taken out of something."""
    return word in ("bitten", "eaten", "bite", "bites", "mark", "marks", "taken", "it", "of", "into") or (
        not word.isascii() and any(part in word for part in ("被", "口", "痕", "缺"))
    )


def _cut_out(pieces: list[Piece], keep: bool, tells: bool) -> None:
    """Take out what means nothing and what is not known; `keep`: the latter stays.

    tells: something of the prompt is known. Where nothing is, its words stay, so that it is no empty one.
    """
    if keep:
        for piece in pieces:
            piece.new = None if piece.kind in ("unknown", "other", "beyond") else piece.new
        return
    for i, piece in enumerate(pieces):
        if piece.kind not in ("unknown", "other", "beyond") or (piece.kind == "unknown" and not tells):
            continue
        piece.drop()
        # Its article goes with it, unless a name comes after: "a fluffy cat".
        after = next((p for p in pieces[i + 1 :] if p.new != ""), None)
        j = i
        while j and not pieces[j].loose and pieces[j - 1].new == "":
            j -= 1
        if j and not pieces[j].loose and pieces[j - 1].concept == "a" and pieces[j - 1].text not in _SUBJECTS:
            pieces[j - 1].new = pieces[j - 1].new if after is not None and after.kind in _NAMED else ""


def _tidy(pieces: list[Piece]) -> None:
    """Take out joints beside a gap that join nothing any more, and those that our own words bring along."""
    kept = [p for p in pieces if p.new != ""]
    for n in range(len(kept) - 1, -1, -1):
        piece, after = kept[n], kept[n + 1] if n + 1 < len(kept) else None
        if after is not None and after.new and after.new.startswith("在") and piece.text.endswith("在"):
            after.new = after.new[1:]
        said = after.new or "" if after is not None and not after.loose else ""
        brings = said.startswith(("at ", "in ", "on ", "under", "while "))
        if brings and piece.concept == "a" and piece.new is None and piece.text not in _SUBJECTS:
            piece.drop()  # "in an orange sky" is "at sunset"
            kept.pop(n)
            continue
        i = pieces.index(piece)
        if brings and piece.concept == "under" and piece.new is None:
            piece.drop()  # "under a" before "at sunset"
            kept.pop(n)
            continue
        if piece.kind == "relation" and piece.concept in _BESIDE and piece.new is None and not piece.chinese:
            # "under the chandelier": what is below what is not known
            last = next((p for p in pieces[i + 1 :] if p.loose or p.new != ""), None)
            gone = (
                i + 1 < len(pieces)
                and not pieces[i + 1].loose
                and any(
                    p.kind in ("unknown", "other", "beyond", "not", "cannot")
                    for p in pieces[i + 1 : i + 4]
                    if p.new == ""
                )
            )
            nouns = [p for p in kept[n + 1 : n + 5] if not p.loose and p.kind in (*_NAMED, "time", "weather")]
            if brings or (gone and (last is None or last.loose or not nouns)):
                piece.drop()
                kept.pop(n)
            continue
        if piece.kind != "function" or piece.concept not in _JOINTS or piece.chinese:
            continue
        gap = any(p.new == "" for p in pieces[max(0, i - 1) : i + 2])
        ends = gap and (after is None or after.loose or (n == 0 and piece.concept in ("of", "and")))
        if brings or ends:
            piece.drop()
            kept.pop(n)


def _unknown(pieces: list[Piece]) -> list[str]:
    """List what is not known; Chinese characters in a row are one word."""
    words: list[str] = []
    last: Piece | None = None
    for piece in pieces:
        if piece.kind in ("unknown", "other"):
            if last is not None and piece.chinese and last.chinese and piece.start == last.end:
                words[-1] += piece.text
            else:
                words.append(piece.text)
            last = piece
        else:
            last = None
    return words


def _undrawn(pieces: list[Piece]) -> list[tuple[str, str]]:
    """List the subjects of the lexicon that the model was not trained on, with the nearest that it was."""
    found = []
    for piece in pieces:
        if piece.kind == "subject" and piece.concept not in drawn() and piece.new != "":
            nearest = load_table("zh" if piece.chinese else "en").nearest
            name = load_lexicon()[piece.concept]
            same = [piece.text, piece.concept, *(name.zh if piece.chinese else name.en)]
            found.append((piece.text, next((nearest[word] for word in same if word in nearest), "")))
    return found
