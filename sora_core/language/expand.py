"""Short prompts into the highly descriptive kind that the model knows best, without a change of meaning.

As DALL-E 3 (Betker et al. 2023) and Sora put a language model before the generator, so that prompts look like the
captions of training. Here the captions are made by known rules, so the way back is known too: a prompt is read into
facts (`reading.read`), and the facts are told again as a long caption, which names the colours, the light, the
background and the mood that the model has always seen with them. A new wording is given out only when it holds every
concept of the prompt and reads as the same facts; a prompt that cannot be told again keeps its words, and gets what
is safe to add. A language model can do the wording instead (`language_model.reword`); it is held to the same test.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import SoraError
from .composer import OPPOSITES, Composer
from .grammar import NEGATIONS
from .lexicon import load_lexicon
from .looks import USUAL_TIMES
from .phrases_en import English, article, participle
from .phrases_zh import DIRECTIONS, MEASURE, Chinese
from .reading import Reading, read
from .restate import restate

LONG = 40  # words from which a prompt is descriptive as it is
MOST = 60  # words that sora-mini reads, less a few to spare
_TRIES = 48  # captions drawn until one keeps every concept: drawing one takes a fraction of a millisecond
_WEIGHTS = re.compile(r"\([^()]*:\s*[+-]?[\d.]+\s*\)")
_PACE = {"slowly", "fast"}
_COMPOSERS: dict[str, type[Composer]] = {"en": English, "zh": Chinese}


@dataclass(frozen=True)
class Expansion:
    """A prompt in a new wording."""

    prompt: str
    unknown: tuple[str, ...]  # words that the model does not know, in order
    how: str  # it came about: "told again", "added to", "left alone" or "language model"
    note: str  # what happened, for a person


def expand(prompt: str, seed: int = 0) -> Expansion:
    """Word `prompt` descriptively, in its language; the same for the same seed.

    Raises SoraError for an empty prompt.
    """
    text = prompt.strip()
    if not text:
        raise SoraError("The prompt is empty: say what the video should show.")
    reading, rng = read(text), np.random.default_rng(seed)
    if reading.described or reading.words >= LONG or NEGATIONS & set(reading.unknown):
        return result(text, reading, "left alone")
    plain = restate(text, keep=True).prompt
    if plain != text:
        made = _expanded(plain, read(plain), rng)
        return Expansion(made.prompt, made.unknown, made.how, f"Read as: {plain}\n{made.note}")
    return _expanded(text, reading, rng)


def _expanded(text: str, reading: Reading, rng: np.random.Generator) -> Expansion:
    """Word a prompt of the lexicon's words descriptively."""
    # Weights ("(red:1.3)") are kept where they are written.
    told = None if _WEIGHTS.search(text) else _tell_again(reading, rng)
    if told is not None:
        return result(told, reading, "told again")
    added = _add_to(text, reading, rng)
    return result(added, reading, "left alone" if added == text else "added to")


NOTES = {
    "told again": "Told again in the model's own words.",
    "added to": "Your words are kept; background and mood are added.",
    "left alone": "Left as it is: there is nothing safe to add.",
    "language model": "Told again by the language model.",
}


def result(text: str, reading: Reading, how: str) -> Expansion:
    """Put a prompt's new wording together with the note that goes with it."""
    note = NOTES[how]
    if how == "left alone" and (reading.described or reading.words >= LONG):
        note = "Left as it is: it is descriptive already."
    if reading.unknown:
        note += f" The model does not know: {', '.join(reading.unknown)}."
    return Expansion(text, tuple(reading.unknown), how, note)


# fmt: off
# Kinds of concepts that change a video when they are added to a prompt.
_CHANGING = (
    "subject", "scene", "direction", "relation", "event",
    "weather", "time", "style", "camera", "number", "shot",
)
# fmt: on


