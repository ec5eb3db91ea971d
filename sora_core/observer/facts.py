"""From what the observer says of every frame to facts about the clip: the cast, the shots, and how sure each fact is.

Facts are as the training world has them, so that `language.captions` can say them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..language.looks import LOOKS, USUAL_TIMES
from .network import FPS, ObserverConfig

MOST_SHOTS = 3  # that a caption tells
LEAST_SHOT = 3  # frames; what is shorter is no shot but a flash
LEAST_SECOND = 0.12  # how much of the first subject's evidence a second one needs

Confidence = dict[str, float]  # 0..1 by the name of a fact


@dataclass(frozen=True)
class Cast:
    """Who is in a clip."""

    subjects: list[int]  # numbers in `config.subjects`, in the order in which a caption names them
    relation: str  # between neighbours in that order, one of `config.relations`


def read_facts(
    logits: dict[str, Tensor], tracks: dict[str, np.ndarray], config: ObserverConfig
) -> tuple[dict[str, Any], Confidence]:
    """Read the facts of one clip, and how sure each is.

    logits: what `Observer` gives, without the batch. tracks: as in `watch.Sight`.
    """
    shots = shots_of(tracks["cut"])
    style, style_chance = choose(mean_of(logits["style"]), config.styles)
    cast, cast_confidence = read_cast(logits, tracks, len(shots), config)
    told = sorted(sorted(shots, key=lambda shot: shot[0] - shot[1])[:MOST_SHOTS])  # the longest, in order
    read = [read_shot(logits, shot, cast, config) for shot in told]
    shot_facts = [facts for facts, _ in read]
    # The world has events of a lone subject in one shot only.
    single = len(shots) == 1 and len(cast.subjects) == 1
    events, event_confidence = read_events(tracks["states"], config) if single else ([], {})
    first = shot_facts[0]
    facts = {
        **{key: first[key] for key in ("scene", "time_of_day", "weather", "camera", "relations")},
        "style": style,
        "shots": shot_facts,
        "subjects": [
            {
                "name": config.subjects[subject],
                "kind": LOOKS[config.subjects[subject]].kind,
                "colours": list(LOOKS[config.subjects[subject]].colours),
                "motion": first["motions"][n],
                "turn": first["turns"][n],
            }
            for n, subject in enumerate(cast.subjects)
        ],
        "events": events,
        "fps": FPS,
        "frames": len(tracks["cut"]),
    }
    confidence = least({"style": style_chance}, cast_confidence, *(found for _, found in read), event_confidence)
    # As if the four that a caption stands or falls with were independent.
    overall = float(np.prod([confidence[name] for name in ("subject", "scene", "motion", "camera")]))
    return facts, confidence | {"overall": overall}


def shots_of(cut: np.ndarray, threshold: float = 0.5) -> list[tuple[int, int]]:
    """Return (start, end) of each shot.

    cut: probabilities `[T]` that a shot begins. Peaks above the threshold count, LEAST_SHOT frames apart.
    """
    starts = [0]
    for i in sorted(np.flatnonzero(cut > threshold), key=lambda i: -cut[i]):
        if all(abs(i - s) >= LEAST_SHOT for s in starts) and len(cut) - i >= LEAST_SHOT:
            starts.append(int(i))
    starts.sort()
    return list(zip(starts, [*starts[1:], len(cut)], strict=True))


def groups_until(frames: int) -> int:
    """Return how many maps show anything of the first `frames` frames."""
    return 1 + -(-(frames - 1) // 4)


# -- the cast -----------------------------------------------------------------------------------------------
def read_cast(
    logits: dict[str, Tensor], tracks: dict[str, np.ndarray], shots: int, config: ObserverConfig
) -> tuple[Cast, Confidence]:
    """Read who is in a clip of `shots` shots."""
    confidence: Confidence = {}
    number = 1  # as the world has it where there are cuts
    if shots == 1:
        counts = tuple(str(n + 1) for n in range(config.most_subjects))
        said, confidence["number"] = choose(mean_of(logits["number"]), counts)
        number = int(said)
    evidence = subject_area(logits).sum((0, 2))
    order = evidence.argsort(descending=True).tolist()
    subjects = order[:number]
    while len(subjects) > 1 and evidence[subjects[-1]] < LEAST_SECOND * evidence[subjects[0]]:
        subjects.pop()
    weakest = float(evidence[subjects[-1]])
    rest = float(evidence[order[len(subjects)]]) if len(order) > len(subjects) else 0.0
    confidence["subject"] = weakest / max(weakest + rest, 1e-9)
    if len(subjects) == 1:
        return Cast(subjects, "none"), confidence
    # With two there is a relation: the first class, "none", is out.
    relation, confidence["relation"] = choose(mean_of(logits["relation"]), config.relations, config.relations[1:])
    return Cast(_in_order(subjects, relation, tracks, evidence), relation), confidence


def subject_area(logits: dict[str, Tensor]) -> Tensor:
    """Return the probability `[1+k,S,64]` that a cell of a map shows each subject."""
    return logits["subjects"].softmax(1)[:, 1:].flatten(2)


def _in_order(subjects: list[int], relation: str, tracks: dict[str, np.ndarray], evidence: Tensor) -> list[int]:
    """Return the subjects in the order in which a caption names them."""
    share = tracks["subjects"][:, :, None]
    place = (tracks["places"] * share).sum(0) / np.maximum(share.sum(0), 1e-9)
    if relation in ("above", "behind"):  # who stands behind shows higher up
        return sorted(subjects, key=lambda s: place[s, 1])
    if relation == "orbit":  # what circles is the smaller one
        return sorted(subjects, key=lambda s: float(evidence[s]))
    if relation == "follow":  # who follows is behind in the direction in which both go
        drift = sum(tracks["places"][-1, s, 0] - tracks["places"][0, s, 0] for s in subjects)
        return sorted(subjects, key=lambda s: place[s, 0], reverse=bool(drift < 0))
    return sorted(subjects, key=lambda s: place[s, 0])


# -- the shots ----------------------------------------------------------------------------------------------
def read_shot(
    logits: dict[str, Tensor], shot: tuple[int, int], cast: Cast, config: ObserverConfig
) -> tuple[dict[str, Any], Confidence]:
    """Read what a shot (start, end) shows, and how its subjects move."""
    start, end = shot
    scene, scene_chance = choose(mean_of(logits["scene"][start:end]), config.scenes)
    motions, motion_chance = read_motions(logits, shot, cast, config)
    time, time_chance = choose(mean_of(logits["time"][start:end]), config.times)
    weather, weather_chance = choose(mean_of(logits["weather"][start:end]), config.weathers)
    camera, camera_chance = choose(mean_of(logits["camera"][start:end]), config.cameras)
    kind = "left" if cast.relation == "side" else cast.relation
    pairs = range(len(cast.subjects) - 1) if cast.relation != "none" else ()
    facts = {
        "start": start,
        "end": end,
        "scene": scene,
        "time_of_day": time,
        "weather": weather,
        "usual_time": USUAL_TIMES.get(scene, "day"),
        "camera": camera,
        "motions": [motion.partition(" ")[0] for motion in motions],
        "turns": [motion.partition(" ")[2] for motion in motions],
        "relations": [[n, kind, n + 1] for n in pairs],
    }
    chances = {"scene": scene_chance, "motion": motion_chance, "time": time_chance}
    return facts, chances | {"weather": weather_chance, "camera": camera_chance}


def read_motions(
    logits: dict[str, Tensor], shot: tuple[int, int], cast: Cast, config: ObserverConfig
) -> tuple[list[str], float]:
    """Read each subject's motion in a shot, and how sure the least sure of them is.

    What the cells of the maps say is weighted by how surely they show the subject.
    """
    start, end = shot
    if end - start == 1:  # a picture does not move
        return ["still"] * len(cast.subjects), 1.0
    span = slice(groups_until(start + 1) if start else 0, groups_until(end))
    said = logits["motions"][span].log_softmax(1).flatten(2)  # [G,M,64]
    area = subject_area(logits)[span]
    found = []
    for n, subject in enumerate(cast.subjects):
        weight = area[:, subject] + 1e-6
        mean = (said * weight[:, None]).sum((0, 2)) / weight.sum()
        found.append(choose(mean, config.motions, _allowed_motions(cast.relation, n, config)))
    motions = [motion for motion, _ in found]
    if cast.relation == "follow":  # both go the same way
        motions = [motions[0]] * len(motions)
    return motions, min(chance for _, chance in found)


def _allowed_motions(relation: str, n: int, config: ObserverConfig) -> Collection[str]:
    """Return the motions that subject `n` of the cast can have in a relation."""
    if relation == "orbit":
        return ("still",) if n == 1 else ("orbit",)
    if relation == "follow":
        return ("left", "right")
    return [motion for motion in config.motions if motion != "orbit"]


def read_events(states: np.ndarray, config: ObserverConfig) -> tuple[list[dict[str, Any]], Confidence]:
    """Read the one event, if any, whose effect is seen for at least two frames.

    states: probabilities `[T,E]` that an event's effect is seen.
    """
    # The second largest probability over time: one frame alone may be a slip.
    seen = [(float(np.sort(p)[-2:].min()), n) for n, p in enumerate(states.T)] if len(states) > 1 else []
    best, n = max(seen, default=(0.0, 0))
    confidence = {"event": max(best, 1 - best)}
    if best <= 0.5:
        return [], confidence
    frames = np.flatnonzero(states[:, n] > 0.5)
    event = {"kind": config.events[n], "subject": 0, "frame": int(frames[0])}
    # Only an occlusion passes; of other events the effect stays.
    return [event | {"end": int(frames[-1]) + 1}] if config.events[n] == "occlusion" else [event], confidence


# -- confidence ---------------------------------------------------------------------------------------------
def mean_of(logits: Tensor) -> Tensor:
    """Return the mean log-probabilities `[n]` of logits `[T,n]`."""
    return logits.log_softmax(-1).mean(0)


def choose(scores: Tensor, names: tuple[str, ...], allowed: Collection[str] | None = None) -> tuple[str, float]:
    """Return the most probable of `names`, given scores `[n]`, and its probability among those in `allowed`."""
    if allowed is not None:
        scores = torch.where(torch.tensor([name in allowed for name in names]), scores, -torch.inf)
    chances = scores.softmax(-1)
    best = int(chances.argmax())
    return names[best], float(chances[best])


def least(*parts: Confidence) -> Confidence:
    """Merge confidences: a fact that is stated several times is as sure as the least sure of them."""
    merged: Confidence = {}
    for part in parts:
        for name, value in part.items():
            merged[name] = min(merged.get(name, 1.0), value)
    return merged
