"""Words that are not the lexicon's, and which of its words say the same to a picture.

`synonyms.json` has them by language. A noun stands for its plural too and a verb for all of its forms: only what is
irregular is written down. Some entries have no counterpart: what the model cannot show, with why; what it cannot draw,
with the nearest that it can; and words that say nothing to a picture.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from .lexicon import load_lexicon
from .phrases_en import finite, participle

# Articles and the like, which may stand inside a phrase: "at the edge of the woods".
# fmt: off
SKIPPED = frozenset({
    "a", "an", "the", "some", "any", "my", "your", "his", "her", "its", "our", "their", "this", "that", "these",
    "those", "very", "so", "really", "quite", "rather",
})
_IRREGULAR = {
    "swim": ("swam", "swum"), "fly": ("flew", "flown"), "run": ("ran",), "go": ("went", "gone"),
    "rise": ("rose", "risen"),
    "fall": ("fell", "has fallen", "have fallen"),
    "spin": ("spun",), "stand": ("stood",), "sit": ("sat",), "lie": ("lay",),
    "sleep": ("slept",), "drive": ("drove",), "ride": ("rode",), "leap": ("leapt",), "creep": ("crept",),
    "grow": ("grew", "grown"), "shrink": ("shrank", "shrunk"), "sink": ("sank", "sunk"), "eat": ("ate",),
    "bite": ("bit",), "burst": ("burst",), "come": ("came",), "get": ("got",), "become": ("became",),
    "take": ("took",), "make": ("made",), "freeze": ("froze", "frozen"), "stride": ("strode",), "tread": ("trod",),
    "shoot": ("shot",), "blow": ("blew",), "draw": ("drew",), "dive": ("dove",), "flee": ("fled",), "speed": ("sped",),
    "keep": ("kept",), "hang": ("hung",), "feed": ("fed",), "swell": ("swelled",), "tear": ("tore",),
}
_DOUBLED = frozenset({
    "hop", "run", "swim", "get", "spin", "drop", "jog", "trot", "skip", "bob", "flit", "flap", "zip", "pop", "snap",
    "nod", "hug", "wag", "drag", "tug", "grab", "dig", "cut", "chop", "shop", "win", "hit", "knit", "sob", "rob",
    "rub", "pat", "pet", "hum", "drum", "strum", "drip", "step", "clap", "spit", "sip", "beg", "flip", "dip", "slip",
    "sit", "tip", "chug", "pan",
})
_PLURALS = {
    "goose": "geese", "mouse": "mice", "ox": "oxen", "child": "children", "person": "people", "buffalo": "buffaloes",
    "fish": "fish", "sheep": "sheep", "tomato": "tomatoes", "potato": "potatoes", "mosquito": "mosquitoes",
    "flamingo": "flamingos",
}
# fmt: on
ACTS = "swaying"  # why what somebody does cannot be shown, see ADVICE in restate.py


@dataclass(frozen=True)
class Entry:
    """What stands in the table for a word or phrase."""

    kind: str  # "ours", "empty", "cannot", "beyond" or "other": another word that only looks like some of ours
    say: str = ""  # our words; what cannot be shown; or the nearest that can be drawn
    familiar: bool = False  # the lexicon has all of its words, if not the phrase


@dataclass(frozen=True)
class Table:
    """The phrases of a language, each as its words or Chinese characters."""

    entries: dict[tuple[str, ...], Entry]
    starts: frozenset[tuple[str, ...]]  # all beginnings of phrases: how far it is worth to look ahead
    nearest: dict[str, str]  # what cannot be drawn -> the nearest that can

    def longest(self, units: list[str], skipped: frozenset[str] = frozenset()) -> tuple[int, Entry | None]:
        """Find the longest phrase that `units` begin with: how many of them it takes, and its entry, or (0, None)."""
        key: tuple[str, ...] = ()
        found: tuple[int, Entry | None] = (0, None)
        for n, unit in enumerate(units, 1):
            longer = (*key, unit)
            if longer in self.starts:
                key = longer
            elif not key or unit not in skipped:
                break
            if n and units[n - 1] == key[-1] and key in self.entries:
                found = (n, self.entries[key])
        return found


@lru_cache(maxsize=1)
def _rows() -> dict:
    return json.loads(Path(__file__).with_name("synonyms.json").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def drawn() -> frozenset[str]:
    """List the subjects that sora-mini was trained on; the lexicon has words for more of them."""
    return frozenset(_rows()["drawn"])


@lru_cache(maxsize=1)
def young() -> frozenset[str]:
    """List the English words for young animals that come after their parents': "bear cub"."""
    return frozenset(_rows()["en"]["young"])


