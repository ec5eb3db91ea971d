"""What words mean to the check: classes of words (weapon, food, sport, ...) and names of people, characters and brands.

All of it is in the text files under `data`, which say at their head how they are written. A name counts by itself; a
word only says which kinds of things a prompt is about, and the classifier judges how they stand together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from .normalise import Token, plain_tokens, read_lines
from .speller import Speller

NAMES = {"likeness": "people.txt", "historic": "people.txt", "ip": "works.txt"}
# fmt: off
# Classes whose words somebody may want to hide.
RISKY = (
    "gore", "grave", "harm", "blood", "death", "weapon", "victim", "killer",
    "rape", "porn", "nude", "lewd", "strip", "bodysex", "lust", "underwear",
    "reich", "slur", "dehuman", "hateact", "group",
    "fake", "office", "brand",
    "minor", "study",
    "name likeness", "name historic", "name ip", "maybe likeness", "maybe ip",
)
# Those of them whose words are everybody's: alone they decide nothing, only what stands beside them does. So it is with
# single words of the others that everyday.txt lists: they have the class "everyday" as well.
WEAK = frozenset((
    "harm", "death", "weapon", "victim", "strip", "bodysex", "lust", "underwear", "dehuman", "hateact", "group",
    "office", "brand", "minor", "maybe likeness", "maybe ip",
))
# Words that decide by themselves: the check looks hard for them.
SURE = frozenset(("gore", "grave", "blood", "rape", "porn", "nude", "lewd", "reich", "slur", "study"))
_NOT_SURE = frozenset(("calm", "everyday"))
_IRREGULAR = {
    "shoot": "shot", "beat": "beaten", "bite": "bit bitten", "hang": "hung", "tear": "tore torn", "burn": "burnt",
    "break": "broke broken", "strike": "struck", "throw": "threw thrown", "make": "made", "have": "had has",
    "take": "took taken", "give": "gave given", "ride": "rode", "steal": "stole", "drive": "drove driven",
    "fight": "fought", "slay": "slew", "catch": "caught", "blow": "blew blown", "run": "ran", "die": "dying",
    "tie": "tying", "eat": "ate eaten", "bleed": "bled", "kneel": "knelt", "bend": "bent", "go": "went gone",
    "get": "got", "show": "shown", "saw": "sawn", "spit": "spat", "keep": "kept",
}
# fmt: on


def inflected(verb: str) -> set[str]:
    """Return a verb's forms: stab, stabs, stabbed, stabbing. A few that nobody writes may be among them."""
    forms = {verb, *_IRREGULAR.get(verb, "").split()}
    if re.search(r"(s|x|z|ch|sh)$", verb):
        forms.add(verb + "es")
    elif re.search(r"[^aeiou]y$", verb):
        forms |= {verb[:-1] + "ies", verb[:-1] + "ied"}
    forms.add(verb + "s")
    stem = verb
    if verb.endswith("e"):
        stem = verb[:-1]
        forms |= {verb + "d"}
    elif re.search(r"(^|[^aeiou])[aeiou][bdgklmnprt]$", verb):
        stem = verb + verb[-1]
        forms |= {verb + "ed", verb + "ing"}  # without doubling, as in `bombed`, `opened`
    return forms | {stem + "ed", stem + "ing"}


def plurals(noun: str) -> set[str]:
    """Return a noun's singular and its regular plural."""
    if re.search(r"(s|x|z|ch|sh)$", noun):
        return {noun, noun + "es"}
    return {noun, noun[:-1] + "ies"} if re.search(r"[^aeiou]y$", noun) else {noun, noun + "s"}


def forms_of(entry: str, kind: str) -> Iterator[str]:
    """Yield every form of an entry of words_en.txt; `kind` is how its list is inflected: "verb", "noun" or ""."""
    words = entry.split()
    if "~" in entry:
        at = next(i for i, word in enumerate(words) if word.endswith("~"))
        for form in inflected(words[at][:-1]):
            yield " ".join([*words[:at], form, *words[at + 1 :]])
    elif kind == "verb" and len(words) == 1:
        yield from inflected(entry)
    elif kind == "noun":
        for form in plurals(words[-1]):
            yield " ".join([*words[:-1], form])
    else:
        yield entry


def read_words(language: str) -> Iterator[tuple[str, str, str]]:
    """Yield (class, entry, how it is inflected) for every word in words_en.txt or words_zh.txt."""
    name = kind = ""
    for line in read_lines(f"words_{language}.txt"):
        if line.startswith("["):
            name, _, kind = line.strip("[]").partition(" ")
            continue
        for entry in re.split("[,，]", line):
            if entry.strip():
                yield name, entry.strip(), kind


@lru_cache(maxsize=1)
def everyday() -> frozenset[str]:
    """Read the entries that are ordinary words too, as everyday.txt lists them."""
    lines = read_lines("everyday.txt")
    return frozenset(entry.strip() for line in lines for entry in re.split("[,，]", line) if entry.strip())


