"""The words behind their disguises: spaced-out letters, letters replaced by digits, words cut in two or run together.

`hidden` finds what is spelled wrong on purpose; what this file does needs only the lists of known and of risky words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import product

from .hidden import MIN_NAME, Hidden
from .normalise import MAX_TEXT, PIECE, Token, bare_word, fold, gap_of

# fmt: off
# Digits and signs, and the letters that they stand for.
_LEET = {
    "0": "o", "1": "il", "2": "z", "3": "e", "4": "a", "5": "s", "6": "g", "7": "t", "8": "b", "9": "g",
    "@": "a", "$": "s", "!": "il", "|": "li", "+": "t", "€": "e", "£": "l",
}
# fmt: on
_MAX_SPELLINGS = 32  # of one word: their number doubles with each sign that may be one of two letters
_UNIT = re.compile(r"\d+[a-z]{0,5}|[a-z]\d{1,4}|\d+x\d+")  # 60fps, f8, 16x9: numbers that stand for no letters
# As in "(red:1.3)". Runs are taken whole (++): tried again at each of their lengths, they would take time as a square.
_WEIGHT = re.compile(r":\s*+[+-]?(?:\d++(?:\.\d++)?|\.\d++)\s*+(?=[)\]])")
_TITLES = frozenset(("mr", "mrs", "ms", "dr", "st", "jr", "sr", "vs", "prof"))  # a full stop after them ends nothing
_STRETCH = re.compile(r"(.)\1{2,}")


class Speller:
    """Finds the words behind their disguises."""

    def __init__(
        self,
        known: Iterable[str],
        risky: Iterable[str],
        sure: Iterable[str] = (),
        names: Iterable[str] = (),
        han: Iterable[str] = (),
    ) -> None:
        """Take the `known` words, all that the check has heard of, and the `risky` ones.

        Somebody may want to hide the risky ones (joined names too): they are worth putting together from pieces. Those
        that decide by themselves (`sure`, joined `names`, Chinese ones in `han`) are looked for harder.
        """
        self.risky = {word for word in risky if word.isascii() and " " not in word}
        self.known = {word for word in known if word.isascii()} | self.risky
        self.longest = max(map(len, self.known))
        self.hidden = Hidden(self.known, sure, names)
        self.han = frozenset(word for word in han if len(word) > 1)
        self._by_length: dict[int, list[str]] = {}
        for word in self.risky:
            self._by_length.setdefault(len(word), []).append(word)
        self.word = lru_cache(maxsize=16384)(self._word)

    def tokens(self, text: str) -> list[Token]:
        """Split a text into words (and single Han characters) as they are meant, in order."""
        folded, places = fold(text[:MAX_TEXT])
        # Weights are blanked at their length, so that places stay true: they may part two halves of a word.
        folded = _WEIGHT.sub(lambda match: "\1" * len(match[0]), folded)
        pieces = list(PIECE.finditer(folded))
        found: list[Token] = []
        emoji: list[Token] = []
        i, last_end = 0, 0
        while i < len(pieces):
            piece = pieces[i]
            between = folded[last_end : piece.start()]
            gap = gap_of(between) if found else 2
            if gap == 2 and between == ". " and (len(found[-1].text) == 1 or found[-1].text in _TITLES):
                gap = 0  # J. K. Rowling
            n, words = self._read(text, folded, places, pieces, i)
            here = places[piece.start() : pieces[i + n - 1].end()]
            start, end = min(here[0], here[-1]), max(here[0], here[-1]) + 1
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

    def _read(self, text: str, folded: str, places: list[int], pieces: list[re.Match], i: int) -> tuple[int, list[str]]:
        """Return how many pieces from `i` on belong together, and the words that they say."""
        piece = pieces[i]
        if piece["emoji"]:
            return 1, re.findall("[a-z]+", piece[0])
        if piece["han"]:
            return self._gathered(folded, pieces, i)
        if (n := self._spaced(folded, pieces, i)) > 1:
            return n, self._split("".join(p[0] for p in pieces[i : i + n]))
        n, joined = self._joined(folded, pieces, i)
        if n > 1:
            return n, [joined]
        if piece[0] in self.known:
            return 1, [piece[0]]
        written = [text[place] for place in places[piece.start() : piece.end()]]
        if humps := _humps(written):
            return 1, [word for hump in humps for word in self.word(hump)]
        words = self.word(piece[0])
        if words[0] not in self.known and not all(char.isascii() for char in written):
            # Look-alikes may stand for more than one letter.
            words = [self._near(words[0]) or self.hidden.typo(words[0]) or words[0], *words[1:]]
        return 1, words

    def _gathered(self, folded: str, pieces: list[re.Match], i: int) -> tuple[int, list[str]]:
        """Gather the Han characters from piece `i` on that make a word that decides, with signs or letters between."""
        chars, last, parted, best = [pieces[i][0]], i, False, (1, [pieces[i][0]])
        for k in range(i + 1, min(i + 12, len(pieces))):
            piece = pieces[k]
            between = folded[pieces[k - 1].end() : piece.start()]
            if len(between.strip(" ")) > 2 or not (piece["han"] or piece["word"] and len(piece[0]) <= 2):
                break
            parted |= bool(between.strip(" ")) or not piece["han"]
            if not piece["han"]:
                if k - last > 1:
                    break
                continue
            chars.append(piece[0])
            last = k
            if parted and "".join(chars) in self.han:
                best = (k - i + 1, list(chars))
        return best

    def _word(self, raw: str) -> list[str]:
        """Read what a run of letters, digits and signs says."""
        bare = bare_word(raw)
        if bare in self.known:
            return [bare]
        if bare.isalpha():
            return self._relaxed(bare) or self._hidden(bare) or [_STRETCH.sub(r"\1", bare)]
        if inner := self.hidden.between(bare):
            return [inner]
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
        if not unit and sum(char.isalpha() for char in bare) * 2 >= len(bare):
            for spelling in spellings:
                if found := spelling.isalpha() and self._hidden(spelling):
                    return found
        if unit:
            return [bare]
        parts = re.split(r"[!|+]+", bare)
        if len(parts) > 1:
            return [word for part in parts if part for word in self.word(part)]
        return [spellings[0] if sum(c.isalpha() for c in bare) * 2 >= len(bare) else bare]

    def _hidden(self, word: str) -> list[str] | None:
        """Find what an unknown word of letters hides."""
        if inner := self.hidden.between(word):
            return [inner]
        if parts := self.hidden.parts(word):
            return parts
        meant = self.hidden.typo(word)
        return [meant] if meant else None

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
            if len(between) > 2 or gap not in (None, between):
                break
            n, gap = n + 1, between
        return n if n >= 3 else 1

    def _joined(self, folded: str, pieces: list[re.Match], i: int) -> tuple[int, str]:
        """Count the pieces from `i` on that make one risky word that was cut: `na ked`, `nak.ed`, `(nu)(de)`.

        Returns their number, 1 for none, and the word.
        """
        word, spaced, far = "", False, False
        for n in range(1, 7):
            if i + n > len(pieces) or not pieces[i + n - 1]["word"]:
                break
            word += pieces[i + n - 1][0]
            if len(word) > self.longest + 1:
                break
            if n == 1:
                continue
            between = folded[pieces[i + n - 2].end() : pieces[i + n - 1].start()].replace("\1", "")
            if len(between) > 4:
                break
            spaced |= any(char.isspace() for char in between)
            far |= "," in between or gap_of(between) == 2
            parts = [piece[0] for piece in pieces[i : i + n]]
            # Known words with spaces or commas between them are read as they stand, though they may make a risky one.
            plain = all(part in self.known or part.isdigit() for part in parts)
            # But nobody sets a comma without a space between two of which one is a syllable: "nu,de".
            plain = plain and not (far and " " not in between and min(map(len, parts)) <= 2)
            # "Hands linked in a circle", "fur by the door": only what decides ends in a little word of its own.
            plain = plain or spaced and parts[-1] in _SHORT and word not in self.hidden.sure
            if word in self.risky and (not (spaced or far) or len(word) > 3 and not plain):
                if not far or word in self.hidden.cut:
                    return n, word
            # "A mutated frog" and "a client on the phone": a little word is no part of a name that is misspelt besides.
            elif n <= 3 and not (plain or far or spaced and not _SHORT.isdisjoint(parts)) and len(word) > MIN_NAME:
                meant = self.hidden.typo(word)
                if meant and len(meant) >= MIN_NAME and _begin_alike(parts, meant):
                    return n, meant
        return 1, word

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


_SHORT = frozenset(("a", "an", "at", "by", "in", "is", "my", "of", "on", "to"))  # words within a word in CamelCase


def _humps(written: list[str]) -> list[str] | None:
    """Split a word in CamelCase: `NakedWoman`. None for one that is not."""
    word = "".join(written)
    if not word.isascii() or not word.isalpha() or word.isupper() or word[1:].islower():
        return None
    humps = re.findall("[A-Z]?[a-z]+|[A-Z]+(?![a-z])", word)
    made = [hump.lower() for hump in humps]
    long = sum(len(hump) > 2 for hump in made)
    return made if long > 1 and all(len(hump) > 2 or hump in _SHORT for hump in made) else None


def _begin_alike(parts: list[str], meant: str) -> bool:
    """Return whether the words begin as those of the joined name do: `the pitcher` is no `The Witcher`."""
    at = 0
    for part in parts:
        if part[0] not in meant[max(at - 1, 0) : at + 2]:
            return False
        at += len(part)
    return not meant.startswith("the")
