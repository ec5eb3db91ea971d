"""Subjects drawn by code, for tests and for anybody without the emoji pictures."""

from __future__ import annotations

import math

import cv2
import numpy as np

NATIVE = 256  # side of a subject's picture

# Coordinates run 0..1 over the picture; each shape is (kind, colour, numbers).
_RED, _YELLOW, _BLUE, _GREEN = (226, 52, 52), (250, 202, 44), (58, 130, 232), (58, 178, 86)
_ORANGE, _WHITE, _DARK = (244, 146, 62), (246, 246, 250), (44, 40, 58)
_GREY, _PINK, _BROWN = (158, 162, 178), (250, 140, 170), (146, 92, 56)


def _star_points(n: int = 5) -> list[float]:
    out = []
    for i in range(2 * n):
        r, a = (0.48 if i % 2 == 0 else 0.21), math.pi * (i / n - 0.5)
        out += [0.5 + r * math.cos(a), 0.52 + r * math.sin(a)]
    return out


DRAWN: dict[str, list[tuple[str, tuple[int, int, int], list[float]]]] = {
    "cat": [
        ("poly", _ORANGE, [0.8, 0.5, 0.88, 0.1, 0.96, 0.14, 0.9, 0.6]),
        ("oval", _ORANGE, [0.6, 0.58, 0.28, 0.17]),
        ("box", _ORANGE, [0.36, 0.6, 0.46, 0.92]),
        ("box", _ORANGE, [0.74, 0.6, 0.84, 0.92]),
        ("poly", _ORANGE, [0.1, 0.4, 0.12, 0.1, 0.28, 0.26]),
        ("poly", _ORANGE, [0.5, 0.4, 0.46, 0.1, 0.3, 0.26]),
        ("oval", _ORANGE, [0.3, 0.4, 0.22, 0.19]),
        ("oval", _DARK, [0.2, 0.38, 0.03, 0.04]),
        ("oval", _DARK, [0.34, 0.38, 0.03, 0.04]),
    ],
    "balloon": [
        ("box", _GREY, [0.485, 0.7, 0.515, 0.98]),
        ("oval", _RED, [0.5, 0.38, 0.3, 0.36]),
        ("oval", (255, 150, 150), [0.4, 0.26, 0.07, 0.1]),
    ],
    "car": [
        ("poly", _RED, [0.2, 0.5, 0.32, 0.26, 0.7, 0.26, 0.84, 0.5]),
        ("box", _RED, [0.03, 0.48, 0.97, 0.72]),
        ("poly", (170, 220, 250), [0.28, 0.48, 0.36, 0.31, 0.5, 0.31, 0.5, 0.48]),
        ("poly", (170, 220, 250), [0.55, 0.48, 0.55, 0.31, 0.67, 0.31, 0.75, 0.48]),
        ("oval", _DARK, [0.24, 0.73, 0.12, 0.12]),
        ("oval", _DARK, [0.76, 0.73, 0.12, 0.12]),
        ("oval", _YELLOW, [0.05, 0.56, 0.035, 0.04]),
    ],
    "rocket": [
        ("poly", _RED, [0.3, 0.6, 0.12, 0.9, 0.36, 0.82]),
        ("poly", _RED, [0.7, 0.6, 0.88, 0.9, 0.64, 0.82]),
        ("poly", _ORANGE, [0.4, 0.82, 0.6, 0.82, 0.5, 1.0]),
        ("oval", _WHITE, [0.5, 0.46, 0.2, 0.42]),
        ("poly", _RED, [0.36, 0.17, 0.5, 0.0, 0.64, 0.17]),
        ("oval", _BLUE, [0.5, 0.4, 0.09, 0.09]),
    ],
    "fish": [
        ("poly", _BLUE, [0.7, 0.5, 0.98, 0.26, 0.98, 0.74]),
        ("oval", _BLUE, [0.42, 0.5, 0.38, 0.26]),
        ("poly", (36, 92, 190), [0.36, 0.3, 0.56, 0.1, 0.62, 0.34]),
        ("oval", _WHITE, [0.2, 0.44, 0.07, 0.07]),
        ("oval", _DARK, [0.18, 0.44, 0.035, 0.035]),
    ],
    "pig": [
        ("oval", _PINK, [0.58, 0.52, 0.36, 0.27]),
        ("oval", _PINK, [0.26, 0.46, 0.2, 0.2]),
        ("box", _PINK, [0.34, 0.7, 0.46, 0.92]),
        ("box", _PINK, [0.74, 0.7, 0.86, 0.92]),
        ("oval", (232, 96, 136), [0.1, 0.5, 0.07, 0.09]),
        ("oval", _DARK, [0.22, 0.4, 0.03, 0.035]),
    ],
    "turtle": [
        ("oval", (150, 206, 90), [0.14, 0.62, 0.13, 0.1]),
        ("box", (150, 206, 90), [0.3, 0.68, 0.44, 0.84]),
        ("box", (150, 206, 90), [0.7, 0.68, 0.84, 0.84]),
        ("half", (40, 140, 90), [0.57, 0.72, 0.38, 0.44]),
        ("oval", _DARK, [0.1, 0.59, 0.025, 0.03]),
    ],
    "soccer ball": [
        ("oval", _WHITE, [0.5, 0.5, 0.47, 0.47]),
        ("oval", _BLUE, [0.5, 0.5, 0.15, 0.15]),
        *[
            ("oval", _BLUE, [0.5 + 0.36 * math.cos(a), 0.5 + 0.36 * math.sin(a), 0.1, 0.1])
            for a in (0.4, 1.66, 2.9, 4.17, 5.4)
        ],
    ],
    "star": [("poly", _YELLOW, _star_points())],
    "sailboat": [
        ("poly", _YELLOW, [0.48, 0.04, 0.48, 0.66, 0.1, 0.66]),
        ("poly", _WHITE, [0.54, 0.14, 0.54, 0.66, 0.88, 0.66]),
        ("poly", _ORANGE, [0.04, 0.72, 0.96, 0.72, 0.8, 0.94, 0.2, 0.94]),
    ],
    "apple": [
        ("oval", _RED, [0.36, 0.58, 0.27, 0.36]),
        ("oval", _RED, [0.64, 0.58, 0.27, 0.36]),
        ("box", _BROWN, [0.48, 0.06, 0.53, 0.3]),
        ("oval", _GREEN, [0.64, 0.14, 0.14, 0.07]),
    ],
    "sunflower": [
        ("box", _GREEN, [0.46, 0.5, 0.54, 1.0]),
        ("oval", _GREEN, [0.66, 0.8, 0.14, 0.07]),
        *[
            ("oval", _YELLOW, [0.5 + 0.25 * math.cos(i * 0.785), 0.34 + 0.25 * math.sin(i * 0.785), 0.11, 0.11])
            for i in range(8)
        ],
        ("oval", _BROWN, [0.5, 0.34, 0.18, 0.18]),
    ],
    "house": [
        ("box", (250, 214, 150), [0.14, 0.46, 0.86, 0.96]),
        ("poly", _ORANGE, [0.02, 0.5, 0.5, 0.06, 0.98, 0.5]),
        ("box", _BROWN, [0.22, 0.62, 0.42, 0.96]),
        ("box", _BLUE, [0.56, 0.6, 0.76, 0.78]),
    ],
    "cake": [
        ("box", (250, 226, 170), [0.08, 0.46, 0.92, 0.94]),
        ("box", _PINK, [0.08, 0.46, 0.92, 0.6]),
        *[("box", _BLUE, [x - 0.03, 0.24, x + 0.03, 0.47]) for x in (0.26, 0.5, 0.74)],
        *[("oval", _ORANGE, [x, 0.17, 0.045, 0.07]) for x in (0.26, 0.5, 0.74)],
    ],
    "candle": [
        ("box", (250, 240, 214), [0.36, 0.4, 0.64, 0.98]),
        ("box", _DARK, [0.485, 0.3, 0.515, 0.42]),
        ("oval", _ORANGE, [0.5, 0.19, 0.11, 0.17]),
        ("oval", _YELLOW, [0.5, 0.23, 0.06, 0.1]),
    ],
    "heart": [
        ("oval", _RED, [0.29, 0.33, 0.26, 0.26]),
        ("oval", _RED, [0.71, 0.33, 0.26, 0.26]),
        ("poly", _RED, [0.055, 0.44, 0.945, 0.44, 0.5, 0.96]),
    ],
    "tower": [
        ("box", c, [0.3, 0.02 + 0.19 * i, 0.7, 0.2 + 0.19 * i])
        for i, c in enumerate((_RED, _YELLOW, _BLUE, _GREEN, _ORANGE))
    ],
}