def keeps(new: str, reading: Reading) -> bool:
    """Return whether a wording holds every concept of the prompt, contradicts none of its facts and is short enough."""
    again = read(new)
    if (
        not reading.meanings <= again.meanings
        or not set(reading.unknown) <= set(again.unknown)
        or _PACE & again.meanings != _PACE & reading.meanings
        or again.words > MOST
    ):
        return False
    if reading.facts is not None and again.facts is not None:
        return same_facts(reading.facts, again.facts)
    words = load_lexicon()
    harmless = {"camera", "static"} if "camera" not in {words[c].kind for c in reading.concepts} else {"camera"}
    for scene in reading.scenes:
        harmless |= {USUAL_TIMES.get(scene, "day")}
        details = [detail for composer in _COMPOSERS.values() for detail in composer.phrases.details[scene]]
        harmless |= {c for detail in details for c in words.scan(detail)[0]}
    return not any(words[c].kind in _CHANGING for c in again.meanings - reading.meanings - harmless)


def same_facts(one: dict[str, Any] | None, other: dict[str, Any] | None) -> bool:
    """Return whether two readings say the same. The names by which they call a subject may differ."""
    return _essence(one) == _essence(other)


def _essence(facts: dict[str, Any] | None) -> tuple | None:
    """Take what counts out of the facts."""
    if facts is None:
        return None
    subjects = [(s["name"], s["colours"], s["turn"]) for s in facts["subjects"]]
    return facts["style"], facts["shots"], facts["events"], subjects


# -- told again ------------------------------------------------------------------------------------------------
def _tell_again(reading: Reading, rng: np.random.Generator) -> str | None:
    """Draw a long caption of the facts that keeps every concept; None where there is none."""
    if reading.facts is None:
        return None
    composer = _ChineseFromPrompt if reading.language == "zh" else _EnglishFromPrompt
    for _ in range(_TRIES):
        told = composer(reading.facts, rng, reading.moods).compose()
        if keeps(told, reading):
            return told
    return None


def _describing(adjectives: list[tuple[str, str]], joint: str, unknown: str | None = None) -> list[str]:
    """List adjectives: colours are joined to one by `joint`, unknown Chinese characters to one word by `unknown`."""
    words: list[str] = []
    before = ""
    for word, kind in adjectives:
        glue = joint if kind == "colour" else unknown if kind == "unknown" else None
        if words and kind == before and glue is not None:
            words[-1] += glue + word
        else:
            words.append(word)
        before = kind
    return words


class _FromPrompt(Composer):
    """Captions of what a prompt said: its own nouns and adjectives, and nothing where it says nothing."""

    def __init__(self, facts: dict[str, Any], rng: np.random.Generator, moods: list[str]) -> None:
        super().__init__(facts, rng, "long")
        self.moods = moods
        self.names = [subject["said"] for subject in facts["subjects"]]

    def adds_colours(self, subject: dict[str, Any]) -> bool:
        """Return whether the model's colours can be added: none are named, and they go with the word.

        Those of its "runner" do not go with every "man".
        """
        named = any(kind == "colour" for _, kind in subject["adjectives"])
        return self.with_colour and not named and subject["said"] in self.words[subject["name"]].say(self.language)

    def atmosphere(self, shot: dict[str, Any]) -> list[str]:
        """Say the prompt's own moods; where it has none, what goes with its scene."""
        if self.moods:
            return [self.own_moods()]
        return super().atmosphere(shot) if shot["scene"] else []

    def time_and_weather(self, shot: dict[str, Any]) -> list[str]:
        """Say what is not ordinary about the time and weather, for a prompt without a scene."""
        time, weather = shot["time_of_day"], shot["weather"]
        said = [self.pick(self.phrases.times[time])] if time != shot["usual_time"] else []
        return [*said, self.pick(self.phrases.weathers[weather])] if weather != "clear" else said

    @abstractmethod
    def own_moods(self) -> str:
        """Say the prompt's own moods."""


