"""The words that sora-mini knows: each surface form, English or Chinese, names one concept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

LANGUAGES = ("en", "zh")
MAX_WORDS = 4  # longest English surface form
_WORD = re.compile(r"[a-z0-9]+")
_HAN = re.compile(r"[\u3400-\u9fff]")


@dataclass(frozen=True)
class Concept:
    """One meaning, and the words that name it."""

    name: str
    # subject, scene, motion, direction, relation, camera, style, time, weather, event, prop, colour, size, number,
    # mood, shot or function
    kind: str
    en: tuple[str, ...]  # surface forms: lower case, single spaces
    zh: tuple[str, ...]
    say_en: tuple[str, ...]  # those that captions use
    say_zh: tuple[str, ...]

    def say(self, language: str) -> tuple[str, ...]:
        """List the surface forms that captions in `language` use."""
        return self.say_zh if language == "zh" else self.say_en


@dataclass(frozen=True)
class Lexicon:
    """All concepts, and their surface forms looked up in texts."""

    concepts: tuple[Concept, ...]  # in the file's order: a concept's place is stable, new ones are appended

    def surface(self, language: str) -> dict[str, str]:
        """Map each surface form to the name of its concept."""
        return {form: c.name for c in self.concepts for form in (c.zh if language == "zh" else c.en)}

    def __getitem__(self, name: str) -> Concept:
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> dict[str, Concept]:
        return {c.name: c for c in self.concepts}

    @cached_property
    def _forms(self) -> tuple[dict[str, str], dict[str, str], int]:
        """Hold English forms, Chinese forms, and the number of characters of the longest Chinese one."""
        en, zh = self.surface("en"), self.surface("zh")
        return en, zh, max(map(len, zh), default=1)

    def matches(self, text: str) -> list[tuple[str, str | None]]:
        """Find the surface forms of a text in order, each with the name of its concept, None where it has none.

        The longest match comes first, languages may be mixed, punctuation separates. What is unknown comes as single
        words or Chinese characters.
        """
        en, zh, longest = self._forms
        found: list[tuple[str, str | None]] = []
        for piece in re.findall(r"[a-z0-9]+(?: +[a-z0-9]+)*|[\u3400-\u9fff]+", text.lower()):
            if _HAN.match(piece):
                found += _match(list(piece), zh, "", longest)
            else:
                found += _match(_WORD.findall(piece), en, " ", MAX_WORDS)
        return found

    def scan(self, text: str) -> tuple[list[str], list[str]]:
        """Find the concepts of a text in order, and the words (or Chinese characters) that no concept covers."""
        found = self.matches(text)
        return [c for _, c in found if c is not None], [surface for surface, c in found if c is None]


def _match(units: list[str], forms: dict[str, str], glue: str, longest: int) -> Iterator[tuple[str, str | None]]:
    """Cut `units` into the longest surface forms, of at most `longest` units, from left to right."""
    i = 0
    while i < len(units):
        for n in range(min(longest, len(units) - i), 0, -1):
            surface = glue.join(units[i : i + n])
            if surface in forms or n == 1:
                yield surface, forms.get(surface)
                i += n
                break


@lru_cache(maxsize=1)
def load_lexicon() -> Lexicon:
    """Load the lexicon that comes with the package. A concept without "say" is said by its first forms."""
    rows = json.loads(Path(__file__).with_name("lexicon.json").read_text(encoding="utf-8"))
    return Lexicon(
        tuple(
            Concept(
                r["concept"],
                r["kind"],
                tuple(r["en"]),
                tuple(r["zh"]),
                tuple(r.get("say", {}).get("en", r["en"][:1])),
                tuple(r.get("say", {}).get("zh", r["zh"][:1])),
            )
            for r in rows
        )
    )
