"""English nouns that only describe or count, and words that are nouns and verbs: a star-shaped cookie has no star."""

from __future__ import annotations

from .noun_phrases_en import ARTICLES, DESCRIBING, NAMES, is_single, piece_after, piece_before
from .pieces import Piece

# fmt: off
_MADE = frozenset({
    "shaped", "sized", "themed", "like", "style", "patterned", "print", "printed", "eyed", "eared", "headed", "legged",
    "tailed", "haired", "nosed", "faced", "footed", "winged", "bellied", "bodied", "toothed", "horned", "necked",
    "loving", "eating", "made", "drawn", "pulled", "ridden", "infested", "free", "proof", "flavoured", "flavored",
    "inspired", "type", "esque", "watching", "hunting", "catching", "chasing", "costumed", "looking", "masked",
    "coloured", "hued", "tinted", "toned", "scented", "riding", "driving", "backed", "hearted", "brained", "minded",
    "friendly", "powered", "adorned", "embroidered",
    "bred", "borne", "branded", "wielding", "bearing", "carrying",
})
_MADE_ALONE = frozenset({"coloured", "shaped", "sized", "themed", "patterned", "flavoured",
"flavored"})  # without a hyphen too,
_LARGE = frozenset({
    "elephant", "whale", "dinosaur", "house", "castle", "tower", "bus", "truck", "car", "building", "giant", "king",
    "mountain", "skyscraper", "horse", "bear", "planet", "monster", "jumbo", "over", "super", "human", "man", "ship",
    "train", "plane", "airplane", "rocket", "family", "mammoth", "titan", "city", "island", "moon", "hippo", "rhino",
})
_SMALL = frozenset({
    "mouse", "ant", "bee", "ladybug", "thumb", "pea", "finger", "palm", "hand", "pocket", "fist", "coin", "button",
    "snail", "chick", "pint", "bite", "doll", "toy", "under", "insect", "bug", "grain", "seed", "nut", "cookie", "bean",
    "marble", "fly", "flea", "butterfly", "strawberry", "cherry", "hamster", "thimble", "walnut", "teacup", "penny",
})
# Nouns of the lexicon that are verbs too, and what they then say.
_VERBS_TOO = {
    "ducks": "goes", "duck": "go", "rockets": "flies", "rocket": "fly", "taxis": "drives", "taxies": "drives",
    "snakes": "glides", "snake": "glide", "towers": "stands", "tower": "stand", "balloons": "grows", "balloon": "grow",
    "mushrooms": "grows", "mushroom": "grow", "trains": "", "ships": "", "bears": "", "stars": "", "fishes": "",
    "fish": "", "parrots": "", "hounds": "", "drums": "", "planes": "glides", "coaches": "", "houses": "", "crowns": "",
    "crabs": "glides", "kites": "", "homes": "", "watches": "", "spooks": "", "banks": "flies",
    "cranes": "",
}
# What a word before "of" only counts or heaps up: a sea of sunflowers is no sea.
_HEAPS = frozenset({
    "sea", "ocean", "forest", "mountain", "mountains", "cloud", "clouds", "storm", "shower", "wave", "waves", "river",
    "galaxy", "universe", "planet", "desert", "rain", "snow", "blizzard", "hill", "hills", "island", "jungle", "wall",
    "carpet", "blanket", "row", "rows", "line", "pile", "piles", "group", "herd", "flock", "pack", "swarm", "school",
    "pod", "pride", "colony", "team", "crowd", "fleet", "family", "army", "troop", "gang", "litter", "train", "string",
    "stack", "ring", "circle", "parade", "heap", "mound", "basket", "bowl", "plate", "box", "bucket", "world", "star",
    "trio", "streets", "town", "city", "garden",
})
# Verbs that are nouns after an article.
_NOUNS_TOO = frozenset({"land", "lands", "drop", "drops", "slide", "slides", "sink", "pass", "head", "heads", "cross"})
_LINKS = frozenset({"is", "are", "was", "were", "and", "that", "which", "who", "then", "slowly", "suddenly", "just"})
_ALONG = frozenset({
    "across", "through", "along", "past", "towards", "toward", "into", "around", "between", "away", "off", "forward",
    "forwards", "backwards", "ahead", "by", "out of",
})
# fmt: on
_MOVERS = frozenset({"subject", "own", "beyond"})
_COMPARED = frozenset({"fast", "quick", "slow", "quickly", "slowly"})