class _EnglishFromPrompt(_FromPrompt, English):
    """English captions of what a prompt said."""

    def noun(self, i: int) -> str:
        subject = self.facts["subjects"][i]
        words = _describing(subject["adjectives"], " and ")
        if self.adds_colours(subject):
            words.append(" and ".join(subject["colours"]))
        return article(" ".join([*words, self.names[i]]))

    def action(self, i: int, motion: str) -> str:
        subject = self.facts["subjects"][i]
        verb = subject["verb"]
        if motion == "move":
            return verb or self.pick(self.phrases.verbs[subject["kind"]])
        if verb and motion in ("left", "right"):
            with_verb = tuple(phrase for phrase in self.phrases.sideways if "{v}" in phrase)
            return self.pick(with_verb).format(v=verb, d=motion, o=OPPOSITES[motion])
        if verb and motion in ("up", "down"):
            return self.pick((f"{verb} {motion}", f"{verb} {motion}wards"))
        return super().action(i, motion).strip()

    def clause(self, shot: dict[str, Any], place: str, verb: Callable[[str], str] | None = None) -> str:
        if shot["motions"] == [""]:
            return f"{self.noun(0)} {place}".strip()
        if self.facts["style"] != "plain" and len(self.facts["shots"]) == 1:
            verb = participle  # "a pencil drawing of a cat walking"
        return super().clause(shot, place, verb).strip().removeprefix(", ")

    def place(self, shot: dict[str, Any]) -> str:
        return super().place(shot) if shot["scene"] else " ".join(self.time_and_weather(shot))

    def own_moods(self) -> str:
        return f"the mood is {' and '.join(self.moods)}"


class _ChineseFromPrompt(_FromPrompt, Chinese):
    """Chinese captions of what a prompt said."""

    def noun(self, i: int, same: bool = False) -> str:
        subject = self.facts["subjects"][i]
        lead = ("同一" if same else "一") + MEASURE[subject["kind"]]
        if same:
            return lead + self.names[i]
        words = [w.removesuffix("的") for w in _describing(subject["adjectives"], "和", "")]
        if self.adds_colours(subject):
            words.append("和".join(self.words[c].say("zh")[0] for c in subject["colours"]))
        return lead + "".join(f"{word}的" for word in words) + self.names[i]

    def action(self, i: int, motion: str) -> str:
        subject = self.facts["subjects"][i]
        verb = subject["verb"]
        if motion == "move":
            return verb or self.pick(self.phrases.verbs[subject["kind"]])
        if verb and motion in DIRECTIONS:
            # Only the first three are said of up and down as well.
            phrases = self.phrases.sideways[: 3 if motion in ("up", "down") else None]
            return self.pick(phrases).format(d=DIRECTIONS[motion], o=DIRECTIONS[OPPOSITES[motion]], v=verb)
        return super().action(i, motion)

    def clause(self, shot: dict[str, Any], place: str, same: bool) -> str:
        if shot["motions"] == [""]:
            return f"{place}，{self.noun(0, same)}".removeprefix("，")
        # A NUL stands for a place that is not said, and goes with the words around it.
        return re.sub("在?\0，?", "", super().clause(shot, place or "\0", same))

    def place(self, shot: dict[str, Any]) -> str:
        return super().place(shot) if shot["scene"] else "，".join(self.time_and_weather(shot))

    def own_moods(self) -> str:
        return f"气氛{'，'.join(self.moods)}"


# -- added to --------------------------------------------------------------------------------------------------
def _add_to(text: str, reading: Reading, rng: np.random.Generator) -> str:
    """Follow the prompt's own words with the background and mood of its scene, as far as nothing speaks against it."""
    words = load_lexicon()
    kinds = {words[c].kind for c in reading.concepts}
    if len(reading.scenes) != 1 or "shot" in kinds:
        return text
    scene, zh = reading.scenes[0], reading.language == "zh"
    phrases = _COMPOSERS[reading.language].phrases
    detail, mood = (table[scene][int(rng.integers(len(table[scene])))] for table in (phrases.details, phrases.moods))
    times = {c for c in reading.concepts if words[c].kind == "time"}
    usual = times <= {USUAL_TIMES.get(scene, "day")}
    parts = []
    if usual and not kinds & {"style", "weather", "prop", "event"}:
        parts.append(f"背景是{detail}" if zh else f"{detail[0].upper()}{detail[1:]} in the background")
    if "mood" not in kinds:
        parts.append(f"气氛{mood}" if zh else f"{mood.capitalize()} mood")
    stop, glue = ("。", "。") if zh else (".", ". ")
    for count in range(len(parts), 0, -1):
        whole = glue.join([re.sub(r"[\s.,。，]+$", "", text), *parts[:count]]) + stop
        if keeps(whole, reading):
            return whole
    return text
