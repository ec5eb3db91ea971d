"""What happens in a clip, decided before a pixel is drawn: shots, subjects, tracks, camera, events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sora_core.errors import SoraError
from sora_core.training.world.config import Weights, WorldConfig
from sora_core.training.world.motion import Track, camera_track, track
from sora_core.training.world.scenes import SCENES
from sora_core.training.world.sprites import SpriteBank


@dataclass
class Actor:
    """A subject in one shot. depth: larger is nearer. state [T]: which variant of its picture shows
    ("whole", "bitten", "out", "gone", "burst")."""

    name: str
    motion: str
    track: Track
    depth: int = 0
    state: list[str] = field(default_factory=list)
    pivot: bool = False  # falls over around its lower corner


@dataclass
class Shot:
    start: int
    end: int
    scene: str
    time: str
    weather: str
    camera: str
    cam: np.ndarray  # [T,3]
    actors: list[Actor]
    paint_seed: int
    relations: list[tuple[int, str, int]] = field(default_factory=list)
    tree: float | None = None  # x of a foreground tree
    light: np.ndarray | None = None  # [T] gain of the whole picture
    events: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Plan:
    shots: list[Shot]
    style: str


class Chooser:
    """Draws from weights; a choice that the caller fixed is taken instead (and still spends its random
    number, so fixing one thing leaves the others as they were)."""

    def __init__(self, rng: np.random.Generator, fixed: dict[str, Any]) -> None:
        self.rng, self.fixed = rng, fixed

    def weighted(self, key: str, weights: Weights, allowed: set[str] | None = None) -> str:
        pairs = [(n, w) for n, w in weights if w > 0 and (allowed is None or n in allowed)]
        r = self.rng.random()
        if key in self.fixed:
            return str(self.fixed[key])
        if not pairs:
            return weights[0][0]
        edges = np.cumsum([w for _, w in pairs])
        return pairs[min(int(np.searchsorted(edges / edges[-1], r)), len(pairs) - 1)][0]

    def one(self, key: str, items: tuple[str, ...]) -> str:
        return self.weighted(key, tuple((item, 1.0) for item in items))


def make_plan(
    config: WorldConfig,
    bank: SpriteBank,
    seed: int,
    height: int,
    width: int,
    frames: int,
    fixed: dict[str, Any] | None = None,
) -> Plan:
    """The plan of clip `seed`. fixed: choices to force, by key (see World.sample)."""
    rng = np.random.default_rng([seed, 7])
    choose = Chooser(rng, fixed or {})
    subjects = tuple(name for name in config.subjects if bank.available(name))
    if not subjects:
        raise SoraError("no subject of this world has a picture. Give the emoji folder, or use starter.")
    style = choose.weighted("style", config.styles)
    name = choose.one("subject", subjects)
    shot = _simple_shot(config, choose, bank, name, height, width, 0, frames)
    return Plan([shot], style)


def _setting(config: WorldConfig, choose: Chooser) -> tuple[str, str, str]:
    scene = choose.one("scene", config.scenes)
    info = SCENES[scene]
    other_time, other_weather = choose.rng.random() < config.times, choose.rng.random() < config.weathers
    time = choose.one("time", info.times[1:] or info.times) if other_time else info.times[0]
    weather = choose.one("weather", info.weathers[1:] or info.weathers) if other_weather else "clear"
    return scene, choose.fixed.get("time", time), choose.fixed.get("weather", weather)


def _simple_shot(
    config: WorldConfig,
    choose: Chooser,
    bank: SpriteBank,
    name: str,
    height: int,
    width: int,
    start: int,
    frames: int,
) -> Shot:
    """One subject doing one thing."""
    scene, time, weather = _setting(config, choose)
    camera = choose.weighted("camera", config.cameras)
    motion = choose.weighted("motion", config.motions)
    if camera != "static" and "motion" not in choose.fixed and choose.rng.random() < 0.85:
        motion = "still"  # a camera move reads best against a subject that rests
    rng = choose.rng
    size = rng.uniform(0.38, 0.45) if camera != "static" else rng.uniform(0.42, 0.62)
    floor = SCENES[scene].floor
    if floor is not None:
        floor += rng.uniform(-0.02, 0.03)
    half = size * min(height, width) / height * bank.height(name) / 2
    path = track(
        motion, rng, frames, size=size, floor=floor, half=half, scale=0.7 if camera != "static" else 1.0
    )
    if path.facing == 0:
        path.facing = int(rng.choice([-1, 1]))
    cam = camera_track(camera, frames, rng)
    actor = Actor(name, motion, path, state=["whole"] * frames)
    return Shot(start, start + frames, scene, time, weather, camera, cam, [actor], int(rng.integers(1 << 31)))
