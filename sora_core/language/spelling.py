"""English words as they are written in haste: typos, letters that are dropped or drawn out, and short forms.

A word is only taken for another where it is none itself, where one slip lies between the two (a letter that is missing,
doubled, wrong, or in the other order), and where no other word is as near.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from .lexicon import load_lexicon
from .synonyms import SKIPPED, load_plain, load_table

_LETTERS = re.compile(r"[A-Za-z]+(?:['’](?![A-Za-z]))?")
_DRAWN_OUT = re.compile(r"(.)\1{2,}")
_SOUNDS = (("f", "ph"), ("k", "c"), ("z", "s"), ("ks", "x"), ("ie", "y"), ("ei", "ie"))  # letters that sound alike
# Short forms, each with the marks that belong to it, and what it stands for.
_SHORT: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(rf"(?<![A-Za-z0-9])(?:{pattern})(?![A-Za-z0-9])", re.IGNORECASE), word)
    for pattern, word in (
        (r"b ?& ?w|b/w|black ?(?:&|/) ?white", "black and white"),
        (r"(?<= )vs(?:\.|(?= ))|(?<= )versus(?= )", "and"),
        (r"w/o|sans", "without"),
        (r"w/", "with"),
        (r"t\. ?rex", "t rex"),
        (r"colored", "coloured"),
        (r"thru", "through"),
        (r"pls|plz|pleez", "please"),
        (r"vids?", "video"),
        (r"lil['’]?|li['’]l|liddle", "little"),
        (r"ol['’]?", "old"),
        (r"gonna", "will"),
        (r"wanna|gimme", "want"),
        (r"['’]?em", "them"),
        (r"['’]n['’]?|n['’]", "and"),
        (r"teh|hte|da|th", "the"),
        (r"adn|nad|ans|anf|snd|nd|amd|aand", "and"),
        (r"wiht|wih|wtih", "with"),
        (r"nite", "night"),
        (r"ppl|peeps", "people"),
        (r"b-?day", "birthday"),
        (r"kinda|sorta", "quite"),
        (r"dont|didnt", "do not"),
        (r"doesnt", "does not"),
        (r"isnt|aint|ain['’]t|wasnt", "is not"),
        (r"arent|werent", "are not"),
        (r"cant|wont|couldnt|wouldnt", "can not"),
    )
)


@lru_cache(maxsize=1)
def _words() -> frozenset[str]:
    """List all English words that stand in the lexicon, in the table, or in the grammar."""
    forms = [*load_lexicon().surface("en"), *(" ".join(units) for units in load_table("en").entries)]
    return frozenset(word for form in forms for word in form.split()) | SKIPPED | load_plain()


@lru_cache(maxsize=1)
def _meant() -> frozenset[str]:
    """List the words that a slip can be of: the lexicon's own that name something, and other names of its subjects."""
    lexicon = load_lexicon()
    forms = [form for c in lexicon.concepts if c.kind not in ("function", "mood") for form in c.en]
    names = {c.name for c in lexicon.concepts if c.kind == "subject"}
    forms += [" ".join(units) for units, e in load_table("en").entries.items() if e.kind == "ours" and e.say in names]
    return frozenset(form for form in forms if form.isalpha() and len(form) > 3)


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    """List the lexicon's names of one word, short ones too."""
    return frozenset(form for c in load_lexicon().concepts if c.kind == "subject" for form in c.en if form.isalpha())


@lru_cache(maxsize=1)
def _gaps() -> dict[str, tuple[str, ...]]:
    """Map what is left of a word without one of its letters to the words that it may be."""
    found: dict[str, list[str]] = {}
    for word in sorted(_meant()):
        for left in _without_one(word):
            found.setdefault(left, []).append(word)
    return {left: tuple(words) for left, words in found.items()}


@lru_cache(maxsize=1)
def _anagrams() -> dict[str, tuple[str, ...]]:
    """Map the letters of a word, in the alphabet's order, to the words that have them."""
    found: dict[str, list[str]] = {}
    for word in sorted(_meant()):
        found.setdefault("".join(sorted(word)), []).append(word)
    return {letters: tuple(words) for letters, words in found.items()}


def _consonants(word: str) -> str:
    return re.sub("[aeiou]+", "", word[0] + "|" + word[1:])


def _without_one(word: str) -> set[str]:
    return {word[:i] + word[i + 1 :] for i in range(len(word))}


def _swapped(word: str) -> set[str]:
    return {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1)}


def nearest_word(word: str) -> str:
    """Return the word that `word`, in lower case, is written for, or "" where it is not clear."""
    words, gaps = _words(), _gaps()
    if word in words or len(word) < 3:
        return ""
    if word.endswith("in") and word + "g" in words:
        return word + "g"  # "walkin'"
    for times in (2, 1):
        short = _DRAWN_OUT.sub(r"\1" * times, word)
        if short != word and short in words:
            return short  # "huuuge"
    if word[-1] == word[-2] and word[:-1] in _names():
        return word[:-1]  # "dogg"
    if len(word) < 4 or not word.isascii():
        swapped = {w for w in _swapped(word) if w in _names()} if word not in ("act", "arm") else set()
        if len(swapped) == 1:
            return swapped.pop()  # "cta"
        found = {w for a, b in _SOUNDS for w in (word.replace(a, b), word.replace(b, a)) if w in _names()}
        return found.pop() if len(found) == 1 else ""  # "kat"
    known = _meant()
    ways = [{w for w in _swapped(word) if w in known}]
    if len(word) > 4:
        missing = {w for w in gaps.get(word, ()) if len(w) > 4 and (w[0] == word[0] or len(w) > 6)}
        more = {w for w in _without_one(word) if w in known and w[0] == word[0]}
        doubled = {w for w in missing | more if len(set(w)) == len(set(word)) and _pairs(w) != _pairs(word)}
        ways += [doubled, missing | more]
    if len(word) > 5:
        ways.append(
            {
                w
                for i in range(1, len(word))
                for w in gaps.get(word[:i] + word[i + 1 :], ())
                if len(w) == len(word) and w[:i] == word[:i] and w[i + 1 :] == word[i + 1 :]
            }
        )
    if len(word) > 5:
        # "dinasour": the same letters, of which only the vowels have changed places
        ways.append({w for w in _anagrams().get("".join(sorted(word)), ()) if _consonants(w) == _consonants(word)})
    if not any(ways):
        ways.append({w for a, b in _SOUNDS for w in (word.replace(a, b), word.replace(b, a)) if w in known})
    found = next((way for way in ways if way), set())
    return found.pop() if len(found) == 1 else ""


def _pairs(word: str) -> int:
    return sum(a == b for a, b in zip(word, word[1:], strict=False))


def respell(text: str, own: Iterable[str] = ()) -> str:
    """Write the words of English `text` as they are meant; `own`: words that a model has learned, which stay."""
    for short, word in _SHORT:
        text = short.sub(word, text)
    kept = {part for word in own for part in word.lower().split()}

    def meant(found: re.Match[str]) -> str:
        said = found[0].rstrip("'’")
        word = "" if said.lower() in kept else nearest_word(said.lower())
        if not word:
            return found[0]
        return word.capitalize() if said[0].isupper() else word

    return _LETTERS.sub(meant, text)