def read_described(pieces: list[Piece]) -> None:
    """Read nouns that only describe: "a star-shaped cookie", "an elephant-sized cat", "an apple green car"."""
    for i, piece in enumerate(pieces):
        made = piece.text in _MADE or (
            piece.text.endswith(("ed", "ing"))
            and piece.hyphen
            and i > 0
            and pieces[i - 1].kind in ("subject", "unknown", "beyond")
        )
        if made and i and piece.kind != "colour" and (piece.hyphen or (piece.text in _MADE_ALONE and not piece.loose)):
            first = i - 1
            while first and pieces[first].hyphen:
                first -= 1
            nouns = [word for each in pieces[first:i] for word in each.text.split()]
            if pieces[first].text in ARTICLES or pieces[first].kind in ("colour", "size", "function"):
                continue
            for each in pieces[first:i]:
                each.drop()
                each.kind = "empty"
            piece.drop()
            if piece.text == "sized" and set(nouns) & (_LARGE | _SMALL):
                piece.new = piece.concept = "large" if set(nouns) & _LARGE else "small"
                piece.kind = "size"
            else:
                piece.text, piece.kind = " ".join([*nouns, piece.text]), "unknown"
            continue
        after = piece_after(pieces, i)
        if after is None or piece.kind in (*DESCRIBING, "number", "function", "empty", "not", "style"):
            continue
        compared = after.kind in DESCRIBING or after.text in _COMPARED
        if compared and after.hyphen and not (i and piece.hyphen):
            piece.drop()  # "ruby-red", "mirror-calm"
            piece.kind = "empty"
        elif compared and piece.kind == "subject" and is_single(piece):
            # "a rocket fast rabbit": a name comes after what is compared
            then = next((p for p in pieces[i + 2 : i + 5] if p.kind not in DESCRIBING or p.loose), None)
            if then is not None and then.kind in ("subject", "own") and not then.loose:
                piece.drop()
                piece.kind = "empty"


def read_verbs_like_nouns(pieces: list[Piece]) -> None:
    """Read verbs that are nouns of the lexicon's as well: "a fox ducks behind a tree"."""
    for i, piece in enumerate(pieces):
        before, after = piece_before(pieces, i), piece_after(pieces, i)
        if piece.text not in _VERBS_TOO or before is None or piece.kind not in ("subject", "other"):
            continue
        j = i - 1
        while (
            j and not pieces[j].loose and (pieces[j].concept in ("slowly", "suddenly", "then") or pieces[j].new == "")
        ):
            j -= 1
        if pieces[j].kind not in ("subject", "own") or is_single(pieces[j]) != piece.text.endswith("s"):
            continue
        if after is not None and after.kind in ("subject", "own", "unknown", "motion") and piece.text != "stars":
            continue
        piece.new = _VERBS_TOO[piece.text]
        piece.kind, piece.concept = ("motion", "move") if piece.new else ("empty", "")


def read_verbs_as_nouns(pieces: list[Piece]) -> None:
    """Take out verbs that are nouns here: "a shadow of a cat", "the roll of the drums"."""
    for i, piece in enumerate(pieces):
        before, after = piece_before(pieces, i), piece_after(pieces, i)
        noun = before is not None and before.text in ARTICLES and after is not None and after.text == "of"
        if noun and piece.kind in ("motion", "relation") and not piece.text.endswith(("ing", "ed")):
            piece.drop()
            piece.kind = "empty"
            after.drop()  # type: ignore[union-attr]
        elif piece.text in _NOUNS_TOO and piece.kind in ("motion", "direction") and _is_described(pieces, i):
            piece.drop()
            piece.kind = "other"  # "in a magical land"


