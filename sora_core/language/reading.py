"""A prompt read into facts: the way back from a caption, for captions and for prompts written freely.

The facts have the layout that captions are made from (see `captions.caption`), without paths and times. Reading is
strict: a prompt is understood only when every word of it that means something has found its place in the facts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..errors import expect
from .grammar import NounPhrase, ShotParser
from .lexicon import load_lexicon
from .looks import LOOKS, USUAL_TIMES
from .tokens import Clause, Token, language_of, sentences

MAX_CHARACTERS = 16_000  # of a prompt, brackets and weights included
# Function words that still mean something.
_TELLING = frozenset({"slowly", "fast", "ground", "middle", "whole"})
_SECOND_SHOT = ("第二个镜头", "第三个镜头")
# The words with which captions tell an event and what follows from it.
EFFECTS = {
    "bite": ("bite", "come out", "still"),
    "pop": ("pop", "gone"),
    "blow out": ("blow out", "dark", "camera"),
    "knock over": ("knock over", "still", "down"),
    "occlusion": ("behind", "tree", "come out"),
}


@dataclass
class Reading:
    """What a prompt says."""

    language: str  # "en" or "zh"
    concepts: list[str]  # names of all that the prompt says, in order
    unknown: list[str]  # words without a concept, each once
    words: int  # how many surface forms the prompt has
    facts: dict[str, Any] | None = None  # None unless everything was understood
    left_over: list[str] = field(default_factory=list)  # surface forms that were not
    moods: list[str] = field(default_factory=list)  # those that belong to the whole picture
    scenes: list[str] = field(default_factory=list)
    described: bool = False  # the prompt has a background or a mood of its own

    def means(self, concept: str, *instead: str) -> None:
        """Note what the word for `concept` means here: a static camera in "the camera stays still".

        Without `instead` it means nothing, as "shot" in "a video of".
        """
        self.concepts.remove(concept)
        self.concepts += instead

    @property
    def meanings(self) -> set[str]:
        """The concepts that another wording has to keep: all but articles and the like."""
        words = load_lexicon()
        return {c for c in self.concepts if words[c].kind != "function" or c in _TELLING}


def read(prompt: str) -> Reading:
    """Read what a prompt in English or Chinese says. Raises SoraError for more than MAX_CHARACTERS."""
    expect(
        len(prompt) <= MAX_CHARACTERS,
        f"The prompt has {len(prompt)} characters; at most {MAX_CHARACTERS} are read. Shorten it.",
    )
    said = sentences(prompt)
    tokens = [token for sentence in said for clause in sentence for token in clause]
    reading = Reading(
        language_of(prompt),
        [t.concept for t in tokens if t.concept],
        list(dict.fromkeys(t.surface for t in tokens if not t.concept)),
        len(tokens),
        scenes=list(dict.fromkeys(t.concept for t in tokens if t.kind == "scene")),
    )
    flat: list[Token] = []
    for sentence in said:
        words = [token for clause in sentence for token in clause]
        if any(t.concept == "background" for t in words) and not any(t.kind == "subject" for t in words):
            reading.described = True
            continue
        for clause in sentence:
            moods = [t.surface for t in clause if t.kind == "mood"]
            if moods and all(t.kind in ("mood", "function") for t in clause):
                reading.described = True
                reading.moods += moods
            else:
                flat += [*clause, Token("", "", "break")]
    _Reader(reading).read(flat)
    return reading


class _Reader:
    """Reads tokens into facts. They are taken away as their meaning is found; what remains is left over."""

    def __init__(self, reading: Reading) -> None:
        self.out = reading
        self.left_over = reading.left_over
        self.style = ""

    def read(self, tokens: list[Token]) -> None:
        """Set the reading's facts, unless something is left over."""
        parts = self.cut(tokens)
        cast: list[NounPhrase] = []
        shots = [self.shot(part, cast) for part in parts]
        if not cast:
            self.left_over.append("")  # nobody to speak of
        if self.left_over or (len(parts) > 1 and len(cast) > 1):
            return
        first = shots[0]
        subjects = [_subject(noun, motion) for noun, motion in zip(cast, first["motions"], strict=True)]
        events = [event for shot in shots for event in shot.pop("events")]
        if events and (len(shots) > 1 or len(subjects) > 1 or len(events) > 1):
            self.left_over.append(events[0]["kind"])
            return
        self.out.facts = {
            **{key: first[key] for key in ("scene", "time_of_day", "weather", "camera", "relations")},
            "style": self.style or "plain",
            "shots": shots,
            "subjects": subjects,
            "events": events,
        }

    def cut(self, tokens: list[Token]) -> list[list[Token]]:
        """Cut the tokens into those of each shot."""
        parts: list[list[Token]] = [[]]
        for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
            next_shot = token.concept == "shot" and before is not None and before.concept == "then"
            if token.concept == "shot":
                self.out.means("shot", *(["cut"] if next_shot else []))  # "a video of": nothing
            if token.concept == "cut" or next_shot or token.surface in _SECOND_SHOT:
                parts.append([])
            elif token.kind != "shot" and not (
                token.concept == "then" and after is not None and after.concept == "shot"
            ):
                parts[-1].append(token)
        return parts

    # -- one shot ------------------------------------------------------------------------------------------
    def shot(self, tokens: list[Token], cast: list[NounPhrase]) -> dict[str, Any]:
        """Read the tokens of one shot, and add whom it names first to `cast`."""
        clauses: list[Clause] = [[]]
        for token in tokens:
            if token.kind == "break":
                clauses.append([])
            else:
                clauses[-1].append(token)
        events = self.events(clauses)
        camera = self.camera(clauses)
        scene = self.place(clauses)
        usual = USUAL_TIMES.get(scene, "day")
        time = self.only(clauses, "time") or usual
        weather = self.only(clauses, "weather") or "clear"
        style = self.only(clauses, "style", lambda token, rest: not _before_noun(token, rest))
        if style:
            if self.style not in ("", style):
                self.left_over.append(style)
            self.style = style
        motions, relations = ShotParser(self.out.language, cast, self.left_over).parse(clauses)
        if motions == [""] and any(event["kind"] != "occlusion" for event in events):
            motions = ["still"]  # whom something happens to, and who does nothing else
        return {
            "scene": scene,
            "time_of_day": time,
            "weather": weather,
            "usual_time": usual,
            "camera": camera,
            "motions": motions,
            "relations": relations,
            "events": events,
        }

    def events(self, clauses: list[Clause]) -> list[dict[str, Any]]:
        """Find events, and take their words and those of their effects away; the subject's name stays."""
        said = {t.concept for clause in clauses for t in clause}
        kinds: list[str] = [kind for kind in ("bite", "pop", "blow out", "knock over") if kind in said]
        if {"behind", "tree", "come out"} <= said:
            kinds.append("occlusion")
        for kind in kinds:
            effects, begun = EFFECTS[kind], False
            triggers = ("behind", "tree") if kind == "occlusion" else (kind,)
            for clause in clauses:
                starts = any(t.concept in triggers for t in clause)
                follows = begun and all(t.concept in effects or t.kind == "function" for t in clause)
                if not starts and not follows and kind != "occlusion":
                    continue
                if starts and kind == "occlusion" and not any(t.kind == "direction" for t in clause):
                    clause[:] = [t for t in clause if t.concept != "move"]  # "passes behind a tree"
                kept = []
                for token in clause:
                    begun = begun or token.concept in triggers
                    if token.concept not in effects or not (begun or token.concept == "camera"):
                        kept.append(token)
                clause[:] = kept
        return [{"kind": kind, "subject": 0} for kind in kinds]

    def camera(self, clauses: list[Clause]) -> str:
        """Find what the camera does, in at most two moves: "pan left, zoom in"; "static" where nothing is said."""
        moves: list[str] = []
        for clause in clauses:
            found = []
            self.camera_directions(clause)
            for token in [t for t in clause if t.kind == "camera" and t.concept != "camera"]:
                found.append(token.surface if token.concept in ("pan", "tilt") else token.concept)
                clause.remove(token)
            for token in [t for t in clause if t.concept == "camera"]:
                still = next((t for t in clause if t.concept == "still"), None)
                if not found and still is not None and not any(t.kind == "subject" for t in clause):
                    found.append("static")
                    clause.remove(still)
                    self.out.means("still", "static")
                elif not found:
                    self.left_over.append(token.surface)
                clause.remove(token)
            moves += found
        # The world has no more than two moves in a clip, and the second is never a tilt.
        second = moves[1] if len(moves) > 1 else "zoom in"
        if len(moves) > 2 or ("static" in moves and len(moves) > 1) or second.startswith("tilt"):
            self.left_over.append("camera")
        return ", ".join(moves) or "static"

    def camera_directions(self, clause: Clause) -> None:
        """Give each pan and tilt of a clause its direction, and take that away."""
        for token in [t for t in clause if t.concept in ("pan", "tilt")]:
            direction = _direction_of(clause, clause.index(token))
            known = ("left", "right") if token.concept == "pan" else ("up", "down")
            if direction is None or direction.concept not in known:
                self.left_over.append(token.surface)
            else:
                clause.remove(direction)
                token.surface = f"{token.concept} {direction.concept}"

    def place(self, clauses: list[Clause]) -> str:
        """Find the scene, and take it away with the words that belong to it: "in front of snowy mountains"."""
        scenes = []
        for clause in clauses:
            while (at := next((i for i, t in enumerate(clause) if t.kind == "scene"), None)) is not None:
                scenes.append(clause[at].concept)
                first = at
                while first and clause[first - 1].kind in ("colour", "size", "mood", "unknown"):
                    first -= 1
                    if clause[first].kind == "unknown":
                        self.left_over.append(clause[first].surface)
                ahead = first - 1
                while ahead >= 0 and clause[ahead].kind == "function":
                    ahead -= 1
                last = at + 1
                if ahead >= 0 and clause[ahead].concept in ("in front", "above"):
                    first = ahead
                    self.out.means(clause[ahead].concept)
                elif last < len(clause) and clause[last].concept in ("beside", "in front", "above"):
                    self.out.means(clause[last].concept)
                    last += 1
                del clause[first:last]
        if len(set(scenes)) > 1:
            self.left_over += scenes
        return scenes[0] if scenes else ""

    def only(self, clauses: list[Clause], kind: str, counts: Callable[[Token, list[Token]], bool] | None = None) -> str:
        """Find the one concept of a kind that the shot names, and take it away; "" for none.

        `counts` tells of a token, by those after it in its clause, whether it is meant.
        """
        found = []
        for clause in clauses:
            for token in [t for t in clause if t.kind == kind]:
                if counts is None or counts(token, clause[clause.index(token) + 1 :]):
                    found.append(token.concept)
                    clause.remove(token)
        if len(set(found)) > 1:
            self.left_over += found
        return found[0] if found else ""


def _subject(noun: NounPhrase, motion: str) -> dict[str, Any]:
    """Write a subject's facts, as captions are made from, with what the prompt said of it."""
    look = LOOKS[noun.name]
    return {
        "name": noun.name,
        "kind": look.kind,
        "colours": list(noun.colours or look.colours),
        "motion": motion,
        "turn": noun.turn,
        "said": noun.said,
        "adjectives": noun.adjectives,
        "verb": noun.verb,
    }


def _before_noun(token: Token, rest: list[Token]) -> bool:
    """Return whether a style is one of a noun: "a black and white zebra", not "a black and white film of a zebra"."""
    return token.surface == "black and white" and bool(rest) and rest[0].kind == "subject"


def _direction_of(clause: Clause, at: int) -> Token | None:
    """Find the direction that belongs to a camera word: the next word that is none of grammar's, or the one before."""
    for way in (clause[at + 1 :], clause[:at][::-1]):
        token = next((t for t in way if t.kind != "function"), None)
        if token is not None and token.kind == "direction":
            return token
    return None
