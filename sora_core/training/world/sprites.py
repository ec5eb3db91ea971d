"""Sprites: premultiplied RGBA pictures of the subjects, from a folder of emoji or drawn by code."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np

from ...errors import SoraError
from .standins import DRAWN, NATIVE, draw
from .subjects import BY_NAME

_MIPS = (256, 192, 144, 108, 80, 60, 44, 32)


class SpriteBank:
    """Loads each subject once and serves it at the resolution nearest above what a frame needs.

    Raises SoraError for a folder that is not there.
    """

    def __init__(
        self,
        # Holds `<code>.webp` (in itself or in an `assets` folder below), RGBA; None draws stand-ins.
        folder: Path | None,
    ) -> None:
        self.folder: Path | None = None
        if folder is not None:
            base = Path(folder)
            self.folder = base / "assets" if (base / "assets").is_dir() else base
            if not self.folder.is_dir():
                raise SoraError(f"sprite folder not found: {folder}. Give the unpacked package, or none.")
        self._cache: dict[tuple[str, str], dict[int, np.ndarray]] = {}
        self._heights: dict[str, float] = {}

    def available(self, name: str) -> bool:
        """Return whether a picture of this subject exists here (drawn stand-ins always do)."""
        return name in DRAWN or (self.folder is not None and (self.folder / f"{BY_NAME[name].code}.webp").is_file())

    def get(self, name: str, size: float, variant: str = "whole") -> np.ndarray:
        """Return premultiplied float32 [m,m,4] 0..1 with m the smallest stored size not below `size` pixels.

        variant: a key of VARIANTS. Raises SoraError for a subject without a picture.
        """
        key = name, variant
        if key not in self._cache:
            full = VARIANTS[variant](self._load(name))
            self._cache[key] = {
                m: full if m == NATIVE else cv2.resize(full, (m, m), interpolation=cv2.INTER_AREA) for m in _MIPS
            }
        fit = [m for m in _MIPS if m >= size]
        return self._cache[key][fit[-1] if fit else NATIVE]

    def height(self, name: str) -> float:
        """Return the share of the square picture's height that the subject fills (it is centred)."""
        if name not in self._heights:
            rows = np.where(self.get(name, 32)[..., 3].max(axis=1) > 0.3)[0]
            self._heights[name] = float(rows[-1] + 1 - rows[0]) / 32
        return self._heights[name]

    def _load(self, name: str) -> np.ndarray:
        """Read or draw a picture: premultiplied float32 RGBA, square."""
        path = None if self.folder is None else self.folder / f"{BY_NAME[name].code}.webp"
        if path is not None and path.is_file():
            image = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
            if image is None or image.ndim != 3 or image.shape[2] != 4:
                raise SoraError(f"not a picture with transparency: {path.name}. Unpack it again.")
            rgba = image[..., [2, 1, 0, 3]].astype(np.float32) / 255
        elif name in DRAWN:
            rgba = draw(name)
        else:
            raise SoraError(
                f"no picture for subject {name!r}. Give the emoji folder, or pick from: {', '.join(DRAWN)}."
            )
        rgba[..., :3] *= rgba[..., 3:]
        return _square(rgba)


def _square(rgba: np.ndarray) -> np.ndarray:
    """Crop to the visible part, centre it in a square with a thin transparent rim, resize to NATIVE."""
    ys, xs = np.where(rgba[..., 3] > 0.04)
    y0, y1, x0, x1 = ys.min(), ys.max() + 1, xs.min(), xs.max() + 1
    side = max(y1 - y0, x1 - x0)
    pad = max(2, round(side * 0.012))
    out = np.zeros((side + 2 * pad, side + 2 * pad, 4), np.float32)
    oy, ox = pad + (side - (y1 - y0)) // 2, pad + (side - (x1 - x0)) // 2
    out[oy : oy + y1 - y0, ox : ox + x1 - x0] = rgba[y0:y1, x0:x1]
    return cv2.resize(out, (NATIVE, NATIVE), interpolation=cv2.INTER_AREA)


def _bitten(rgba: np.ndarray) -> np.ndarray:
    """Bite into the outline, up and to the right of the picture's centre of mass."""
    n = rgba.shape[0]
    ys, xs = np.where(rgba[..., 3] > 0.5)
    cy, cx = ys.mean(), xs.mean()
    edge = np.argmax((xs - cx) * 0.8 - (ys - cy) * 0.6)  # the farthest point that way
    y, x = float(ys[edge]), float(xs[edge])
    inward = np.array([cx - x, cy - y]) / max(1.0, float(np.hypot(cx - x, cy - y)))
    across = np.array([-inward[1], inward[0]])
    marks = ((0.05, 0.0, 0.15), (0.08, -0.13, 0.12), (0.08, 0.13, 0.12), (0.2, -0.06, 0.1), (0.2, 0.07, 0.1))
    # Deeper until the bite is a real one: corners are thin.
    for push in np.arange(0, 0.4, 0.04):
        mask = np.zeros((n, n), np.uint8)
        for deep, wide, r in marks:
            px, py = np.array([x, y]) + (inward * (deep + push) + across * wide) * n
            cv2.circle(mask, (int(px), int(py)), int(r * n), 255, -1, cv2.LINE_AA)
            edge_of = np.array([x, y]) + (inward * deep + across * wide) * n
            cv2.line(mask, (int(px), int(py)), (int(edge_of[0]), int(edge_of[1])), 255, int(2 * r * n))
        left = rgba * (1 - mask[..., None].astype(np.float32) / 255)
        if left[..., 3].sum() < 0.88 * rgba[..., 3].sum():
            break
    return left


def _burst(rgba: np.ndarray) -> np.ndarray:
    """Draw shreds that fly apart, in the picture's own colour."""
    n = rgba.shape[0]
    mask = np.zeros((n, n), np.uint8)
    for k in range(9):
        a = 2 * math.pi * k / 9
        tip, side = np.array([math.cos(a), math.sin(a)]), np.array([-math.sin(a), math.cos(a)])
        points = np.array(
            [0.5 + tip * 0.48, 0.5 + tip * 0.3 + side * 0.06, 0.5 + tip * 0.22, 0.5 + tip * 0.3 - side * 0.06]
        )
        cv2.fillPoly(mask, [np.round(points * n * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    solid = rgba[rgba[..., 3] > 0.9]
    colour = solid.mean(axis=0) if len(solid) else np.ones(4, np.float32)
    return (mask[..., None].astype(np.float32) / 255) * colour.astype(np.float32)


def _without_flame(rgba: np.ndarray) -> np.ndarray:
    """Fade out the top of the picture, where the flame is."""
    rows = np.clip((np.arange(rgba.shape[0]) / rgba.shape[0] - 0.29) / 0.02, 0, 1).astype(np.float32)
    return rgba * rows[:, None, None]


VARIANTS = {"whole": lambda rgba: rgba, "bitten": _bitten, "burst": _burst, "out": _without_flame}
