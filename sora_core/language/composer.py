"""What captions have in common in every language: which facts are said, and with which kinds of phrases.

`phrases_en` and `phrases_zh` bring the phrases and the grammar that joins them. Every choice draws from the caption's
generator, in a fixed order: a draw that is added, dropped or moved changes all captions that are drawn after it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .lexicon import load_lexicon

Table = Mapping[str, tuple[str, ...]]  # concept -> phrases that say it, one of which is drawn
# Kinds of subjects that may be over a place rather than in it.
IN_THE_AIR = ("aircraft", "insect", "face", "ball", "thing")
OPPOSITES = {"left": "right", "right": "left", "up": "down", "down": "up"}


@dataclass(frozen=True)
class Phrases:
    """A language's phrases. `{s}` in one is the subject's noun, `{d}` a direction, `{o}` its opposite, `{v}` a verb."""

    places: Table  # by scene: where something is
    skies: Table  # by scene, for what moves in the air; scenes without a sky are left out
    details: Table  # by scene: what the background shows
    moods: Table  # by scene
    times: Table
    weathers: Table  # all but "clear"
    styles: Table  # all but "plain"
    verbs: Table  # by kind of subject: how it moves along
    sideways: tuple[str, ...]  # moving to one side; what is plainest stands twice and is drawn more often
    motions: Table  # all but left and right
    cameras: Table
    next_cameras: Mapping[str, str]  # a second move of the camera
    events: Table
    brief_events: Table  # with nothing else about the one that it happens to


class Composer(ABC):
    """Composes one caption of `facts`."""

    language: ClassVar[str]
    phrases: ClassVar[Phrases]
    directions: ClassVar[Mapping[str, str]] = {}  # words for "left" and so on, where they are not these
    comma: ClassVar[str] = ", "

    def __init__(self, facts: dict[str, Any], rng: np.random.Generator, length: str) -> None:
        self.facts, self.rng, self.length = facts, rng, length
        self.coloured = facts["style"] in ("plain", "pixel art", "watercolor")
        self.words = load_lexicon()
        self.names = [self.pick(self.words[s["name"]].say(self.language)) for s in facts["subjects"]]
        self.in_brief = False  # the event is all that is said of the subject
        wanted = {"short": 0.0, "medium": 0.6, "long": 1.0}[length]
        # The text encoder reads 64 words: with three shots there is no room for colours.
        self.with_colour = self.coloured and len(facts["shots"]) < 3 and rng.random() < wanted

    def pick(self, options: tuple[str, ...]) -> str:
        """Draw one of several phrases."""
        return options[int(self.rng.integers(len(options)))]

    def compose(self) -> str:
        """Compose the caption."""
        facts, shots = self.facts, self.facts["shots"]
        parts = [part for number, shot in enumerate(shots) for part in self.shot(shot, number)]
        if facts["style"] != "plain":
            parts[0] = self.in_style(self.pick(self.phrases.styles[facts["style"]]), parts[0])
        for event in () if self.in_brief else facts["events"]:
            said = self.pick(self.phrases.events[event["kind"]])
            parts.insert(1, said.format(s=self.names[event["subject"]]))
        if self.length == "long" and len(shots) == 1 and len(facts["subjects"]) < 3:
            parts += self.atmosphere(shots[0])
        return self.join(parts)

    @abstractmethod
    def shot(self, shot: dict[str, Any], number: int) -> list[str]:
        """Describe shot `number`, from 0: who does what where, then what the camera does."""

    @abstractmethod
    def noun(self, i: int) -> str:
        """Name subject `i`, with its colours where they are said."""

    @abstractmethod
    def in_style(self, style: str, part: str) -> str:
        """Put the style before the caption's first part."""

    @abstractmethod
    def background(self, shot: dict[str, Any]) -> str:
        """Say what the background of a shot shows."""

    @abstractmethod
    def mood(self, shot: dict[str, Any]) -> str:
        """Say the mood of a shot's scene."""

    @abstractmethod
    def join(self, parts: list[str]) -> str:
        """Join the caption's parts, with the marks that its length wants."""

    # -- what is said --------------------------------------------------------------------------------------
    def where(self, shot: dict[str, Any]) -> str:
        """Say where a shot is: in its place, or over it."""
        phrases = self.phrases
        return self.pick((phrases.skies if self._over_it(shot) else phrases.places)[shot["scene"]])

    def _over_it(self, shot: dict[str, Any]) -> bool:
        """Draw whether the one subject is said to be over the place rather than in it."""
        can = (
            len(self.facts["subjects"]) == 1
            and shot["scene"] in self.phrases.skies
            and shot["motions"][0] != "fall"  # to fall over is something else
            and (shot["motions"][0] in ("up", "down") or self.facts["subjects"][0]["kind"] in IN_THE_AIR)
        )
        return can and self.rng.random() < 0.3

    def says_time(self, shot: dict[str, Any]) -> bool:
        """Return whether the time of day is said: an unusual one always, the usual daylight in long captions."""
        return shot["time_of_day"] != shot["usual_time"] or (
            self.length == "long"
            and len(self.facts["shots"]) == 1
            and shot["time_of_day"] == "day"
            and shot["scene"] != "underwater"
        )

    def atmosphere(self, shot: dict[str, Any]) -> list[str]:
        """Describe the background, where it looks as usual, and the mood: for long captions."""
        usual = shot["time_of_day"] == shot["usual_time"] and shot["weather"] == "clear"
        background = [self.background(shot)] if self.coloured and usual else []
        return [*background, self.mood(shot)]

    def brief_event(self) -> str:
        """Say an event alone ("a candle is blown out"): in half of the short captions, "" in all others."""
        kinds = [event["kind"] for event in self.facts["events"]]
        can = (
            self.length == "short"
            and bool(kinds)
            and kinds[0] in self.phrases.brief_events
            and self.facts["shots"][0]["motions"] == ["still"]
        )
        self.in_brief = can and self.rng.random() < 0.5
        return self.pick(self.phrases.brief_events[kinds[0]]).format(s=self.noun(0)) if self.in_brief else ""

    def camera(self, shot: dict[str, Any]) -> list[str]:
        """Say what the camera does, in at most two moves. That it is static is not always said, and never in short."""
        moves = shot["camera"]
        if moves == "static" and (len(self.facts["shots"]) > 1 or self.length == "short" or self.rng.random() < 0.4):
            return []
        said: list[str] = []
        for move in moves.split(", "):
            kind, _, direction = move.partition(" ")
            kind = move if kind in ("zoom", "static") else kind
            text = self.phrases.next_cameras[kind] if said else self.pick(self.first_cameras(kind, ", " not in moves))
            said.append(text.format(d=self.directions.get(direction, direction)))
        return [self.comma.join(said)]

    def first_cameras(self, kind: str, alone: bool) -> tuple[str, ...]:
        """List the phrases for the camera's first move; `alone` means that it is the only one."""
        return self.phrases.cameras[kind]
