"""English grammar that decides what a word means: negations, comparisons, compounds, and words with two meanings.

A word that is read falsely is worse than one that is not read: a mouse pad is no mouse, and to park a car is no park.
"""

from __future__ import annotations

from .pieces import Piece
from .synonyms import young

# fmt: off
_NOT = frozenset({
    "no"
    "", "without", "neither", "nor", "zero", "minus", "lacking", "excluding", "except", "nobody", "forget", "ignore",
    "omit", "exclude", "avoid", "scrap",
})
# Negations of several words.
_NOT_LONG = frozenset({
    "except for"
    "", "instead of", "rather than", "devoid of", "free of", "empty of", "clear of", "anything but", "void of",
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


# fmt: off
# What a comparison leaves of a word: "bigger than a house".
_THAN = {
    "bigger"
    "": "large", "larger": "large", "taller": "large", "higher": "large", "greater": "large", "smaller": "small",
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
            return _listed(pieces, _phrase_end(pieces, at + 1))
        after, beyond = pieces[at + 1], pieces[at + 2] if at + 2 < len(pieces) else None
        if (
            at == end
            and pieces[at].text == "and"
            and not pieces[at].loose
            and after.kind in (*_NAMES, "prop", "weather")
            and (beyond is None or beyond.loose or beyond.kind == "function")
        ):
            return at + 2
        if not pieces[at].loose or pieces[at].kind not in (*_NAMES, *_DESCRIBING, "prop", "weather", "scene"):
            break
        at = _phrase_end(pieces, at)
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
                end = _listed(pieces, _phrase_end(pieces, end))
        elif piece.text in _NEVER and (piece.kind == "unknown" or (i + 1 < len(pieces) and pieces[i + 1].text == "t")):
            end = i + 1
            if end < len(pieces) and pieces[end].text in _ONLY:
                piece.drop()
                piece.kind = "empty"
                continue
            while end < len(pieces) and (pieces[end].text in ("t", "not", "be", "is") or pieces[end].kind == "empty"):
                end += 1
            end = _phrase_end(pieces, end)
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
            for each in pieces[i : _phrase_end(pieces, i + 1)]:
                each.drop()
                each.kind = "empty"
            continue
        second = piece.text == "as" and any(p.text == "as" for p in pieces[max(0, i - 3) : i]) and not piece.loose
        if (piece.text == "like" and piece.kind == "unknown" and not piece.hyphen) or second:
            after = _after(pieces, i)
            while after is not None and (after.text in _ARTICLES or after.kind in ("empty", "mood")):
                after = _after(pieces, pieces.index(after))
            if after is None or after.kind in ("style", "motion"):
                piece.drop()
                continue
            for each in pieces[i : _phrase_end(pieces, i + 1)]:
                each.drop()
                each.kind = "empty"


# What comes after a noun and a hyphen, and makes a word of it that describes something else.
# fmt: off
_MADE = frozenset({
    "shaped"
    "", "sized", "themed", "like", "style", "patterned", "print", "printed", "eyed", "eared", "headed", "legged",
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
    "snail"
    "", "chick", "pint", "bite", "doll", "toy", "under", "insect", "bug", "grain", "seed", "nut", "cookie", "bean",
    "marble", "fly", "flea", "butterfly", "strawberry", "cherry", "hamster", "thimble", "walnut", "teacup", "penny",
})
# Nouns of the lexicon that are verbs too, and what they then say.
_VERBS_TOO = {
    "ducks": "goes", "duck": "go", "rockets": "flies", "rocket": "fly", "taxis": "drives", "taxies": "drives",
    "snakes"
    "": "glides", "snake": "glide", "towers": "stands", "tower": "stand", "balloons": "grows", "balloon": "grow",
    "mushrooms": "grows", "mushroom": "grow", "trains": "", "ships": "", "bears": "", "stars": "", "fishes": "",
    "fish"
    "": "", "parrots": "", "hounds": "", "drums": "", "planes": "glides", "coaches": "", "houses": "", "crowns": "",
    "crabs": "glides", "kites": "", "homes": "", "watches": "", "spooks": "", "banks": "flies",
    "cranes": "",
}
# What a word before "of" only counts or heaps up: a sea of sunflowers is no sea.
_HEAPS = frozenset({
    "sea", "ocean", "forest", "mountain", "mountains", "cloud", "clouds", "storm", "shower", "wave", "waves", "river",
    "galaxy", "universe", "planet", "desert", "rain", "snow", "blizzard", "hill", "hills", "island", "jungle", "wall",
    "carpet", "blanket", "row", "rows", "line", "pile", "piles", "group", "herd", "flock", "pack", "swarm", "school",
    "pod"
    "", "pride", "colony", "team", "crowd", "fleet", "family", "army", "troop", "gang", "litter", "train", "string",
    "stack", "ring", "circle", "parade", "heap", "mound", "basket", "bowl", "plate", "box", "bucket", "world", "star",
    "trio", "streets", "town", "city", "garden",
})
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
            if pieces[first].text in _ARTICLES or pieces[first].kind in ("colour", "size", "function"):
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
        after = _after(pieces, i)
        if after is None or piece.kind in (*_DESCRIBING, "number", "function", "empty", "not", "style"):
            continue
        compared = after.kind in _DESCRIBING or after.text in _COMPARED
        if compared and after.hyphen and not (i and piece.hyphen):
            piece.drop()  # "ruby-red", "mirror-calm"
            piece.kind = "empty"
        elif compared and piece.kind == "subject" and _one(piece):
            # "a rocket fast rabbit": a name comes after what is compared
            then = next((p for p in pieces[i + 2 : i + 5] if p.kind not in _DESCRIBING or p.loose), None)
            if then is not None and then.kind in ("subject", "own") and not then.loose:
                piece.drop()
                piece.kind = "empty"


def read_verbs_like_nouns(pieces: list[Piece]) -> None:
    """Read verbs that are nouns of the lexicon's as well: "a fox ducks behind a tree"."""
    for i, piece in enumerate(pieces):
        before, after = _before(pieces, i), _after(pieces, i)
        if piece.text not in _VERBS_TOO or before is None or piece.kind not in ("subject", "other"):
            continue
        j = i - 1
        while (
            j and not pieces[j].loose and (pieces[j].concept in ("slowly", "suddenly", "then") or pieces[j].new == "")
        ):
            j -= 1
        if pieces[j].kind not in ("subject", "own") or _one(pieces[j]) != piece.text.endswith("s"):
            continue
        if after is not None and after.kind in ("subject", "own", "unknown", "motion") and piece.text != "stars":
            continue
        piece.new = _VERBS_TOO[piece.text]
        piece.kind, piece.concept = ("motion", "move") if piece.new else ("empty", "")


def read_verbs_as_nouns(pieces: list[Piece]) -> None:
    """Take out verbs that are nouns here: "a shadow of a cat", "the roll of the drums"."""
    for i, piece in enumerate(pieces):
        before, after = _before(pieces, i), _after(pieces, i)
        noun = before is not None and before.text in _ARTICLES and after is not None and after.text == "of"
        if noun and piece.kind in ("motion", "relation") and not piece.text.endswith(("ing", "ed")):
            piece.drop()
            piece.kind = "empty"
            after.drop()  # type: ignore[union-attr]


# fmt: off
_PARTS = frozenset({
    "eye", "eyes", "ear", "ears", "tail", "tails", "paw", "paws", "fur", "nose", "wing", "wings", "head", "heads",
    "mouth"
    "", "teeth", "legs", "leg", "feather", "feathers", "beak", "trunk", "mane", "horn", "horns", "claws", "shell",
    "neck"
    "", "back", "face", "feet", "foot", "hooves", "whiskers", "tongue", "belly", "tummy", "wheels", "sails", "lights",
    "headlights", "engine", "engines", "petals", "flame", "fins", "fin", "tentacles", "antennae", "stripes", "spots",
})
# fmt: on


def read_parts(pieces: list[Piece]) -> None:
    """Take out parts of somebody: "the cat's eyes glow" is about a cat, and "a dog with cat eyes" is about a dog."""
    for i, piece in enumerate(pieces):
        after = _after(pieces, i)
        whose = piece.end - piece.start > len(piece.text) and piece.new is None
        if piece.kind == "subject" and whose and after is not None and after.text in _PARTS:
            after.drop()
            after.kind = "empty"


def read_heaps(pieces: list[Piece]) -> None:
    """Read words that only say how many: "a sea of sunflowers", "a herd of cows"."""
    for i, piece in enumerate(pieces):
        after = _after(pieces, i)
        if piece.text not in _HEAPS or after is None or after.text != "of":
            continue
        noun = next((p for p in pieces[i + 2 : i + 6] if p.kind not in (*_DESCRIBING, "number", "empty")), None)
        if noun is None or noun.kind not in _NAMES or any(p.loose for p in pieces[i + 2 : pieces.index(noun) + 1]):
            continue
        article = _before(pieces, i)
        for each in (*([article] if article is not None and article.text in ("a", "an") else []), piece, after):
            each.drop()
            each.kind = "empty"


def read_unknown_motions(pieces: list[Piece]) -> None:
    """Read an unknown verb that leads somewhere as moving: "a car ripping through the woods", "a crab sidles left"."""
    for i, piece in enumerate(pieces):
        before, after = _before(pieces, i), _after(pieces, i)
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
            place = next((p for p in pieces[i + 2 : i + 5] if p.kind not in ("function", *_DESCRIBING)), None)
            goes = place is not None and place.kind == "scene" and not place.loose
        if form and goes and len(piece.text) > 3 and not piece.text.endswith("ss") and pieces[j].kind in _MOVERS:
            piece.new, piece.kind, piece.concept = form, "motion", "move"


def read_compounds(pieces: list[Piece]) -> None:
    """Tell a noun from what describes another noun: a mouse pad, a tiger shark, a bear cub, a ruby-red car."""
    words = young()
    for i, piece in enumerate(pieces):
        after = _after(pieces, i)
        if after is None:
            continue
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
    if after.text.endswith(("ing", "ed", "ly")) or after.text in _STATES:
        return True
    if not after.text.endswith("s") or after.text.endswith("ss"):
        return False
    goes = _after(pieces, i + 1)
    if goes is not None and (
        goes.kind == "direction" or goes.text in _ONWARDS_TO or goes.text.endswith(("ly", "wards"))
    ):
        return True  # "bee zigzags left": a headline
    return i > 0 and (pieces[i - 1].text in _ARTICLES or pieces[i - 1].kind in (*_DESCRIBING, "unknown"))


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
        elif piece.text in ("up", "down", "out", "off") and before is not None and before.kind == "cannot":
            piece.drop()  # "burns down"
            piece.kind = "empty"
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
    return word in _NOUNS and article


def _read_around(pieces: list[Piece], i: int, after: Piece | None) -> None:
    """Read "around" where nobody is circled: "jumps around", "walks around the garden"."""
    piece = pieces[i]
    verb = piece.text.removesuffix("around").strip()
    if verb.startswith(("circ", "orbit", "loop")):
        return
    before = _before(pieces, i)
    if not verb and before is not None and before.text.split()[-1] in ("up", "down", "all", "rises", "rising"):
        piece.new, piece.kind, piece.concept = "near", "function", "near"  # "bubbles drift up around it"
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