def _is_described(pieces: list[Piece], i: int) -> bool:
    """Tell whether an article stands before the word at `i`, with or without what describes it."""
    while i and not pieces[i].loose:
        i -= 1
        if pieces[i].text in ("on", "by", "over"):
            return pieces[i + 1].text.startswith("land")  # "a crab on dry land"
        if pieces[i].text in ARTICLES:
            return pieces[i].text not in ("that", "this", "its", "one")
        if pieces[i].kind not in (*DESCRIBING, "empty", "unknown"):
            return False
    return False


# fmt: off
_PARTS = frozenset({
    "eye", "eyes", "ear", "ears", "tail", "tails", "paw", "paws", "fur", "nose", "wing", "wings", "head", "heads",
    "mouth", "teeth", "legs", "leg", "feather", "feathers", "beak", "trunk", "mane", "horn", "horns", "claws", "shell",
    "neck", "back", "face", "feet", "foot", "hooves", "whiskers", "tongue", "belly", "tummy", "wheels", "sails",
    "lights",
    "headlights", "engine", "engines", "petals", "flame", "fins", "fin", "tentacles", "antennae", "stripes", "spots",
})
# fmt: on


def read_parts(pieces: list[Piece]) -> None:
    """Take out parts of somebody: "the cat's eyes glow" is about a cat, and "a dog with cat eyes" is about a dog."""
    for i, piece in enumerate(pieces):
        after = piece_after(pieces, i)
        whose = piece.end - piece.start > len(piece.text) and piece.new is None
        if piece.kind == "subject" and whose and after is not None and after.text in _PARTS:
            after.drop()
            after.kind = "empty"


def read_heaps(pieces: list[Piece]) -> None:
    """Read words that only say how many: "a sea of sunflowers", "a herd of cows"."""
    for i, piece in enumerate(pieces):
        after = piece_after(pieces, i)
        if piece.text not in _HEAPS or after is None or after.text != "of":
            continue
        noun = next((p for p in pieces[i + 2 : i + 6] if p.kind not in (*DESCRIBING, "number", "empty")), None)
        if noun is None or noun.kind not in NAMES or any(p.loose for p in pieces[i + 2 : pieces.index(noun) + 1]):
            continue
        article = piece_before(pieces, i)
        for each in (*([article] if article is not None and article.text in ("a", "an") else []), piece, after):
            each.drop()
            each.kind = "empty"


def read_unknown_motions(pieces: list[Piece]) -> None:
    """Read an unknown verb that leads somewhere as moving: "a car ripping through the woods", "a crab sidles left"."""
    for i, piece in enumerate(pieces):
        before, after = piece_before(pieces, i), piece_after(pieces, i)
        if piece.kind != "unknown" or piece.new is not None or before is None or after is None:
            continue
        form = "moving" if piece.text.endswith("ing") else "moves" if piece.text.endswith(("s", "ed")) else ""
        j = i - 1
        while j and not pieces[j].loose and (pieces[j].text in _LINKS or pieces[j].new == ""):
            j -= 1
        goes = (
            after.text in _ALONG
            or after.text.split()[0] in _ALONG
            or (after.kind == "direction" and after.text not in ("up", "down"))
        )
        if not goes and after.text in ("for", "to"):
            place = next((p for p in pieces[i + 2 : i + 5] if p.kind not in ("function", *DESCRIBING)), None)
            goes = place is not None and place.kind == "scene" and not place.loose
        if form and goes and len(piece.text) > 3 and not piece.text.endswith("ss") and pieces[j].kind in _MOVERS:
            piece.new, piece.kind, piece.concept = form, "motion", "move"
