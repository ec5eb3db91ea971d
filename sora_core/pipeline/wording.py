"""Prompts on their way into a text encoder: told in the words that it knows, judged as written and as told, encoded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..language.lexicon import load_lexicon
from ..language.wording import AUTO, Wording, check_how, worded
from ..model.text.concepts import Vocabulary
from ..safety import gate
from .engine import Conditioning, Engine, unknown_note


@dataclass(frozen=True)
class Encoded:
    """A prompt as the model reads it."""

    conditioning: Conditioning
    wording: Wording
    unknown: tuple[str, ...]  # words that say nothing to the model

    @property
    def read_as(self) -> tuple[str, ...]:
        """What the model read, where that is not what was written."""
        return (self.wording.prompt,) if self.wording.changed else ()


def word(engine: Engine, clip: Any, text: str, how: str = AUTO, negative: bool = False) -> Wording:
    """Word a prompt for a text encoder: for one with our lexicon as `how` says, for any other as it is written.

    Nobody stands in for what a negative prompt names: against a wolf is not against a dog.
    """
    check_how(how)
    known = engine.known_words(clip)
    return Wording(text, text) if known is None else worded(text, how, own=learned(known), stand_ins=not negative)


def learned(known: Iterable[str]) -> frozenset[str]:
    """List the words that a text encoder knows besides those of the lexicon, from fine-tuning say."""
    new = frozenset(known) - _lexicon()
    return frozenset(each if each.isascii() else each.replace(" ", "") for each in new)


@lru_cache(maxsize=1)
def _lexicon() -> frozenset[str]:
    return frozenset(Vocabulary.from_lexicon(load_lexicon()).surfaces)


def encode_worded(engine: Engine, clip: Any, text: str, how: str = AUTO, negative: bool = False) -> Encoded:
    """Encode a prompt in the words that the model knows.

    Raises SoraError for a text that is too long, and for what the policy forbids: of what was written, and of what the
    model reads.
    """
    wording = word(engine, clip, text, how, negative)
    if wording.changed:
        gate.check_text(text)
    with gate.same_as(text, wording.prompt):
        conditioning, unknown = engine.encode_text(clip, wording.prompt)
    return Encoded(conditioning, wording, tuple(dict.fromkeys((*wording.unknown, *unknown))))


def notes_of(*encoded: Encoded) -> tuple[str, ...]:
    """Say what was made of prompts, and which of their words the model does not know."""
    notes = [note for each in encoded for note in each.wording.notes]
    return tuple(dict.fromkeys((*notes, *unknown_note(*(each.unknown for each in encoded)))))
