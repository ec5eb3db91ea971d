"""Plain measurements of a video, without a network. Frames are float `[T,H,W,3]` in 0..1 as numpy arrays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


def interval(hits: int, n: int, z: float = 1.96) -> list[float]:
    """Return the Wilson score interval of a proportion, in per cent (Wilson 1927)."""
    p = hits / n
    centre, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return [round(100 * (centre + s * spread) / (1 + z * z / n), 1) for s in (-1, 1)]


def proportion(hits: Sequence[bool]) -> dict[str, Any]:
    """Return {"percent", "interval" (95%), "clips"} of what is right."""
    count = sum(map(bool, hits))
    return {"percent": round(100 * count / len(hits), 1), "interval": interval(count, len(hits)), "clips": len(hits)}


def centroids(frames: np.ndarray) -> np.ndarray:
    """Find the middle of what differs from the median over time: x, y `[T,2]`, fractions of the frame.

    NaN where too little differs.
    """
    change = np.abs(frames - np.median(frames, 0)).sum(-1)
    change = np.where(change > 0.25, change, 0)
    weight = change.sum((1, 2))
    seen = weight > 0.15 * weight.max() if weight.max() > 0 else np.zeros(len(frames), bool)
    _, h, w = change.shape
    out = np.full((len(frames), 2), np.nan)
    out[seen, 0] = (change.sum(1) @ np.arange(w))[seen] / weight[seen] / w
    out[seen, 1] = (change.sum(2) @ np.arange(h))[seen] / weight[seen] / h
    return out


def named_direction(frames: np.ndarray) -> str | None:
    """Name the direction in which what moves goes, None if nothing does. The camera must be static."""
    place = centroids(frames)
    seen = np.isfinite(place[:, 0])
    if seen.sum() < 3:
        return None
    t = np.arange(len(frames))[seen]
    slope = np.array([np.polyfit(t, place[seen, axis], 1)[0] for axis in (0, 1)])
    return max(DIRECTIONS, key=lambda name: float(slope @ np.array(DIRECTIONS[name])))


def layout(frames: np.ndarray) -> np.ndarray:
    """Return the mean colours `[48]` of a 4x4 grid of cells, of the median over time: what moves hardly touches it."""
    still = np.median(frames, 0)
    h, w, _ = still.shape
    return still[: h // 4 * 4, : w // 4 * 4].reshape(4, h // 4, 4, w // 4, 3).mean((1, 3)).ravel()


def speed(frames: np.ndarray) -> float:
    """Measure how much moves: mean absolute difference of neighbouring frames, in 255ths."""
    return float(np.abs(np.diff(frames, axis=0)).mean() * 255)


def change_for_good(frames: np.ndarray, least: float = 0.004) -> int | None:
    """Find the frame from which on a clip looks as at its end, before which it looked as at its start.

    Judged where start and end differ. None where that is less than `least` of the picture, or where it goes back and
    forth.
    """
    start, end = np.median(frames[:3], 0), np.median(frames[-3:], 0)
    where = np.abs(start - end).sum(-1) > 0.3
    if where.mean() < least:
        return None
    away = np.abs(frames - start)[:, where].mean((1, 2)) - np.abs(frames - end)[:, where].mean((1, 2))
    after = away > 0
    first = int(after.argmax())
    return first if after[first:].all() and not after[:first].any() and after.any() else None


def parabola(y: np.ndarray) -> tuple[float, float]:
    """Fit a parabola to heights `[n]` in time, n >= 4, by least squares.

    Returns its acceleration per frame squared (positive = downwards, as y grows downwards), and the share of variance
    that it explains.
    """
    t = np.arange(len(y))
    fit = np.polyfit(t, y, 2)
    rest = y - np.polyval(fit, t)
    return float(2 * fit[0]), float(1 - rest.var() / max(y.var(), 1e-12))


def contacts(y: np.ndarray) -> list[int]:
    """Find the frames at which a height `[n]` (growing downwards) is lowest for a moment: where a flight ends.

    What is still on its way down in the last frame has not landed yet, unless it is about as low as ever.
    """
    deep = y.max() - 0.35 * np.ptp(y)
    found: list[int] = []
    for i in range(1, len(y) if y[-1] > y.max() - 0.1 * np.ptp(y) else len(y) - 1):
        around = y[max(0, i - 2) : i + 3]
        if y[i] >= around.max() and y[i] > deep and (not found or i - found[-1] > 2):
            found.append(i)
    return found


def falls(y: np.ndarray, ground: float, tolerance: float = 0.12) -> dict[str, bool]:
    """Tell whether a height `[n]` (fractions of the frame, downwards) obeys gravity and a ground.

    "parabola": every flight (5 frames in the air, an eighth of the frame high) fits a parabola that is pulled down;
    "ground": it touches down, within `tolerance` of the height `ground`, and nowhere above.
    """
    touches = contacts(y)
    # The frames of a touchdown itself belong to no flight: what lands is squashed, or smeared by the VAE.
    edges = [-1, *touches, len(y)]
    flights = [y[a + 1 : b] for a, b in zip(edges, edges[1:], strict=False) if b - a > 5]
    fits = [parabola(f) for f in flights if np.ptp(f) > 0.125]
    return {
        "parabola": bool(fits) and all(pull > 0.004 and share > 0.8 for pull, share in fits),
        "ground": bool(touches) and all(abs(y[i] - ground) < tolerance for i in touches),
    }
