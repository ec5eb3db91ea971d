"""Is what must be seen there? One clip, one case; plain measurement where that works, the observer for names.

Every judge is held to the truth: `sora eval` puts its score on the world's own clips, through the VAE, beside that of
the model.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...captioning.observer import ObserverConfig, groups
from ...captioning.watch import Sight
from ..world.config import CAMERAS
from . import measures
from .camera import named_camera

THERE = 0.12  # a second subject needs this share of the evidence of the first
SAME_CUT = 1  # frames that a cut may be off


def judge(must: dict[str, Any], frames: np.ndarray, sight: Sight, v: ObserverConfig) -> dict[str, bool]:
    """Which of the facts of `must` are seen in frames float `[T,H,W,3]`. Keys of must:

    subject, scene, style, time, weather, motion, camera: names, or several that will do. subjects: two names,
    "subjects". relation: [a, "left" | "right", b]. ground: height at which a fall ends, gives "parabola", "ground" and
    "gravity". event: gives "effect lasts", "nothing before" and "effect" (both, on the right subject). passes, to: a
    subject that goes behind something, and where to, "same subject". cuts, cast, scenes: first frames of the later
    shots, the subject of all, the scene of each; "cuts", "subject kept", "scenes", and "shots" for all three.
    """
    facts, out = sight.facts, {}
    if "event" in must:
        out |= _effect(must, frames, sight, v)
    elif "subject" in must:
        out["subject"] = _one_of(most(sight.tracks["subjects"], v), must["subject"])
    for key, seen in (("style", "style"), ("time", "time_of_day"), ("weather", "weather"), ("scene", "scene")):
        if key in must:
            out[key] = _one_of(facts[seen], must[key])
    if "motion" in must:
        moves = must["motion"] in measures.DIRECTIONS and "camera" not in must
        name = measures.named_direction(frames) if moves else facts["shots"][0]["motions"][0]
        out["motion"] = _one_of(name, must["motion"])
    if "camera" in must:
        out["camera"] = _one_of(named_camera(frames, CAMERAS), must["camera"])
    if "subjects" in must:
        out["both"] = _both(must["subjects"], sight, v)
    if "relation" in must:
        out["relation"] = _relation(must["relation"], sight, v)
    if "ground" in must:
        out |= measures.falls(sight.tracks["centre"][:, 1], must["ground"])
        out["gravity"] = out["parabola"] and out["ground"]
    if "passes" in must:
        out["same subject"] = _passes(must["passes"], must["to"], sight, v)
    if "cuts" in must:
        out |= _shots(must, frames, sight, v)
    return out


def _one_of(name: str | None, wanted: str | list[str]) -> bool:
    return name == wanted or (isinstance(wanted, list) and name in wanted)


def most(subjects: np.ndarray, v: ObserverConfig) -> str:
    """The subject with the most evidence, from `[G,S]`."""
    return v.subjects[int(subjects.sum(0).argmax())]


def _both(names: list[str], sight: Sight, v: ObserverConfig) -> bool:
    """The two with the most evidence are these, and both are really there."""
    evidence = sight.tracks["subjects"].sum(0)
    first, second = np.argsort(-evidence)[:2]
    return {v.subjects[first], v.subjects[second]} == set(names) and bool(
        evidence[second] > THERE * evidence[first]
    )


def _relation(relation: list[str], sight: Sight, v: ObserverConfig) -> bool:
    """Both are there, and the first is on its side of the second."""
    a, side, b = relation
    i, j = v.subjects.index(a), v.subjects.index(b)
    evidence = sight.tracks["subjects"].sum(0)
    share = sight.tracks["subjects"][..., None]
    place = (sight.tracks["places"] * share).sum(0) / np.maximum(share.sum(0), 1e-9)
    there = min(evidence[i], evidence[j]) > THERE * evidence.max()
    apart = place[j, 0] - place[i, 0]
    return bool(there and (apart if side == "left" else -apart) > 0.1)


def _effect(must: dict[str, Any], frames: np.ndarray, sight: Sight, v: ObserverConfig) -> dict[str, bool]:
    """When it changes is measured, what it changes to is the observer's to say."""
    seen = sight.tracks["states"][:, v.events.index(must["event"])]
    subject = _one_of(most(sight.tracks["subjects"][:2], v), must["subject"])
    change = measures.change_for_good(frames)
    before = change is not None and change >= 3
    lasts = change is not None and change <= len(frames) - 3 and bool(seen[-4:].mean() > 0.5)
    return {"effect lasts": lasts, "nothing before": before, "effect": lasts and before and subject}


def _passes(name: str, to: str, sight: Sight, v: ObserverConfig) -> bool:
    """The same, right subject at both ends, gone from one side of the picture to the other."""
    subjects = sight.tracks["subjects"]
    if not most(subjects[:2], v) == most(subjects[-2:], v) == name:
        return False
    x = sight.tracks["places"][:, v.subjects.index(name), 0]
    gone = x[-1] - x[0]
    return bool((gone if to == "right" else -gone) > 0.25)


def _shots(must: dict[str, Any], frames: np.ndarray, sight: Sight, v: ObserverConfig) -> dict[str, bool]:
    cuts = measures.cuts(frames)
    same = len(cuts) == len(must["cuts"]) and all(
        abs(a - b) <= SAME_CUT for a, b in zip(cuts, must["cuts"], strict=True)
    )
    edges = [0, *must["cuts"], len(frames)]
    spans = list(zip(edges[:-1], edges[1:], strict=True))
    # A map belongs to the four frames up to its last one; cuts fall between maps.
    maps = [sight.tracks["subjects"][groups(a) if a else 0 : groups(b)] for a, b in spans]
    kept = all(most(part, v) == must["cast"] for part in maps)
    named = [v.scenes[int(sight.tracks["scenes"][a:b].mean(0).argmax())] for a, b in spans]
    right = named == must["scenes"]
    return {"cuts": same, "subject kept": kept, "scenes": right, "shots": same and kept and right}
