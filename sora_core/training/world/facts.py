"""The ground truth of a clip as plain JSON-able data."""

from __future__ import annotations

from typing import Any

import numpy as np

from .config import WorldConfig
from .plan import Plan
from .render import screen_path
from .scenes import SCENES
from .subjects import BY_NAME


def _share(labels: np.ndarray, label: int) -> list[float]:
    """Return the share of each frame that shows the subject."""
    return (labels == label).mean(axis=(1, 2)).round(4).tolist()


def describe(
    plan: Plan, config: WorldConfig, height: int, width: int, labels: np.ndarray | None, labels_of: dict[str, int]
) -> dict[str, Any]:
    """Return the facts of a plan. Frames are counted from the clip's first; paths are [cx, cy, size] in pixels.

    labels: of the pixels, see `RenderedClip`, None where nothing was drawn; labels_of: the number of each subject.

    Of the facts, relations are [i, kind, j], "subject i is kind (left of, above, following ...) subject j"; visible is
    the share of each frame that shows the subject, None without labels; contacts are the frames at which it touches the
    ground.
    """
    first = plan.shots[0]
    shots = [
        {
            "start": s.start,
            "end": s.end,
            "scene": s.scene,
            "time_of_day": s.time,
            "weather": s.weather,
            "usual_time": SCENES[s.scene].times[0],
            "camera": s.camera,
            "camera_path": np.round(s.cam, 4).tolist(),
            "motions": [a.motion for a in s.actors],
            "relations": [list(r) for r in s.relations],
        }
        for s in plan.shots
    ]
    subjects = []
    for n, actor in enumerate(first.actors):
        path = np.concatenate([screen_path(s, n, height, width) for s in plan.shots])
        looks = BY_NAME[actor.name]
        turn = "clockwise" if actor.track.angle[-1] >= 0 else "anticlockwise"
        subjects.append(
            {
                "name": actor.name,
                "kind": looks.kind,
                "colours": list(looks.colours),
                "motion": actor.motion,
                "facing": actor.track.facing if looks.facing else 0,
                "path": np.round(path, 2).tolist(),
                "visible": None if labels is None else _share(labels, labels_of[actor.name]),
                "contacts": [c + s.start for s in plan.shots for c in s.actors[n].track.contacts],
                "turn": turn if actor.motion == "spin" else "",
            }
        )
    return {
        "scene": first.scene,
        "time_of_day": first.time,
        "weather": first.weather,
        "style": plan.style,
        "camera": first.camera,
        "relations": [list(r) for r in first.relations],
        "shots": shots,
        "subjects": subjects,
        "events": [e for s in plan.shots for e in s.events],
        "fps": config.fps,
        "frames": plan.shots[-1].end,
        "height": height,
        "width": width,
    }


def cut_facts(facts: dict[str, Any], start: int, end: int) -> dict[str, Any]:
    """Return the facts of the frames `start` to `end` of a clip of one shot without events."""
    (shot,) = facts["shots"]
    shot = {**shot, "start": 0, "end": end - start, "camera_path": shot["camera_path"][start:end]}
    subjects = [
        {
            **subject,
            "path": subject["path"][start:end],
            "visible": None if subject["visible"] is None else subject["visible"][start:end],
            "contacts": [c - start for c in subject["contacts"] if start <= c < end],
        }
        for subject in facts["subjects"]
    ]
    return {**facts, "shots": [shot], "subjects": subjects, "frames": end - start}


def shot_facts(facts: dict[str, Any], number: int) -> dict[str, Any]:
    """Return what shot `number` alone would say: the facts that its own prompt is made from. Paths stay the clip's."""
    shot = facts["shots"][number]
    subjects = [
        {**subject, "motion": motion, "turn": subject["turn"] if subject["motion"] == motion else ""}
        for subject, motion in zip(facts["subjects"], shot["motions"], strict=True)
    ]
    own = {key: shot[key] for key in ("scene", "time_of_day", "weather", "camera", "relations")}
    events = [event for event in facts["events"] if shot["start"] <= event["frame"] < shot["end"]]
    return {**facts, **own, "shots": [shot], "subjects": subjects, "events": events}
