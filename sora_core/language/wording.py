"""What is made of a prompt before the model reads it, and the notes that say so.

The model reads words of its lexicon alone. A prompt that has others is told in the lexicon's words first, see
`restate`; one that has none is read as it is written. Both stay known: what was asked, and what was read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import expect
from ..words import short
from .expand import expand as told_again
from .noun_phrases_en import ENDS_IN_S
from .phrases_en import article
from .restate import ADVICE, Restated, restate
from .standins import MANY

AUTO, ALWAYS, NEVER = "auto", "always", "never"
HOW = (AUTO, ALWAYS, NEVER)  # when a prompt is told in other words


@dataclass(frozen=True)
class Wording:
    """A prompt, and what the model reads in its place."""

    original: str
    prompt: str  # what the model reads
    unknown: tuple[str, ...] = ()  # words that say nothing to the model, in order
    notes: tuple[str, ...] = ()  # what was made of the prompt, and what cannot be shown, in sentences

    @property
    def changed(self) -> bool:
        """Whether the model reads something else than was written."""
        return self.prompt != self.original


def check_how(how: str) -> None:
    """Raise SoraError for what is none of HOW."""
    expect(how in HOW, f"expand is {how!r}. Use one of: {', '.join(HOW)}.")


def worded(prompt: str, how: str = AUTO, seed: int = 0, own: Iterable[str] = (), stand_ins: bool = True) -> Wording:
    """Word a prompt for the model.

    how: "auto" tells what is not in the lexicon's words in them; "always" tells every prompt again, in the descriptive
    words that captions have; "never" leaves it as it is. own: words that a model has learned besides the lexicon's.
    stand_ins: tell what cannot be drawn as the nearest that can. Raises SoraError for another `how`.
    """
    check_how(how)
    if how == NEVER or not prompt.strip():
        return Wording(prompt, prompt)
    made = restate(prompt, own, stand_ins=stand_ins)
    said = made.prompt
    if how == ALWAYS:
        said = told_again(said, seed).prompt
    lost = [word for word, _ in made.beyond if made.changed and word not in made.unknown]
    unknown = (*made.unknown, *lost)
    read = (f"Read as: {said}",) if said != prompt else ()
    return Wording(prompt, said, unknown, (*read, *notes_of(made)))


def notes_of(made: Restated) -> tuple[str, ...]:
    """Say what of a prompt cannot be shown, and what can be in its place, one sentence each."""
    said = []
    if made.beyond or made.instead:
        each = [f"{_one(word)}{_instead(name)}" for word, name in made.instead]
        each += [f"{_one(word)}{_nearest(word, near)}" for word, near in made.beyond]
        said.append(f"The model cannot draw {'; '.join(each)}.")
    by_why: dict[str, list[str]] = {}
    for found, why in made.cannot:
        by_why.setdefault(why, []).append(found)
    for why, listed in by_why.items():
        said.append(f"The model has no way to show {', '.join(map(short, dict.fromkeys(listed)))}: {ADVICE[why]}.")
    if made.absent:
        said.append(
            f"Left out: {', '.join(map(short, made.absent))}. Put what should not be there into the negative prompt."
        )
    return tuple(said)


def _one(word: str) -> str:
    one = word.isascii() and (not word.endswith("s") or word.split()[-1] in ENDS_IN_S) and word.split()[-1] not in MANY
    return article(word) if one else word


def _instead(name: str) -> str:
    return f" (drawn as {_one(name)})" if name.isascii() else f"（画成{name}）"


def _nearest(word: str, near: str) -> str:
    if not near:
        return ""
    return f" (the nearest that it can: {article(near)})" if word.isascii() else f"（能画的最接近的：{near}）"
