"""Two or three subjects in one shot, in a relation that holds in every frame."""

from __future__ import annotations

import numpy as np

from .config import WorldConfig
from .motion import Track, camera_track, reach, track
from .plan import Actor, Chooser, Frame, Shot
from .scenes import SCENES

_SIDE_BY_SIDE = (("still", 5.0), ("bounce", 2.0), ("spin", 1.0))


def company_shot(
    config: WorldConfig, choose: Chooser, frame: Frame, names: list[str], setting: tuple[str, str, str]
) -> Shot:
    """Plan a shot of `names`; the first stands in the relation to the second, the second to the third.

    setting: scene, time of day, weather.
    """
    rng = choose.rng
    scene, time, weather = setting
    relation = choose.weighted("relation", config.relations, {"left", "right"} if len(names) == 3 else None)
    if len(names) == 3 and relation not in ("left", "right"):
        relation = "left"
    floor = SCENES[scene].floor
    if floor is not None:
        floor += rng.uniform(-0.01, 0.03)
    # Seldom: a camera that moves takes room from subjects that need it.
    moves = rng.random() < 0.18 and relation in ("left", "right", "behind") and len(names) == 2
    camera = choose.weighted("camera", config.cameras) if moves else str(choose.fixed.get("camera", "static"))
    moving = camera != "static"
    stage = _Lanes(rng, frame, names, floor, moving)
    relations = [(i, relation, i + 1) for i in range(len(names) - 1)]
    if relation in ("left", "right"):
        motions = (
            ["still"] * len(names)
            if moving
            else [
                # A third subject rests, or no caption could stay short.
                choose.weighted("motion", _SIDE_BY_SIDE) if i < 2 and len(names) < 3 or i == 0 else "still"
                for i in range(len(names))
            ]
        )
        actors = stage.row(relation, motions)
    else:
        actors = getattr(stage, relation)()
    for actor in actors:
        if actor.track.facing == 0:
            actor.track.facing = int(rng.choice([-1, 1]))
        actor.state = ["whole"] * frame.frames
    cam = camera_track(camera, frame.frames, rng)
    return Shot(
        0, frame.frames, scene, time, weather, camera, cam, actors, int(rng.integers(1 << 31)), relations=relations
    )


class _Lanes:
    """Places the subjects; one method a relation."""

    def __init__(
        self, rng: np.random.Generator, frame: Frame, names: list[str], floor: float | None, moving: bool
    ) -> None:
        self.rng, self.frame, self.names, self.floor, self.moving = rng, frame, names, floor, moving

    def _track(self, i: int, motion: str, size: float, x: float) -> Track:
        """Return the path of subject `i` in the lane `x`."""
        return track(
            motion,
            self.rng,
            self.frame.frames,
            size=size,
            floor=self.floor,
            x=x,
            half=self.frame.half(self.names[i], size),
        )

    def row(self, relation: str, motions: list[str]) -> list[Actor]:
        """Place them side by side, in the order of the names from the left (or from the right)."""
        n, rng = len(self.names), self.rng
        lanes = {2: (0.27, 0.73), 3: (0.18, 0.5, 0.82)}[n]
        low, high = {2: (0.34, 0.43), 3: (0.27, 0.31)}[n]
        if self.moving:  # a camera move needs room
            lanes, low, high = (0.32, 0.68), 0.27, 0.31
        if relation == "right":
            lanes = lanes[::-1]
        shared = rng.uniform(low, high)
        return [
            Actor(
                self.names[i],
                motions[i],
                self._track(i, motions[i], shared * rng.uniform(0.94, 1.06), lanes[i] + rng.uniform(-0.02, 0.02)),
            )
            for i in range(n)
        ]

    def above(self) -> list[Actor]:
        """Place the first over the second; both go the same way or rest."""
        rng, motion = self.rng, ("still", "left", "right")[int(self.rng.choice(3, p=(0.5, 0.25, 0.25)))]
        sizes, x = rng.uniform(0.32, 0.39, 2), rng.uniform(0.45, 0.55)
        below = self._track(1, motion, sizes[1], x)
        over = self._track(0, motion, sizes[0], x)
        over.x, over.facing = below.x + rng.uniform(-0.04, 0.04), below.facing
        if self.floor is None:
            below.y = np.full(self.frame.frames, 0.74)
        gap = self.frame.half(self.names[0], sizes[0]) + self.frame.half(self.names[1], sizes[1])
        over.y = below.y - gap - 0.05
        return [Actor(self.names[0], motion, over), Actor(self.names[1], motion, below)]

    def behind(self) -> list[Actor]:
        """Place the first a little higher, partly covered by the second."""
        rng, side = self.rng, self.rng.choice([-1, 1])
        size = rng.uniform(0.3, 0.34) if self.moving else rng.uniform(0.38, 0.45)
        apart = side * 0.11 * self.frame.side / self.frame.width
        front = self._track(1, "still", size, 0.5 + apart)
        back = self._track(0, "still", size * 1.02, 0.5 - apart)
        back.y = back.y - 0.12
        return [Actor(self.names[0], "still", back, depth=0), Actor(self.names[1], "still", front, depth=1)]

    def follow(self) -> list[Actor]:
        """Let the second lead, and the first come after it."""
        motion = "left" if self.rng.random() < 0.5 else "right"
        sign, size = (1 if motion == "right" else -1), self.rng.uniform(0.31, 0.37)
        lead, after = self._track(1, motion, size, 0.5), self._track(0, motion, size, 0.5)
        middle = 0.5 + sign * self.rng.uniform(0.34, 0.42) * reach(self.frame.frames) * (
            np.linspace(0, 1, self.frame.frames) - 0.5
        )
        lead.x, after.x = middle + sign * 0.2, middle - sign * 0.2
        return [Actor(self.names[0], motion, after), Actor(self.names[1], motion, lead)]

    def orbit(self) -> list[Actor]:
        """Let the first, small, circle around the second."""
        rng, frames = self.rng, self.frame.frames
        inner = self._track(1, "still", rng.uniform(0.32, 0.37), 0.5)
        inner.y = np.full(frames, 0.52)
        outer = self._track(0, "still", rng.uniform(0.22, 0.26), 0.5)
        turn = rng.choice([-1, 1]) * np.radians(rng.uniform(300, 380)) * reach(frames)
        angle = rng.uniform(0, 2 * np.pi) + turn * np.linspace(0, 1, frames)
        side = min(self.frame.height, self.frame.width)
        outer.x = 0.5 + 0.36 * np.cos(angle) * side / self.frame.width
        outer.y = 0.52 + 0.33 * np.sin(angle) * side / self.frame.height
        outer.facing = int(np.sign(turn))
        return [Actor(self.names[0], "orbit", outer, depth=1), Actor(self.names[1], "still", inner)]
