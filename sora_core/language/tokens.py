"""A prompt cut into sentences, clauses and tokens."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from .lexicon import load_lexicon

_SENTENCES = re.compile(r"[.!?;。！？；\n]+")
_CLAUSES = re.compile(r"[,:()\[\]\"“”…，、：（）—–]+")


@dataclass
class Token:
    """A surface form and its concept."""

    surface: str
    concept: str  # "" for an unknown word and a break
    kind: str  # that of the concept, "unknown", or "break" for punctuation


Clause = list[Token]


def language_of(prompt: str) -> str:
    """Return a prompt's language: "zh" if it has at least as many Chinese characters as other words, else "en"."""
    han = len(re.findall(r"[\u3400-\u9fff]", prompt))
    return "zh" if han and han >= len(re.findall(r"[a-z]+", prompt.lower())) else "en"


def sentences(prompt: str) -> list[list[Clause]]:
    """Cut a prompt into sentences of clauses of tokens."""
    words = load_lexicon()
    text = unicodedata.normalize("NFKC", prompt).lower().replace("-", " ")
    text = re.sub(r"['’]s\b", "", text)

    def clause(part: str) -> Clause:
        found = words.matches(part)
        return [Token(form, name or "", words[name].kind if name else "unknown") for form, name in found]

    return [[clause(part) for part in _CLAUSES.split(sentence)] for sentence in _SENTENCES.split(text)]
