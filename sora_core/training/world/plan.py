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
    height: int  # pixels
    width: int
    frames: int

    @property
    def side(self) -> int:
        """The short side."""
        return min(self.height, self.width)

    def half(self, name: str, size: float) -> float:
        """Return half of a subject's visible height as a fraction of the frame's."""
        return size * self.side / self.height * self.bank.height(name) / 2


@dataclass
class Actor:
    """A subject in one shot."""

    name: str
    motion: str
    track: Track
    depth: int = 0  # larger is nearer
    # [T] which variant of its picture shows: "whole", "bitten", "out", "burst"; or "gone".
    state: list[str] = field(default_factory=list)


@dataclass
class Shot:
    """What happens between two cuts."""

    start: int  # first frame
    end: int  # frame after the last
    scene: str
    time: str
    weather: str
    camera: str
    cam: np.ndarray  # [T,3], see `motion.camera_track`
    actors: list[Actor]
    paint_seed: int
    relations: list[tuple[int, str, int]] = field(default_factory=list)  # actor, relation, actor
    tree: float | None = None  # x of a foreground tree
    light: np.ndarray | None = None  # [T] gain of the whole picture
    events: list[dict[str, Any]] = field(default_factory=list)  # facts of what happens


@dataclass
class Plan:
    """What a whole clip shows."""

    shots: list[Shot]
    style: str


class Chooser:
    """Draws from weights; a choice that the caller fixed is taken instead.

    That still spends its random number, so fixing one thing leaves the others as they were.
    """

    def __init__(self, rng: np.random.Generator, fixed: dict[str, Any]) -> None:
        self.rng, self.fixed = rng, fixed

    def weighted(self, key: str, weights: Weights, allowed: set[str] | None = None) -> str:
        """Choose a name by weight, among those that are `allowed`; key: what callers may have fixed."""
        pairs = [(n, w) for n, w in weights if w > 0 and (allowed is None or n in allowed)]
        r = self.rng.random()
        if key in self.fixed:
            return str(self.fixed[key])
        if not pairs:
            return weights[0][0]
        edges = np.cumsum([w for _, w in pairs])
        return pairs[min(int(np.searchsorted(edges / edges[-1], r)), len(pairs) - 1)][0]

    def one(self, key: str, items: tuple[str, ...]) -> str:
        """Choose one of `items`, all alike."""
        return self.weighted(key, tuple((item, 1.0) for item in items))