def read_names(section: str) -> Iterator[tuple[bool, tuple[str, ...]]]:
    """Yield (whether it counts by itself, the name and its aliases) for a section of people.txt or works.txt."""
    inside = False
    for line in read_lines(NAMES[section]):
        if line.startswith("["):
            inside = line.strip("[]") == section
        elif inside:
            yield not line.startswith("?"), tuple(alias.strip() for alias in line.lstrip("?").split("|"))


@dataclass(frozen=True, slots=True)
class Unit:
    """One word or phrase of the lists, or a word that is in none."""

    text: str  # as it is meant
    classes: frozenset[str]  # empty for a word that is in no list
    tokens: tuple[int, int]  # half-open range of the text's tokens
    gap: int  # what stands before it, as in `Token.gap`


class Lexicon:
    """Every form of every word and name, and the speller that knows them."""

    def __init__(self) -> None:
        forms: dict[tuple[str, ...], set[str]] = {}
        ordinary = everyday()
        for language in ("en", "zh"):
            for name, entry, kind in read_words(language):
                for written in forms_of(entry, kind) if language == "en" else [entry]:
                    names = {name, "everyday"} if entry in ordinary and name not in WEAK else {name}
                    forms.setdefault(plain_tokens(written), set()).update(names)
        for section in NAMES:
            for sure, aliases in read_names(section):
                for alias in aliases:
                    self._add_name(forms, plain_tokens(alias), f"{'name' if sure else 'maybe'} {section}")
        forms.pop((), None)  # of an entry that is one emoji: emoji.txt says what it means
        pinyin = _pinyin(forms)
        for syllables, names in pinyin:
            forms.setdefault(("".join(syllables),), set()).update(names)
        self.speller = _speller(forms)
        # The syllables come later: they are no words of their own, and may be pieces of one that was cut.
        for syllables, names in pinyin:
            forms.setdefault(syllables, set()).update(names)
        self.forms = {form: frozenset(names) for form, names in forms.items()}
        self._longest: dict[str, int] = {}
        for form in self.forms:
            self._longest[form[0]] = max(self._longest.get(form[0], 0), len(form))

    @staticmethod
    def _add_name(forms: dict[tuple[str, ...], set[str]], form: tuple[str, ...], name: str) -> None:
        forms.setdefault(form, set()).add(name)
        joined = "".join(form)  # taylorswift, as in a hashtag or spaced out
        if name.startswith("name") and len(form) > 1 and joined.isascii() and len(joined) > 5:
            forms.setdefault((joined,), set()).add(name)

    def tokens(self, text: str) -> list[Token]:
        """Split a text into words as they are meant, disguises taken off."""
        return self.speller.tokens(text)

    def units(self, tokens: Sequence[Token]) -> list[Unit]:
        """Find the longest words and phrases of the lists, from left to right, and the words between them."""
        units, i = [], 0
        while i < len(tokens):
            for n in range(min(self._longest.get(tokens[i].text, 1), len(tokens) - i), 0, -1):
                form = tuple(token.text for token in tokens[i : i + n])
                if form in self.forms and not any(token.gap for token in tokens[i + 1 : i + n]):
                    text = (" " if form[0].isascii() else "").join(form)
                    units.append(Unit(text, self.forms[form], (i, i + n), tokens[i].gap))
                    break
            else:
                n = 1
                units.append(Unit(tokens[i].text, frozenset(), (i, i + 1), tokens[i].gap))
            i += n
        return units


def _pinyin(forms: dict[tuple[str, ...], set[str]]) -> list[tuple[tuple[str, ...], set[str]]]:
    """List the syllables of Chinese words in Latin letters, and the classes of those words."""
    lines = (line.split() for line in read_lines("pinyin.txt"))
    return [(tuple(syllables), forms.get(tuple(word), set())) for *syllables, word in lines]


def _speller(forms: dict[tuple[str, ...], set[str]]) -> Speller:
    """Make the speller that knows these forms."""
    # Ordinary words: a speller that does not know them would take them for disguised ones.
    common = {word for name in ("common_en.txt", "ordinary.txt") for line in read_lines(name) for word in line.split()}
    known = common | {word for form in forms for word in form if len(word) > 1}
    single = {form[0]: names for form, names in forms.items() if len(form) == 1 and form[0] not in common}
    risky = {word for word, names in single.items() if len(word) > 2 and not names.isdisjoint(RISKY)}
    sure = {word for word, names in single.items() if not names.isdisjoint(SURE) and names.isdisjoint(_NOT_SURE)}
    names = {word for word, found in single.items() if not found.isdisjoint(("name likeness", "name ip"))}
    han = {"".join(form) for form, found in forms.items() if not form[0].isascii() and not found.isdisjoint(SURE)}
    written = {form: found for form, found in forms.items() if not form[0].isascii()}
    han |= {"".join(form) for form, found in written.items() if "name likeness" in found}
    # Two characters with a sign between them are two things of a list.
    han |= {"".join(form) for form, found in written.items() if "name ip" in found and len(form) > 2}
    return Speller(known, risky, sure, names, han)


@lru_cache(maxsize=1)
def load_lexicon() -> Lexicon:
    """Load the lexicon of the files that come with the package."""
    return Lexicon()