def draw(name: str) -> np.ndarray:
    """Draw a subject: straight-alpha RGBA float32 [256,256,4], shapes back to front with anti-aliased edges."""
    n, k = NATIVE, 16
    image = np.zeros((n, n, 4), np.float32)
    shade = np.linspace(1.08, 0.86, n, dtype=np.float32)[:, None, None]
    for kind, colour, v in DRAWN[name]:
        mask = np.zeros((n, n), np.uint8)
        if kind in ("oval", "half"):
            centre, axes = ((round(v[0] * n * k), round(v[1] * n * k)), (round(v[2] * n * k), round(v[3] * n * k)))
            start, end = (180, 360) if kind == "half" else (0, 360)
            cv2.ellipse(mask, centre, axes, 0, start, end, 255, -1, cv2.LINE_AA, 4)
        else:
            flat = [v[0], v[1], v[2], v[1], v[2], v[3], v[0], v[3]] if kind == "box" else v
            points = np.round(np.array(flat).reshape(-1, 2) * n * k).astype(np.int32)
            cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, 4)
        a = mask[..., None].astype(np.float32) / 255
        rgb = np.clip(np.array(colour, np.float32) / 255 * shade, 0, 1)
        image[..., :3] = rgb * a + image[..., :3] * (1 - a)
        image[..., 3:] = a + image[..., 3:] * (1 - a)
    return image