@lru_cache(maxsize=1)
def load_plain() -> frozenset[str]:
    """List English words that are none of ours and near to one of them in letters: they are no misspellings."""
    return frozenset(_rows()["en"]["plain"])


def _doubled(verb: str) -> str:
    return verb + verb[-1] if verb in _DOUBLED else verb


def _past(verb: str) -> list[str]:
    """List the past forms of a verb of one word."""
    if verb in _IRREGULAR:
        return list(_IRREGULAR[verb])
    if verb.endswith("e"):
        return [verb + "d"]
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return [verb[:-1] + "ied"]
    return [_doubled(verb) + "ed"]


def _ing(phrase: str) -> str:
    """Put a verb phrase into the present participle: "lie down" -> "lying down", "hop" -> "hopping"."""
    verb, _, rest = phrase.partition(" ")
    if verb.endswith("ie"):
        made = verb[:-2] + "ying"
    elif verb in ("flee", "see", "tiptoe"):
        made = verb + "ing"
    elif verb in _DOUBLED:
        made = _doubled(verb) + "ing"
    else:
        made = participle(verb)
    return f"{made} {rest}".strip()


def verb_forms(theirs: str, ours: str) -> dict[str, str]:
    """Map all forms of a verb phrase to the same form of ours; the past becomes the present."""
    verb, _, rest = theirs.partition(" ")
    forms = {f"{past} {rest}".strip(): finite(ours) for past in _past(verb)}
    return {**forms, theirs: ours, finite(theirs): finite(ours), _ing(theirs): _ing(ours)}


def plural(noun: str) -> str:
    """Return the plural of a noun of one or more words."""
    start, _, last = noun.rpartition(" ")
    if last in _PLURALS:
        return f"{start} {_PLURALS[last]}".strip()
    if noun.endswith("man"):
        return noun[:-2] + "en"
    if noun.endswith(("s", "x", "ch", "sh", "z")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    if noun.endswith(("wolf", "calf", "loaf")):
        return noun[:-1] + "ves"
    return noun + "s"


def _units(phrase: str, english: bool) -> tuple[str, ...]:
    if not english:
        return tuple(phrase)
    first, *rest = phrase.split()
    return (first, *(word for word in rest if word not in SKIPPED))


def _english(rows: dict) -> tuple[dict[str, Entry], dict[str, str]]:
    """Lay out the English rows: phrase -> entry, and what cannot be drawn -> the nearest that can."""
    said = {e: say.strip() for kind in ("phrases",) for say, listed in rows[kind].items() for e in listed}
    for say, listed in rows["verbs"].items():
        for each in listed:
            for form, ours in verb_forms(each, say).items():
                said.setdefault(form, ours)
    many = {c.name: next((form for form in c.en if form == plural(c.name)), c.name) for c in load_lexicon().concepts}
    for name, listed in rows["nouns"].items():
        for each in listed:
            said.setdefault(each, name)
            said.setdefault(plural(each), many.get(name, name))
    nearest = {form: say for say, listed in rows["nearest"].items() for e in listed for form in (e, plural(e))}
    entries = {phrase: Entry("ours", say) for phrase, say in said.items()}
    for verb in rows["acts"]:
        forms = verb_forms(verb, "move")
        entries = {**{form: Entry("cannot", ACTS) for form in forms if form != verb}, **entries}
    return entries, nearest


def _chinese(rows: dict) -> tuple[dict[str, Entry], dict[str, str]]:
    said = {e: Entry("ours", say) for say, listed in rows["phrases"].items() for e in listed}
    return said, {e: say for say, listed in rows["nearest"].items() for e in listed}


@lru_cache(maxsize=2)
def load_table(language: str) -> Table:
    """Load the words of "en" or "zh" that are not the lexicon's; a form that the lexicon has means what it says."""
    rows = _rows()[language]
    english = language == "en"
    phrases, nearest = _english(rows) if english else _chinese(rows)
    for why, listed in rows["cannot"].items():
        phrases |= {each: Entry("cannot", why) for each in listed}
    phrases = {**{each: Entry("beyond", say) for each, say in nearest.items()}, **phrases}
    for kind in ("empty", "other"):
        phrases = {**{each: Entry(kind) for each in rows[kind]}, **phrases}
    lexicon = load_lexicon()
    own = lexicon.surface(language)
    entries = {}
    for phrase, entry in phrases.items():
        if phrase not in own:
            familiar = not lexicon.scan(phrase)[1]
            entries[_units(phrase, english)] = Entry(entry.kind, entry.say, familiar)
    starts = frozenset(units[:n] for units in entries for n in range(1, len(units) + 1))
    return Table(entries, starts, nearest)
