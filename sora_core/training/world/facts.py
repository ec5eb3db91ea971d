"""The ground truth of a clip as plain JSON-able data."""

from __future__ import annotations

from typing import Any

import numpy as np

from sora_core.training.world.config import WorldConfig
from sora_core.training.world.plan import Plan
from sora_core.training.world.render import screen_path
from sora_core.training.world.subjects import BY_NAME


def describe(
    plan: Plan, config: WorldConfig, height: int, width: int, labels: np.ndarray, labels_of: dict[str, int]
) -> dict[str, Any]:
    """Facts of a plan. Frames are counted from the clip's first; paths are [cx, cy, size] in pixels."""
    first = plan.shots[0]
    shots = [
        {
            "start": s.start,
            "end": s.end,
            "scene": s.scene,
            "time_of_day": s.time,
            "weather": s.weather,
            "camera": s.camera,
            "camera_path": np.round(s.cam, 4).tolist(),
            "motions": [a.motion for a in s.actors],
            "relation": s.relation,
        }
        for s in plan.shots
    ]
    subjects = []
    for n, actor in enumerate(first.actors):
        path = np.concatenate([screen_path(s, n, height, width) for s in plan.shots])
        seen = (labels == labels_of[actor.name]).reshape(len(labels), -1).sum(axis=1)
        subjects.append(
            {
                "name": actor.name,
                "kind": BY_NAME[actor.name].kind,
                "colours": list(BY_NAME[actor.name].colours),
                "motion": actor.motion,
                "facing": actor.track.facing if BY_NAME[actor.name].facing else 0,
                "path": np.round(path, 2).tolist(),
                "visible": (seen / (height * width)).round(4).tolist(),
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
        "relation": first.relation,
        "shots": shots,
        "subjects": subjects,
        "events": [e for s in plan.shots for e in s.events],
        "fps": config.fps,
        "frames": plan.shots[-1].end,
        "height": height,
        "width": width,
    }
