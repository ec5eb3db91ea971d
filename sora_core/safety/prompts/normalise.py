"""Text as a check has to read it: one spelling for every disguise.

`fold` works on characters: compatibility forms (NFKD), accents, invisible characters, look-alikes of Latin letters,
traditional characters, emoji. `tokens` works on words: spaced-out letters, letters replaced by digits, stretched and
starred words, words cut in two. Every token remembers its place in the text, so that a report can quote it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path

DATA = Path(__file__).with_name("data")
MAX_TEXT = 20_000  # characters; a check reads no further and says so

# fmt: off
# Digits and signs, and the letters that they stand for.
_LEET = {
    "0": "o", "1": "il", "2": "z", "3": "e", "4": "a", "5": "s", "6": "g", "7": "t", "8": "b", "9": "g",
    "@": "a", "$": "s", "!": "il", "|": "li", "+": "t", "€": "e", "£": "l",
}
# fmt: on
_MAX_SPELLINGS = 32  # of one word: their number doubles with each sign that may be one of two letters
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0002ffff"
_WORD = "[a-z0-9@$€£]+(?:[!*|+#'’]+[a-z0-9@$€£]+)*"
_PIECE = re.compile(rf"(?P<emoji>\x00[^\x00]*\x00)|(?P<han>[{_HAN}])|(?P<word>{_WORD})")
_UNIT = re.compile(r"\d+[a-z]{0,5}|[a-z]\d{1,4}|\d+x\d+")  # 60fps, f8, 16x9: numbers that stand for no letters
# As in "(red:1.3)". Runs are taken whole (++): tried again at each of their lengths, they would take time as a square.
_WEIGHT = re.compile(r":\s*+[+-]?(?:\d++(?:\.\d++)?|\.\d++)\s*+(?=[)\]])")
_SENTENCE = re.compile(r"[.!?;]\s|[。！？；\n]")
_PAUSE = re.compile(r"[,:、…—()\[\]{}<>《》「」\"“”]")
_STRETCH = re.compile(r"(.)\1{2,}")


@dataclass(frozen=True, slots=True)
class Token:
    """A word of a text."""

    text: str  # as it is meant
    start: int  # its place in the original text
    end: int
    gap: int = 0  # what stands before it: 0 nothing or a space, 1 a comma or its like, 2 the end of a sentence


@lru_cache(maxsize=1)
def _characters() -> tuple[dict[str, str], dict[str, str]]:
    """Load what characters are read as.

    Returns single characters and their letters, and emoji and their words, in NULs so that nothing joins them.
    """
    simple: dict[str, str] = {}
    for line in read_lines("confusables.txt"):
        latin, others = line.split(maxsplit=1)
        simple |= dict.fromkeys(others, latin)
    for pair in " ".join(read_lines("traditional.txt")).split():
        simple[pair[0]] = pair[1]
    # Enclosed letters that NFKD leaves alone: negative circled and squared ones, regional indicators.
    for first in (0x1F150, 0x1F170, 0x1F1E6):
        simple |= {chr(first + i): chr(ord("a") + i) for i in range(26)}
    emoji = {}
    for line in read_lines("emoji.txt"):
        picture, words = line.split(maxsplit=1)
        emoji[picture[0]] = f"\0{words}\0"
    return simple, emoji


def read_lines(name: str) -> list[str]:
    """Read the lines of a data file, without comments and blank ones."""
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


@lru_cache(maxsize=8192)
def _fold_character(char: str) -> str:
    """Fold one character; "" for one that is not seen."""
    simple, emoji = _characters()
    if char in emoji:
        return emoji[char]
    folded = ""
    for part in unicodedata.normalize("NFKD", char):
        if unicodedata.combining(part) or unicodedata.category(part) in ("Cf", "Cc", "Mn", "Me") and part != "\n":
            folded += " " if part == "\t" else ""
            continue
        for low in part.casefold():
            folded += simple.get(low, low)
    if len(folded) == 1 and unicodedata.category(folded) == "So":
        return f"\0{unicodedata.name(folded, '').lower()}\0"
    return folded


def fold(text: str) -> tuple[str, list[int]]:
    """Fold a text. Returns it, and for each of its characters the place in `text` that it comes from."""
    folded: list[str] = []
    places: list[int] = []
    for place, char in enumerate(text):
        read = char.lower() if char.isascii() and char.isprintable() else _fold_character(char)
        folded.append(read)
        places += [place] * len(read)
    return "".join(folded), places


def _gap(between: str) -> int:
    """Return what stands between two words, as in `Token.gap`."""
    return 2 if _SENTENCE.search(between) else 1 if _PAUSE.search(between) else 0


def plain_tokens(text: str) -> tuple[str, ...]:
    """Split an undisguised text, such as an entry of a list, into words and Han characters."""
    pieces = _PIECE.finditer(fold(text)[0])
    return tuple(_bare(p[0]) if p["word"] else p[0] for p in pieces if not p["emoji"])


def _bare(word: str) -> str:
    """Return a word without the genitive's ending and apostrophes."""
    return re.sub(r"['’]", "", re.sub(r"['’]s$", "", word))


