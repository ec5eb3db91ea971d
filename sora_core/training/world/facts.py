"""The ground truth of a clip as plain JSON-able data."""

from __future__ import annotations

from typing import Any

import numpy as np

from sora_core.training.world.config import WorldConfig
from sora_core.training.world.plan import Plan
from sora_core.training.world.render import screen_path
from sora_core.training.world.scenes import SCENES
from sora_core.training.world.subjects import BY_NAME


def _share(labels: np.ndarray, label: int) -> list[float]:
    """Share of each frame that shows the subject."""
    return (labels == label).mean(axis=(1, 2)).round(4).tolist()


def describe(
    plan: Plan,
    config: WorldConfig,
    height: int,
    width: int,
    labels: np.ndarray | None,
    labels_of: dict[str, int],
) -> dict[str, Any]:
    """Facts of a plan. Frames are counted from the clip's first; paths are [cx, cy, size] in pixels.

    relations: [i, kind, j], "subject i is kind (left of, above, following ...) subject j"; visible: share of
    each frame that shows the subject, None without labels; contacts: frames at which it touches the ground.
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
        subjects.append(
            {
                "name": actor.name,
                "kind": BY_NAME[actor.name].kind,
                "colours": list(BY_NAME[actor.name].colours),
                "motion": actor.motion,
                "facing": actor.track.facing if BY_NAME[actor.name].facing else 0,
                "path": np.round(path, 2).tolist(),
                "visible": None if labels is None else _share(labels, labels_of[actor.name]),
                "contacts": [c + s.start for s in plan.shots for c in s.actors[n].track.contacts],
                "turn": ""
                if actor.motion != "spin"
                else ("clockwise" if actor.track.angle[-1] >= 0 else "anticlockwise"),
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
