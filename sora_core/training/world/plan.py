"""What happens in a clip, decided before a pixel is drawn: shots, subjects, tracks, camera, events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .config import Weights
from .motion import Track
from .sprites import SpriteBank


@dataclass(frozen=True)
class Frame:
    """The clip's shape and the pictures at hand."""

    bank: SpriteBank
    height: int
    width: int
    frames: int

    @property
    def side(self) -> int:
        return min(self.height, self.width)

    def half(self, name: str, size: float) -> float:
        """Half of a subject's visible height as a fraction of the frame's."""
        return size * self.side / self.height * self.bank.height(name) / 2


@dataclass
class Actor:
    """A subject in one shot. depth: larger is nearer. state [T]: which variant of its picture shows
    ("whole", "bitten", "out", "gone", "burst").
    """

    name: str
    motion: str
    track: Track
    depth: int = 0
    state: list[str] = field(default_factory=list)


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
    number, so fixing one thing leaves the others as they were).
    """

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
