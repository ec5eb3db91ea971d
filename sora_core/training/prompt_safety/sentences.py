"""Sentences to learn from: templates filled with the lexicon's words, put together, and sometimes disguised."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import numpy as np

from ...language import LENGTHS, caption, load_lexicon
from ...safety.prompts.lexicon import WEAK, everyday, forms_of, read_names, read_words
from .disguises import disguise

LABELS = ("violence", "sexual", "hate", "likeness", "ip", "study")
NOISE = 0.3  # of the harmless prompts: words at random
HARMLESS = (
    "part", "person", "animal", "food", "kitchen", "sport", "film", "stage", "play", "nature", "object", "art", "bed",
    "praise", "remember", "nation", "fiction", "calm", "person", "nature", "object", "body", "uncover", "touching",
)  # fmt: skip
# Risky only in company. Words of one family together are company: a sentence of such gets at most one of each.
FAMILIES = (
    ("harm", "death", "weapon", "victim"),
    ("strip", "bodysex", "lust", "underwear", "minor"),
    ("dehuman", "hateact", "group"),
    ("office",),
    ("brand", "maybe ip", "maybe likeness"),
    ("everyday",),
)
_SLOT = re.compile(r"\{([^}]+)\}")
_CHOICE = re.compile(r"\(([^()]*\|[^()]*)\)")


class Sentences:
    """Draws prompts with their labels. Same seed, same prompts."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.templates = _read_templates()
        self.words = {language: _words(language) for language in ("en", "zh")}
        self.topics = {
            language: [c.say(language) for c in load_lexicon().concepts if c.kind in ("subject", "prop")]
            for language in ("en", "zh")
        }

    def draw(self) -> tuple[str, tuple[str, ...]]:
        """Draw a prompt and its labels (none for a harmless one)."""
        rng = self.rng
        language = "en" if rng.random() < 0.6 else "zh"
        parts: list[str] = []
        labels: tuple[str, ...] = ()
        # Half of the prompts are harmless, and in most others only one part is not.
        if rng.random() < 0.5:
            labels = (str(rng.choice(LABELS, p=(0.24, 0.22, 0.22, 0.12, 0.12, 0.08))),)
            parts.append(self._fill(labels[0], language))
        elif rng.random() < NOISE:
            return self._noise(language), ()
        extra = rng.choice(6, p=(0.45, 0.25, 0.12, 0.08, 0.06, 0.04)) + (not labels)
        for _ in range(extra):
            parts.insert(rng.integers(len(parts) + 1), self._fill("none", language))
        if rng.random() < 0.4:
            parts.append(self._fill("style", language))
        mark = str(rng.choice((". ", ", ", "\n") if language == "en" else ("。", "，", "\n"), p=(0.45, 0.45, 0.1)))
        text = mark.join(parts)
        # Harmless texts are disguised too, or a disguise alone would look like harm.
        if rng.random() < (0.2 if labels else 0.05):
            text = disguise(text, rng)
        return text, labels

    def _noise(self, language: str) -> str:
        """Draw harmless words at random, with a few that are risky only in company: no text of such is forbidden."""
        rng, words = self.rng, self.words[language]
        parts = []
        for _ in range(rng.integers(1, 5)):
            kinds = list(rng.choice(HARMLESS, rng.integers(4, 12)))
            for family in rng.permutation(len(FAMILIES))[: rng.choice(3, p=(0.2, 0.5, 0.3))]:
                kinds.insert(rng.integers(len(kinds) + 1), str(rng.choice(FAMILIES[family])))
            chosen = [words[kind][rng.integers(len(words[kind]))] for kind in kinds if words[kind]]
            parts.append((" " if language == "en" else "").join(chosen))
        return (". " if language == "en" else "。").join(parts)

    def _fill(self, section: str, language: str) -> str:
        """Draw a line of a section of templates, with its choices made and its slots filled."""
        lines = self.templates[section, language]
        line = lines[self.rng.integers(len(lines))]
        while match := _CHOICE.search(line):
            options = match[1].split("|")
            line = line[: match.start()] + options[self.rng.integers(len(options))] + line[match.end() :]
        return re.sub(" +", " ", _SLOT.sub(lambda match: self._word(match[1], language), line)).strip()

    def _word(self, name: str, language: str) -> str:
        """Draw what fills a slot: a line of a section of that name, a topic of the world, or a word of the lexicon."""
        if (name, language) in self.templates:
            return self._fill(name, language)
        if name in ("object", "animal") and self.rng.random() < 0.2:
            topics = self.topics[language]
            return str(self.rng.choice(topics[self.rng.integers(len(topics))]))
        words = self.words[language][name]
        return words[self.rng.integers(len(words))]


def world_captions(count: int, seed: int) -> list[str]:
    """Make captions of the training world in both languages: harmless by construction."""
    # The world needs OpenCV, which templates do not.
    from ..world.config import WorldConfig
    from ..world.world import World

    world, rng, made = World(WorldConfig()), np.random.default_rng(seed), []
    for i in range(count):
        facts = world.facts(seed * 1_000_003 + i)
        made.append(caption(facts, rng, ("en", "zh")[i % 2], LENGTHS[i // 2 % 3]))
    return made


def _read_templates() -> dict[tuple[str, str], list[str]]:
    """Read templates.txt: lines by section and language."""
    templates: dict[tuple[str, str], list[str]] = defaultdict(list)
    key = ("", "")
    for line in Path(__file__).with_name("templates.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            name, language = line.strip("[]").rsplit(" ", 1)
            key = name, language
        elif line.strip() and not line.startswith("#"):
            templates[key].append(line.strip())
    return templates


def _words(language: str) -> dict[str, list[str]]:
    """Return every form of the words of each class; entries have the same weight however many forms they have."""
    words: dict[str, list[str]] = defaultdict(list)
    listed = everyday()
    for name, entry, kind in read_words(language):
        forms = list(forms_of(entry, kind)) if language == "en" else [entry]
        words[name] += (forms * 4)[:4]
        if entry in listed and name not in WEAK:
            words["everyday"] += (forms * 4)[:4]
    for section in ("likeness", "ip"):
        for sure, aliases in read_names(section):
            here = [a for a in aliases if a.isascii() == (language == "en")]
            if not sure:
                words[f"maybe {section}"] += here
    return words
