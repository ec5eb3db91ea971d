"""What is asked of the model: prompts with their truth, drawn from the parts of the world that training leaves out.

Seeds lie far from those of rendered training clips. Where one subject does one thing in one scene, the three words
together are a combination that `world.split.held_out` keeps for tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import expect
from ...language import caption
from ..world import PRESETS, RenderedClip, World
from ..world.config import CAMERAS, EVENTS
from ..world.facts import shot_facts
from ..world.split import REDRAWS, held_out, shows_held_out
from .measures import DIRECTIONS

FIRST_SEED = 970_000_000
PRACTICE_SEED = 800_000_000  # of what is asked in training, `practice` times PRACTICE_STEP apart
PRACTICE_STEP = 100_000
PLAIN = {"style": "plain", "event": "none", "n_subjects": "1", "shots": "1"}  # nothing but one subject and its motion
FREE_PROMPTS = Path(__file__).with_name("prompts_free.jsonl")


@dataclass(frozen=True)
class Case:
    """One clip to make, and what has to be seen in it."""

    prompts: tuple[str, ...]  # one, or one a shot
    must: dict[str, Any]  # what has to be seen, see `judge.judge`
    seed: int  # of the noise
    truth: tuple[str, int, dict[str, Any]]  # preset, seed and fixed choices of the world's clip of the same facts
    facts: dict[str, Any] = field(repr=False)  # of that clip
    latents: tuple[int, ...] = ()  # of each shot, empty for one shot
    free: bool = False  # written by hand: the prompt may leave open what the facts have


class Draw:
    """Makes cases of a preset's world. Scenes are in their natural light, so that a prompt's silence means that.

    Raises SoraError for a preset without cases, and a number of a set that is out of range.
    """

    def __init__(
        self,
        sprites: Path | None,  # folder of the subjects' pictures, None for drawn ones
        preset: str = "cast",
        # The number of a set of cases to train on, 0 to 1,000, of combinations and seeds that no test has; None for the
        # test's own.
        practice: int | None = None,
    ) -> None:
        expect(practice is None or 0 <= practice <= 1000, f"practice is {practice}: use 0 to 1000.")
        self.sprites, self.practice = sprites, practice
        self.first_seed = FIRST_SEED if practice is None else PRACTICE_SEED + PRACTICE_STEP * practice
        self.shots = "shots" if preset in ("stage", "starter") else f"{preset}-shots"
        expect({preset, self.shots} <= set(PRESETS), f"{preset!r} is no world that cases are drawn from: use 'cast'.")
        self.worlds = {
            name: World(replace(PRESETS[name], times=0.0, weathers=0.0), sprites) for name in (preset, self.shots)
        }
        self.preset = preset
        self.subjects = tuple(n for n in PRESETS[preset].subjects if self.worlds[preset].bank.available(n))
        self.scenes = PRESETS[preset].scenes

    def truth(self, case: Case) -> np.ndarray:
        """Render the world's clip of a case: float `[T,H,W,3]` 0..1."""
        return self.clip(case).frames / np.float32(255)

    def clip(self, case: Case) -> RenderedClip:
        """Render the world's clip of a case, with what each pixel shows."""
        preset, seed, fixed = case.truth
        return self.worlds[preset].sample(seed, fixed=fixed)

    def facts(self, world: str, seed: int, fixed: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Return seed and facts of a clip: of that seed, in practice of the first after it that no test asks for."""
        for again in range(100):
            facts = self.worlds[world].facts(seed + again * REDRAWS, fixed=fixed)
            if self.practice is None or not shows_held_out(facts):
                break
        return seed + again * REDRAWS, facts

    def one(self, i: int, must: dict[str, Any], language: str = "en", **fixed: str) -> Case:
        """Make case number `i`, of one shot; `fixed` choices are added to a plain clip's."""
        fixed = {**PLAIN, "camera": "static", **fixed}
        seed, facts = self.facts(self.preset, self.first_seed + i, fixed)
        length = ("short", "medium", "long")[i % 3]
        text = caption(facts, np.random.default_rng([i, 3]), language, length)
        return Case((text,), must, i, (self.preset, seed, fixed), facts)

    def combinations(self, motions: tuple[str, ...]) -> list[tuple[str, str, str]]:
        """List held-out (subject, scene, motion), in practice the others; each motion as often as the others.

        They are shuffled once and for all, in practice once a set.
        """
        by_motion = []
        for motion in motions:
            asked = self.practice is None
            found = [(s, p, motion) for s in self.subjects for p in self.scenes if held_out(s, p, motion) == asked]
            rng = np.random.default_rng(5 if self.practice is None else [5, self.practice])
            by_motion.append([found[k] for k in rng.permutation(len(found))])
        return [
            by_motion[i % len(motions)][i // len(motions) % len(by_motion[i % len(motions)])]
            for i in range(len(motions) * max(map(len, by_motion)))
        ]


def words(draw: Draw, n: int, language: str = "en") -> list[Case]:
    """Ask who is where, and which way it goes."""
    every = draw.combinations(tuple(DIRECTIONS))
    cases = []
    for i in range(n):
        subject, scene, motion = every[i % len(every)]
        wanted = {"subject": subject, "scene": scene, "motion": motion}
        cases.append(draw.one(i, wanted, language, **wanted))
    return cases


def motions(draw: Draw, n: int) -> list[Case]:
    """Ask for what is done on the spot."""
    every = draw.combinations(("still", "bounce", "spin", "grow", "shrink"))
    cases = []
    for i in range(n):
        subject, scene, motion = every[i % len(every)]
        cases.append(draw.one(10_000 + i, {"motion": motion}, subject=subject, scene=scene, motion=motion))
    return cases


def company(draw: Draw, n: int) -> list[Case]:
    """Ask for two subjects, side by side."""
    cases = []
    for i in range(n):
        case = draw.one(20_000 + i, {}, n_subjects="2", relation=("left", "right")[i % 2])
        a, b = (s["name"] for s in case.facts["subjects"])
        cases.append(replace(case, must={"subjects": [a, b], "relation": [a, ("left", "right")[i % 2], b]}))
    return cases


def camera(draw: Draw, n: int) -> list[Case]:
    """Ask for the path of the camera, of one move or two."""
    return [
        draw.one(30_000 + i, {"camera": CAMERAS[i % len(CAMERAS)]}, camera=CAMERAS[i % len(CAMERAS)], motion="still")
        for i in range(n)
    ]


def gravity(draw: Draw, n: int) -> list[Case]:
    """Ask for falling and bouncing."""
    every = draw.combinations(("fall", "bounce"))
    cases = []
    for i in range(n):
        subject, scene, motion = every[i % len(every)]
        case = draw.one(40_000 + i, {}, subject=subject, scene=scene, motion=motion)
        (path,) = (np.asarray(s["path"]) for s in case.facts["subjects"])
        # Where its middle is when it stands.
        ground = float(path[:, 1].max() / case.facts["height"])
        cases.append(replace(case, must={"ground": ground}))
    return cases


def effects(draw: Draw, n: int) -> list[Case]:
    """Ask for events that leave the world changed."""
    kinds = tuple(k for k in EVENTS if k not in ("none", "occlusion"))
    cases = []
    for i in range(n):
        case = draw.one(50_000 + i, {}, event=kinds[i % len(kinds)])
        (event,) = case.facts["events"]
        cases.append(replace(case, must={"event": event["kind"], "subject": case.facts["subjects"][0]["name"]}))
    return cases


def occlusion(draw: Draw, n: int) -> list[Case]:
    """Ask for a way behind a tree and out again."""
    cases = []
    for i in range(n):
        case = draw.one(60_000 + i, {}, event="occlusion", motion=("left", "right")[i % 2])
        (subject,) = case.facts["subjects"]
        cases.append(replace(case, must={"passes": subject["name"], "to": ("left", "right")[i % 2]}))
    return cases


def shots(draw: Draw, n: int) -> list[Case]:
    """Ask for two and three shots of one subject, each with a prompt of its own, as a storyboard has them."""
    cases = []
    for i in range(n):
        fixed = {"style": "plain", "camera": "static", "shots": ("2", "3")[i % 2]}
        seed, facts = draw.facts(draw.shots, draw.first_seed + 70_000 + i, fixed)
        rng = np.random.default_rng([i, 4])
        length = ("short", "medium")[i // 2 % 2]
        texts = tuple(caption(shot_facts(facts, k), rng, "en", length) for k in range(len(facts["shots"])))
        ends = [1 + (shot["end"] - 1) // 4 for shot in facts["shots"]]
        must = {
            "cuts": [shot["start"] for shot in facts["shots"][1:]],
            "cast": facts["subjects"][0]["name"],
            "scenes": [shot["scene"] for shot in facts["shots"]],
        }
        latents = tuple(int(k) for k in np.diff([0, *ends]))
        cases.append(Case(texts, must, 70_000 + i, (draw.shots, seed, fixed), facts, latents))
    return cases


def chinese(draw: Draw, n: int) -> list[Case]:
    """Ask for the same facts in English and in Chinese, one after the other, with the same noise."""
    pairs = zip(words(draw, -(-n // 2)), words(draw, -(-n // 2), "zh"), strict=True)
    return [
        replace(case, must={**case.must, "language": language})
        for pair in pairs
        for case, language in zip(pair, ("en", "zh"), strict=True)
    ]


def free(draw: Draw, n: int) -> list[Case]:
    """Ask what was written by hand, each prompt with what must be seen; of subjects that have a picture."""
    rows = [json.loads(line) for line in FREE_PROMPTS.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if cast_of(row["must"]) <= set(draw.subjects)]
    cases = []
    for i, row in enumerate(rows[:n]):
        must = row["must"]
        fixed = {**PLAIN, "camera": "static"}
        fixed |= {k: must[k] for k in ("subject", "scene", "motion", "camera", "style", "time", "weather") if k in must}
        if "event" in must:
            fixed["event"] = must["event"]
        elif "passes" in must:
            fixed |= {"event": "occlusion", "subject": must["passes"], "motion": must["to"]}
        elif "relation" in must:
            first, kind, _ = must["relation"]
            fixed |= {"subject": first, "n_subjects": "2", "relation": kind}
        world, seed = draw.worlds[draw.preset], FIRST_SEED + 100_000 * i
        facts = world.facts(seed, fixed=fixed)
        # The second subject cannot be chosen: look for a clip that has it.
        while "relation" in must and facts["subjects"][1]["name"] != must["relation"][2]:
            seed += 1
            facts = world.facts(seed, fixed=fixed)
        cases.append(Case((row["prompt"],), must, 90_000 + i, (draw.preset, seed, fixed), facts, free=True))
    return cases


def cast_of(must: dict[str, Any]) -> set[str]:
    """Return the subjects that a prompt names."""
    return {must[key] for key in ("subject", "passes") if key in must} | set(must.get("subjects", ()))


ABILITIES: dict[str, Callable[[Draw, int], list[Case]]] = {
    "words": words,
    "motions": motions,
    "company": company,
    "camera": camera,
    "gravity": gravity,
    "effects": effects,
    "occlusion": occlusion,
    "shots": shots,
    "chinese": chinese,
    "free": free,
}
# What a page says of each.
SUMMARIES = {
    "words": "Who, where, which way.",
    "motions": "What is done on the spot.",
    "company": "Two subjects, side by side.",
    "camera": "The path of the camera, of one move or two.",
    "gravity": "Falling and bouncing.",
    "effects": "Events that leave the world changed.",
    "occlusion": "Behind a tree and out again.",
    "shots": "Two and three shots of one subject, each with a prompt of its own, as a storyboard has them.",
    "chinese": "The same facts and noise in English and in Chinese, one after the other.",
    "free": "Prompts that were written by hand, each with what must be seen; of subjects that have a picture.",
}
