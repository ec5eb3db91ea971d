"""Events: something happens at one frame, and the world is different from then on."""

from __future__ import annotations

import numpy as np

from .motion import Track, camera_track, reach, track
from .plan import Actor, Chooser, Frame, Shot
from .scenes import SCENES

# Who can have which event: kinds or names; an event that is missing can happen to anybody.
SUBJECTS_OF: dict[str, tuple[str, ...]] = {
    "bite": ("food",),
    "pop": ("balloon",),
    "blow out": ("candle",),
    "knock over": ("tower",),
}
TREE_WIDTH = 0.33  # of the trunk, in short sides
_TREELESS = ("outer space", "underwater", "city at night", "volcano")


def incident_shot(event: str, choose: Chooser, frame: Frame, name: str, setting: tuple[str, str, str]) -> Shot:
    """Plan a shot in which `event` happens to `name`; setting: scene, time of day, weather.

    Its fact: kind, subject, frame (first frame that shows the effect) and, for an occlusion, end (first frame on which
    the subject is out again).
    """
    rng, frames = choose.rng, frame.frames
    scene, time, weather = setting
    if event == "occlusion" and scene in _TREELESS:
        scene, time, weather = "meadow", "day", "clear"
    floor = SCENES[scene].floor
    # Early and late enough to be seen before and after.
    when = int(rng.integers(round(0.3 * frames), round(0.62 * frames) + 1))
    size = rng.uniform(0.48, 0.6)
    fact = {"kind": event, "subject": 0, "frame": when}
    motion, state, light, tree = "still", ["whole"] * frames, None, None
    if event == "occlusion":
        motion = str(choose.fixed.get("motion", rng.choice(["left", "right"])))
        size = rng.uniform(0.3, 0.36)
    path = track(motion, rng, frames, size=size, floor=floor, half=frame.half(name, size))
    if event == "bite":
        state[when:] = ["bitten"] * (frames - when)
        path.stretch = 1 - 0.1 * np.exp(-(((np.arange(frames) - when) / 0.8) ** 2))
    elif event == "pop":
        path.y = np.full(frames, rng.uniform(0.42, 0.52))
        state[when:] = ["burst"] * min(2, frames - when) + ["gone"] * max(0, frames - when - 2)
    elif event == "blow out":
        state[when:] = ["out"] * (frames - when)
        light = np.where(np.arange(frames) < when, 1.0, np.where(np.arange(frames) == when, 0.55, 0.34))
    elif event == "knock over":
        _topple(path, frame, name, when, int(rng.choice([-1, 1])))
    elif event == "occlusion":
        tree = _pass_behind(path, motion, frame, fact)
    if path.facing == 0:
        path.facing = int(rng.choice([-1, 1]))
    actor = Actor(name, motion, path, state=state)
    return Shot(
        0,
        frames,
        scene,
        time,
        weather,
        "static",
        camera_track("static", frames, rng),
        [actor],
        int(rng.integers(1 << 31)),
        tree=tree,
        light=light,
        events=[fact],
    )


def _topple(path: Track, frame: Frame, name: str, when: int, side: int) -> None:
    """Fall sideways over a lower corner: the angle grows with constant acceleration, then the tower lies."""
    frames = np.arange(frame.frames)
    angle = np.clip(90 * ((frames - when + 1) / 5.0) ** 2, 0, 90) * (frames >= when)
    half_h, half_w = path.size * frame.bank.height(name) / 2, path.size * 0.2
    foot_x = path.x * frame.width / frame.side + side * half_w - side * path.size * 0.22 * 1.0
    foot_y = path.y * frame.height / frame.side + half_h
    r = np.radians(angle) * side
    vx, vy = -side * half_w, -half_h  # from the corner to the centre
    path.x = (foot_x + vx * np.cos(r) - vy * np.sin(r)) * frame.side / frame.width
    path.y = (foot_y + vx * np.sin(r) + vy * np.cos(r)) * frame.side / frame.height
    path.angle = angle * side


def _pass_behind(path: Track, motion: str, frame: Frame, fact: dict) -> float:
    """Cross the whole frame behind a tree in the middle; returns the tree's x."""
    sign = 1 if motion == "right" else -1
    half = 0.34 * min(1.0, reach(frame.frames) * 1.1)
    path.x = 0.5 + sign * np.linspace(-half, half, frame.frames)
    hidden = np.flatnonzero(np.abs(path.x - 0.5) * frame.width / frame.side < TREE_WIDTH / 2)
    fact["frame"] = int(hidden[0])
    fact["end"] = int(hidden[-1]) + 1
    return 0.5
