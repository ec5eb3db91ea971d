"""The camera's path, by registration of each frame with the next: shift and scale, no network."""

from __future__ import annotations

import cv2
import numpy as np

from ..world.render import FOCUS_Y

ITERATIONS = 6  # of Gauss-Newton
# What a whole move amounts to in a registration of all layers, which follow the camera by different amounts: pans
# and tilts in frames, zooms in the logarithm of scale.
WHOLE_MOVE = np.array([0.25, 0.15, 0.34])


def register(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Measure the camera from grey frame `a` to `b`, `[H,W]`: pan right, tilt down, zoom.

    Pan and tilt are fractions of the frame, zoom the logarithm of scale. Gauss-Newton on the brightness difference
    (Lucas and Kanade 1981) with Huber weights, scale about the point that the world's zooms hold still.
    """
    h, w = a.shape
    yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
    cx, cy = 0.5 * w - 0.5, FOCUS_Y * h - 0.5
    gy, gx = np.gradient(a)
    p = np.zeros(3)
    inner = np.zeros((h, w), bool)
    inner[h // 12 : -h // 12, w // 12 : -w // 12] = True  # what comes into the frame has no counterpart
    jacobian = np.stack((gx, gy, gx * (xx - cx) + gy * (yy - cy)), -1)[inner]
    for _ in range(ITERATIONS):
        seen = cv2.remap(
            b,
            (xx + p[0] + p[2] * (xx - cx)).astype(np.float32),
            (yy + p[1] + p[2] * (yy - cy)).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        error = (seen - a)[inner]
        limit = 1.5 * np.median(np.abs(error)) + 0.004
        weight = np.minimum(1, limit / np.maximum(np.abs(error), 1e-9))
        left = jacobian.T @ (jacobian * weight[:, None]) + 1e-3 * np.diag([1, 1, h * w / 12])
        p = p - np.linalg.solve(left, jacobian.T @ (error * weight))
    return np.array([-p[0] / w, -p[1] / h, np.log1p(max(p[2], -0.5))])


def camera_path(frames: np.ndarray) -> np.ndarray:
    """Measure what the camera does from each frame `[T,H,W,3]`, 0..1, to the next: `[T-1,3]`, see `register`."""
    grey = [cv2.GaussianBlur(f.mean(-1).astype(np.float32), (0, 0), 1.2 * min(f.shape[:2]) / 128) for f in frames]
    return np.stack([register(a, b) for a, b in zip(grey, grey[1:], strict=False)])


def template(moves: str) -> np.ndarray:
    """Tell what the two halves of a camera of this name amount to, `[2,3]` in whole moves."""
    halves = np.zeros((2, 3))
    parts = moves.split(", ")
    for half in range(2):
        move = parts[half] if len(parts) == 2 else parts[0]
        share = 0.8 if len(parts) == 2 else 0.5
        axis = {"pan": 0, "tilt": 1, "zoom": 2}.get(move.partition(" ")[0])
        if axis is not None:
            halves[half, axis] = share * (1 if move.partition(" ")[2] in ("right", "down", "in") else -1)
    return halves


def named_camera(frames: np.ndarray, cameras: tuple[str, ...]) -> str:
    """Return the camera among `cameras` whose moves are nearest to those of the frames, float `[T,H,W,3]` 0..1."""
    path = camera_path(frames) / WHOLE_MOVE
    middle = len(path) // 2
    halves = np.stack((path[:middle].sum(0), path[middle:].sum(0)))
    return min(cameras, key=lambda name: float(((halves - template(name)) ** 2).sum()))