class Speller:
    """Finds the words behind their disguises."""

    def __init__(self, known: Iterable[str], risky: Iterable[str]) -> None:
        """Take the `known` words, all that the check has heard of, and the `risky` ones.

        Somebody may want to hide the risky ones (joined names too): they are worth putting together from pieces.
        """
        self.risky = {word for word in risky if word.isascii() and " " not in word}
        self.known = {word for word in known if word.isascii()} | self.risky
        self.longest = max(map(len, self.known))
        self._by_length: dict[int, list[str]] = {}
        for word in self.risky:
            self._by_length.setdefault(len(word), []).append(word)
        self.word = lru_cache(maxsize=16384)(self._word)

    def tokens(self, text: str) -> list[Token]:
        """Split a text into words (and single Han characters) as they are meant, in order."""
        folded, places = fold(text[:MAX_TEXT])
        # Weights are blanked at their length, so that places stay true: they may part two halves of a word.
        folded = _WEIGHT.sub(lambda match: "\1" * len(match[0]), folded)
        pieces = list(_PIECE.finditer(folded))
        found: list[Token] = []
        emoji: list[Token] = []
        i, last_end = 0, 0
        while i < len(pieces):
            piece = pieces[i]
            gap = _gap(folded[last_end : piece.start()]) if found else 2
            n = self._spaced(folded, pieces, i)
            if n > 1:
                words = self._split("".join(p[0] for p in pieces[i : i + n]))
            elif (n := self._joined(folded, pieces, i)) > 1:
                words = ["".join(p[0] for p in pieces[i : i + n])]
            elif piece["emoji"]:
                n, words = 1, re.findall("[a-z]+", piece[0])
            else:
                n, words = 1, [piece[0]] if piece["han"] else self.word(piece[0])
                if piece["word"] and words[0] not in self.known and not self._plain(text, places, piece):
                    words = [self._near(words[0]) or words[0], *words[1:]]
            start, end = places[piece.start()], places[pieces[i + n - 1].end() - 1] + 1
            made = [Token(word, start, end, 0 if number else gap) for number, word in enumerate(words)]
            if piece["emoji"]:
                emoji += made
            else:
                # An emoji may be there to part two characters of one word: it is read before or after the word.
                if emoji and not (gap == 0 and piece["han"]):
                    found, emoji = found + emoji, []
                found += made
            i, last_end = i + n, pieces[i + n - 1].end()
        return found + emoji

    @staticmethod
    def _plain(text: str, places: list[int], piece: re.Match) -> bool:
        """Return whether a piece is written with ordinary letters: look-alikes may stand for more than one letter."""
        return text[places[piece.start()] : places[piece.end() - 1] + 1].isascii()

    def _word(self, raw: str) -> list[str]:
        """Read what a run of letters, digits and signs says."""
        bare = _bare(raw)
        if bare in self.known:
            return [bare]
        if bare.isalpha():
            return self._relaxed(bare) or [_STRETCH.sub(r"\1", bare)]
        if "*" in raw or "#" in raw:
            if starred := self._starred(bare):
                return [starred]
            return [word for part in re.split(r"[*#]+", bare) for word in self.word(part)]
        spellings, unit = self._spellings(bare), bool(_UNIT.fullmatch(bare))
        for spelling in spellings:
            if (words := self._relaxed(spelling)) and (not unit or words[0] in self.risky):
                return words
        for spelling in spellings:
            if near := self._near(spelling):
                return [near]
        if unit:
            return [bare]
        parts = re.split(r"[!|+]+", bare)
        if len(parts) > 1:
            return [word for part in parts if part for word in self.word(part)]
        return [spellings[0] if sum(c.isalpha() for c in bare) * 2 >= len(bare) else bare]

    def _spellings(self, raw: str) -> list[str]:
        """List the words that a run with digits and signs may stand for; the likeliest alone where there are many."""
        choices = [_LEET.get(char, char) if not char.isalpha() else char for char in raw]
        total = 1
        for choice in choices:
            total *= max(len(choice), 1)
        if total > _MAX_SPELLINGS or not any(c.isalpha() for c in raw) and len(raw) < 4:
            return ["".join(choice[:1] for choice in choices)]
        return ["".join(letters) for letters in product(*choices)]

    def _relaxed(self, word: str) -> list[str] | None:
        """Find `word`, or the known word that it stretches (`nuuude`, `killll`); None where there is neither."""
        if word in self.known:
            return [word]
        runs = list(re.finditer(r"(.)\1+", word))
        if not runs or len(runs) > 4:
            return None
        for lengths in product((1, 2), repeat=len(runs)):
            made, last = "", 0
            for match, length in zip(runs, lengths, strict=True):
                made += word[last : match.start()] + match[1] * length
                last = match.end()
            if made + word[last:] in self.known and len(made + word[last:]) > 2:
                return [made + word[last:]]
        return None

    def _starred(self, raw: str) -> str | None:
        """Find the risky word that `f*ck` or `p**n` hides."""
        pattern = re.compile("".join("[a-z]" if c in "*#" else re.escape(_LEET.get(c, c)[0]) for c in raw))
        if sum(c.isalnum() for c in raw) < 2:
            return None
        return next((word for word in sorted(self._by_length.get(len(raw), ())) if pattern.fullmatch(word)), None)

    def _near(self, word: str) -> str | None:
        """Find the long risky word that differs from `word` in one letter in its middle."""
        if len(word) < 7 or not word.isalpha():
            return None
        for other in self._by_length.get(len(word), ()):
            if other[0] == word[0] and other[-1] == word[-1] and sum(map(str.__ne__, other, word)) == 1:
                return other
        return None

    @staticmethod
    def _spaced(folded: str, pieces: list[re.Match], i: int) -> int:
        """Count the single letters from piece `i` on that are spaced out with the same sign between them."""
        n, gap = 1, None
        while i + n < len(pieces) and all(p["word"] and len(p[0]) == 1 for p in pieces[i + n - 1 : i + n + 1]):
            between = folded[pieces[i + n - 1].end() : pieces[i + n].start()]
            if len(between) > 2 or "\n" in between or gap not in (None, between):
                break
            n, gap = n + 1, between
        return n if n >= 3 else 1

    def _joined(self, folded: str, pieces: list[re.Match], i: int) -> int:
        """Count the pieces from `i` on that make one risky word that was cut: `na ked`, `nak.ed`, `(nu)(de)`."""
        word = ""
        for n in range(1, 7):
            if i + n > len(pieces) or not pieces[i + n - 1]["word"]:
                return 1
            word += pieces[i + n - 1][0]
            if len(word) > self.longest:
                return 1
            if n == 1:
                continue
            between = folded[pieces[i + n - 2].end() : pieces[i + n - 1].start()].replace("\1", "")
            if len(between) > 4 or "," in between or _gap(between) == 2:
                return 1
            if word in self.risky:
                parts = [piece[0] for piece in pieces[i : i + n]]
                spaced = any(
                    c.isspace() for k in range(n - 1) for c in folded[pieces[i + k].end() : pieces[i + k + 1].start()]
                )
                # Known words with spaces between them are read as they stand, though they may make a risky one.
                if not spaced or len(word) > 3 and not all(part in self.known or part.isdigit() for part in parts):
                    return n
        return 1

    def _split(self, letters: str) -> list[str]:
        """Find the fewest known words that spaced-out letters make; a letter that is in none stands alone."""
        if letters.isdigit():
            return [letters]
        spellings = self._spellings(letters) if not letters.isalpha() else [letters]
        best = min((self._fewest(spelling) for spelling in spellings), key=lambda found: found[0])
        return best[1]

    def _fewest(self, letters: str) -> tuple[float, list[str]]:
        """Split letters into words at the lowest cost: 1 for a known word, 2.5 for a letter that is in none."""
        if relaxed := self._relaxed(letters):
            return 1.0, relaxed
        # Of each beginning: what it costs, where its last word starts, and whether that is a known one.
        costs, starts, knows = [0.0], [0], [True]
        for end in range(1, len(letters) + 1):
            options = []
            for start in range(max(0, end - self.longest), end):
                word = letters[start:end]
                if word in self.known and (len(word) > 1 or word in "ai"):
                    options.append((costs[start] + 1.0, start))
                elif len(word) == 1:
                    options.append((costs[start] + 2.5, start if knows[start] else starts[start]))
            cost, start = min(options, key=lambda option: option[0])
            costs.append(cost)
            starts.append(start)
            knows.append(end - start <= self.longest and letters[start:end] in self.known)
        words, end = [], len(letters)
        while end:
            words.append(letters[starts[end] : end])
            end = starts[end]
        return costs[-1], words[::-1]
