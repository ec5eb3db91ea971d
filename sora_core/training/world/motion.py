"""Paths of subjects and cameras over the frames of one shot.

x is a fraction of the frame's width, y of its height, size of its short side, angle in degrees clockwise.
A distance belongs to a clip of 17 frames. Shorter shots go proportionally less far, longer ones slower: so a subject
never leaves the frame, and its speed never jumps out of the range that the model learns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

REFERENCE = 16  # frame steps of the reference clip
CUT_SPEEDS = (1.0, 1.7)  # distances of a clip twice as long, of which one half is shown: 0.5 to 0.85 of the usual speed


@dataclass
class Track:
    """One subject's state per frame of a shot, arrays [T]."""

    x: np.ndarray
    y: np.ndarray
    size: np.ndarray
    angle: np.ndarray
    stretch: np.ndarray  # height over width, volume kept
    facing: int = 0  # -1 left, 1 right, 0 as drawn
    contacts: list[int] = field(default_factory=list)  # frames at which it touches the ground
    flap: np.ndarray | None = None  # width as a share of the drawn one: wings that beat
    swim: np.ndarray | None = None  # phase (radians) of a wave that runs through the body


def reach(frames: int) -> float:
    """Return the share of the reference distance that a shot of this many frames covers."""
    return min(1.0, (frames - 1) / REFERENCE)


def _still(frames: int, x: float, y: float, size: float) -> Track:
    one = np.ones(frames)
    return Track(x * one, y * one, size * one, 0 * one, one.copy())


def track(
    motion: str,
    rng: np.random.Generator,
    frames: int,
    *,
    size: float,
    floor: float | None,
    half: float,
    x: float | None = None,
    scale: float = 1.0,
) -> Track:
    """Draw a track for `motion`.

    floor: y on which a resting subject stands, None if it floats. half: half of the subject's height as a fraction of
    the frame's height, at `size`. x: its lane, None for free choice. scale: share of the distances.
    """
    u = np.linspace(0, 1, frames) if frames > 1 else np.zeros(1)
    k = reach(frames) * scale
    mid_x = rng.uniform(0.42, 0.58) if x is None else x
    rest = (floor - half) if floor is not None else rng.uniform(0.44, 0.58)
    t = _still(frames, mid_x, rest, size)
    if motion in ("left", "right"):
        sign = 1 if motion == "right" else -1
        distance = rng.uniform(0.46, 0.56) * k
        t.x = mid_x + sign * distance * (u - 0.5)
        if floor is None:
            t.y = t.y + 0.02 * np.sin(2 * math.pi * (u + rng.random()))
        t.facing = sign
    elif motion in ("up", "down"):
        sign = 1 if motion == "down" else -1
        distance = rng.uniform(0.41, 0.5) * k
        t.y = np.full(frames, rng.uniform(0.47, 0.53)) + sign * distance * (u - 0.5)
    elif motion == "bounce":
        ground, top = (floor if floor is not None else 0.9) - half, half * 0.85
        period, phase = rng.uniform(8, 11), rng.choice([0.0, 0.5]) + rng.uniform(-0.1, 0.1)
        tau = (np.arange(frames) / period + phase) % 1.0
        t.y = ground - (ground - top) * rng.uniform(0.75, 1.0) * 4 * tau * (1 - tau)
        near = np.minimum(tau, 1 - tau) * period
        t.stretch = 1 - 0.22 * np.exp(-((near / 0.7) ** 2))
        t.contacts = [i for i in range(frames) if near[i] <= 0.5]
    elif motion == "fall":
        ground, top = (floor if floor is not None else 0.9) - half, half * 0.5
        t.y, t.contacts = _fall(frames, ground, top, float(rng.integers(8, 12)))
        for c in t.contacts:
            t.stretch = t.stretch - 0.16 * np.exp(-(((np.arange(frames) - c) / 0.8) ** 2))
    elif motion == "spin":
        turn = rng.choice([-1, 1]) * rng.uniform(270, 380) * k
        t.angle = turn * u
        if floor is not None:
            t.y = t.y - 0.06
    elif motion in ("grow", "shrink"):
        small, large = rng.uniform(0.24, 0.3), rng.uniform(0.58, 0.66)
        mid, span = (small + large) / 2, (large - small) * k
        t.size = mid + (span if motion == "grow" else -span) * (u - 0.5)
        if floor is not None:
            t.y = floor - 0.02 - half * t.size / size  # feet stay where they stand
    return t


def _fall(frames: int, ground: float, top: float, time: float, restitution: float = 0.45) -> tuple[np.ndarray, list]:
    """Fall freely from rest in `time` frames, then bounce to restitution**2 of the height each time, then rest.

    Returns the height of each frame and the frames at which it touches the ground.
    """
    g = 2 * (ground - top) / time**2
    y, contacts, start, speed = np.full(frames, ground), [], 0.0, 0.0
    flight, height = time, ground - top
    while start < frames and height > 0.015:
        for i in range(max(0, math.ceil(start)), min(frames, math.ceil(start + flight))):
            dt = i - start
            y[i] = ground - height + g * dt * dt / 2 if speed == 0 else ground - speed * dt + g * dt * dt / 2
        start += flight
        if round(start) < frames:
            contacts.append(round(start))
        speed = (g * flight if speed == 0 else speed) * restitution
        flight, height = 2 * speed / g, speed * speed / (2 * g)
    return y, contacts


def camera_track(moves: str, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Draw a camera's path [T,3] for "pan left, zoom in" and the like: x, y (fractions of the frame), zoom (>= 1)."""
    parts = moves.split(", ")
    cam = np.zeros((frames, 3))
    cam[:, 2] = 1.0
    u = np.linspace(0, 1, frames) if frames > 1 else np.zeros(1)
    k = reach(frames) * (1.0 if len(parts) == 1 else 0.8)
    for i, part in enumerate(parts):
        p = np.clip(u * len(parts) - i, 0, 1)  # this move's own progress
        if part.startswith("pan"):
            span = rng.uniform(0.3, 0.36) * k * (1 if part.endswith("right") else -1)
            cam[:, 0] += span * (p - 0.5)
        elif part.startswith("tilt"):
            cam[:, 1] += rng.uniform(0.18, 0.22) * k * (1 if part.endswith("down") else -1) * (p - 0.5)
        elif part.startswith("zoom"):
            ratio = 1 + rng.uniform(0.45, 0.55) * k
            cam[:, 2] *= ratio**p if part.endswith("in") else ratio ** (1 - p)
    return cam
