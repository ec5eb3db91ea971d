"""What the observer should say of a clip, frame by frame, from the world's facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...observer.network import GRID, ObserverConfig, groups

RELATIONS = ("none", "side", "above", "behind", "follow", "orbit")
# A mirrored clip shows these in place of those.
_MIRRORED = {"left": "right", "right": "left", "spin clockwise": "spin anticlockwise"}
_MIRRORED |= {new: old for old, new in _MIRRORED.items()}


def motion_names() -> tuple[str, ...]:
    """Return the world's motions, with the two turns of a spin told apart."""
    from ..world.config import MOTIONS

    named = [m for m in MOTIONS if m != "spin"]
    return (*named, "spin clockwise", "spin anticlockwise", "orbit")


@dataclass
class Targets:
    """What should be said of a clip of T = 1+4k frames."""

    # Of every frame: int64 [T] for each head, -1 where nothing can be said; "cut" float [T]; "states" float [T,E];
    # "centre" float [T,2], NaN where it is not known.
    frames: dict[str, np.ndarray]
    maps: dict[str, np.ndarray]  # "subjects" and "motions" int64 [1+k,8,8]
    camera_whole: bool  # the camera's path is one move, which a part of the clip shows too

    def part(self, start: int, frames: int) -> Targets:
        """Return the targets of `frames` frames from `start` (a multiple of 4) on."""
        cut = {name: value[start : start + frames] for name, value in self.frames.items()}
        if start and len(cut["cut"]):
            cut["cut"] = np.concatenate(([0], cut["cut"][1:])).astype(np.float32)
        if len(cut["scene"]) < len(self.frames["scene"]) and not self.camera_whole:
            cut["camera"] = np.full_like(cut["camera"], -1)
        first = start // 4
        return Targets(cut, {k: v[first : first + groups(frames)] for k, v in self.maps.items()}, self.camera_whole)

    @staticmethod
    def stack(targets: Sequence[Targets]) -> dict[str, Tensor]:
        """Stack the targets of clips of one length, each under its name."""
        every = [{**t.frames, **t.maps} for t in targets]
        return {name: torch.from_numpy(np.stack([t[name] for t in every])) for name in every[0]}


def describe_targets(fact: dict[str, Any], labels: np.ndarray, vocabulary: ObserverConfig) -> Targets:
    """Return what the observer should say of a clip of the world.

    labels: uint8 `[1+k,h,w]`, subject of each 16x16 pixels as `token_labels` gives it, 0 for none.
    """
    total = fact["frames"]
    shot_of = np.zeros(total, np.int64)
    for number, shot in enumerate(fact["shots"]):
        shot_of[shot["start"] : shot["end"]] = number

    def by_shot(key: str, names: tuple[str, ...]) -> np.ndarray:
        return np.array([names.index(fact["shots"][n][key]) for n in shot_of])

    def always(value: int) -> np.ndarray:
        return np.full(total, value, np.int64)

    v = vocabulary
    relations = [_relation(shot["relations"]) for shot in fact["shots"]]
    states = np.zeros((total, len(v.events)), np.float32)
    for event in fact["events"]:
        states[event["frame"] : event.get("end", total), v.events.index(event["kind"])] = 1
    cut = np.zeros(total, np.float32)
    cut[[shot["start"] for shot in fact["shots"][1:]]] = 1
    frames = {
        "scene": by_shot("scene", v.scenes),
        "camera": by_shot("camera", v.cameras),
        "time": by_shot("time_of_day", v.times),
        "weather": by_shot("weather", v.weathers),
        "style": always(v.styles.index(fact["style"])),
        "number": always(min(len(fact["subjects"]), v.most_subjects) - 1),
        "relation": np.array([RELATIONS.index(relations[n]) for n in shot_of]),
        "cut": cut,
        "states": states,
        "centre": centre_of(fact),
    }
    maps = _maps(fact, labels, shot_of, v)
    whole = all(", " not in shot["camera"] for shot in fact["shots"])
    return Targets(frames, maps, whole)


def _relation(relations: list) -> str:
    """Name the first relation; a mirror cannot tell left from right, so both are "side"."""
    if not relations:
        return "none"
    kind = relations[0][1]
    return "side" if kind in ("left", "right") else kind


def centre_of(fact: dict[str, Any]) -> np.ndarray:
    """Return where a lone subject is, `[T,2]` fractions of the frame; NaN for company, and while it is not seen."""
    total = fact["frames"]
    out = np.full((total, 2), np.nan, np.float32)
    if len(fact["subjects"]) == 1:
        (subject,) = fact["subjects"]
        path = np.asarray(subject["path"], np.float32)[:, :2] / (fact["width"], fact["height"])
        seen = np.asarray(subject["visible"]) > 0.004 if subject["visible"] else np.ones(total, bool)
        seen &= (path > 0.02).all(1) & (path < 0.98).all(1)
        out[seen] = path[seen]
    return out


def _maps(fact: dict[str, Any], labels: np.ndarray, shot_of: np.ndarray, v: ObserverConfig) -> dict[str, np.ndarray]:
    """Return which subject each cell shows, and what that does; -1 where no motion can be said."""
    rows, columns = (np.minimum((np.arange(GRID) + 0.5) / GRID * n, n - 1).astype(int) for n in labels.shape[1:])
    subjects = labels[:, rows][:, :, columns].astype(np.int64)
    motions = np.full(subjects.shape, -1, np.int64)
    for number, subject in enumerate(fact["subjects"]):
        label = 1 + v.subjects.index(subject["name"])
        for group in range(len(subjects)):
            motion = fact["shots"][shot_of[min(4 * group, len(shot_of) - 1)]]["motions"][number]
            if motion == "spin":
                motion = f"spin {subject['turn']}" if subject["turn"] else ""
            if motion in v.motions:
                motions[group][subjects[group] == label] = v.motions.index(motion)
    return {"subjects": subjects, "motions": motions}


def mirror(target: Targets, v: ObserverConfig) -> Targets:
    """Return the targets of the clip seen in a mirror."""
    swap = np.array([v.motions.index(_MIRRORED.get(name, name)) for name in v.motions] + [-1])
    turned = np.array([v.cameras.index(_mirrored_camera(name)) for name in v.cameras] + [-1])
    frames = dict(target.frames)
    frames["camera"] = turned[frames["camera"]]
    frames["centre"] = np.stack((1 - frames["centre"][:, 0], frames["centre"][:, 1]), 1)
    maps = {
        "subjects": target.maps["subjects"][:, :, ::-1].copy(),
        "motions": swap[target.maps["motions"]][:, :, ::-1].copy(),
    }
    return Targets(frames, maps, target.camera_whole)


def _mirrored_camera(moves: str) -> str:
    sides = {"pan left": "pan right", "pan right": "pan left"}
    return ", ".join(sides.get(move, move) for move in moves.split(", "))
