"""Smooth anti-aliased painting on canvases that are larger than the frame, so a camera has room to move.

Positions are fractions of the frame (x of its width, y of its height; values outside 0..1 lie in the margin),
lengths are fractions of the frame's short side, colours are RGB 0..255.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

MARGIN_X, MARGIN_Y = 0.36, 0.24  # canvas beyond the frame on each side, in frame widths and heights
_SHIFT = 4  # fixed-point bits of cv2's subpixel coordinates

Colour = tuple[float, float, float]


def dot(image: np.ndarray, x: float, y: float, r: float, colour: tuple[float, ...]) -> None:
    """Paint a small disc of radius `r` pixels, exactly anti-aliased, over image [h,w,c] uint8 in place."""
    h, w = image.shape[:2]
    x0, x1, y0, y1 = (max(0, int(x - r - 1)), min(w, int(x + r + 2)), max(0, int(y - r - 1)), min(h, int(y + r + 2)))
    if x0 >= x1 or y0 >= y1:
        return
    away = np.hypot(np.arange(x0, x1)[None] - x, np.arange(y0, y1)[:, None] - y)
    cover = np.clip(r + 0.5 - away, 0, 1)[..., None]
    part = image[y0:y1, x0:x1]
    part[...] = (part * (1 - cover) + np.array(colour) * cover + 0.5).astype(np.uint8)


@dataclass
class Layer:
    """One depth plane."""

    image: np.ndarray  # premultiplied RGBA uint8 [ch,cw,4]
    parallax: float  # how far it follows the camera, 0 = infinitely far, 1 = the subject's plane
    drift: tuple[float, float] = (0.0, 0.0)  # its own motion, short sides per frame


@dataclass
class Stage:
    """The painting surface of one scene, and the layers so far."""

    height: int  # of the frame, in pixels
    width: int
    rng: np.random.Generator
    q: float = 1.0  # canvas pixels per pixel of the frame
    layers: list[Layer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.side = min(self.height, self.width) * self.q
        self.ch = int(round(self.height * self.q * (1 + 2 * MARGIN_Y)))
        self.cw = int(round(self.width * self.q * (1 + 2 * MARGIN_X)))

    def px(self, x: float) -> float:
        """Return the column of the canvas at `x`."""
        return (x + MARGIN_X) * self.width * self.q

    def py(self, y: float) -> float:
        """Return the row of the canvas at `y`."""
        return (y + MARGIN_Y) * self.height * self.q

    def sky(self, *stops: tuple[float, Colour], parallax: float = 0.15) -> None:
        """Add a layer: an opaque vertical gradient through (y, colour) stops."""
        ys = [self.py(y) for y, _ in stops]
        rows = np.arange(self.ch)
        image = np.empty((self.ch, self.cw, 4), np.uint8)
        for c in range(3):
            image[..., c] = np.interp(rows, ys, [s[1][c] for s in stops])[:, None]
        image[..., 3] = 255
        self.layers.append(Layer(image, parallax))

    def layer(self, parallax: float, drift: tuple[float, float] = (0.0, 0.0)) -> Layer:
        """Start a new transparent layer; later shapes land on it."""
        self.layers.append(Layer(np.zeros((self.ch, self.cw, 4), np.uint8), parallax, drift))
        return self.layers[-1]

    @property
    def top(self) -> np.ndarray:
        """The newest layer's image."""
        return self.layers[-1].image

    def jitter(self, colour: Colour, amount: float = 8) -> Colour:
        """Return a colour close to `colour`, so that no two clips of a scene are alike."""
        c = np.clip(np.asarray(colour) + self.rng.uniform(-amount, amount, 3), 0, 255)
        return (float(c[0]), float(c[1]), float(c[2]))

    def disc(self, x: float, y: float, r: float, colour: Colour, ry: float | None = None, angle: float = 0) -> None:
        """Paint a disc, or with `ry` an ellipse of so much height, turned by `angle` degrees."""
        centre = (int(self.px(x) * 16), int(self.py(y) * 16))
        if ry is None:
            if r * self.side < 5:  # cv2 turns small discs into diamonds and crosses
                dot(self.top, self.px(x), self.py(y), r * self.side, (*colour, 255))
            else:
                cv2.circle(self.top, centre, int(r * self.side * 16), (*colour, 255), -1, cv2.LINE_AA, _SHIFT)
            return
        axes = (max(1, int(r * self.side * 16)), max(1, int(ry * self.side * 16)))
        cv2.ellipse(self.top, centre, axes, angle, 0, 360, (*colour, 255), -1, cv2.LINE_AA, _SHIFT)

    def polygon(self, points: list[tuple[float, float]], colour: Colour) -> None:
        """Fill a polygon; points are fractions of the frame."""
        p = np.array([[self.px(x), self.py(y)] for x, y in points])
        cv2.fillPoly(self.top, [np.round(p * 16).astype(np.int32)], (*colour, 255), cv2.LINE_AA, _SHIFT)

    def shape(self, x: float, y: float, points: list[tuple[float, float]], colour: Colour) -> None:
        """Fill a polygon around (x, y) whose points are in short sides, so it keeps its shape at any aspect."""
        p = np.array([[self.px(x) + a * self.side, self.py(y) + b * self.side] for a, b in points])
        cv2.fillPoly(self.top, [np.round(p * 16).astype(np.int32)], (*colour, 255), cv2.LINE_AA, _SHIFT)

    def box(self, x: float, y: float, w: float, h: float, colour: Colour) -> None:
        """Paint a box that stands on (x, y): w and h in short sides."""
        self.shape(x, y, [(-w / 2, -h), (w / 2, -h), (w / 2, 0), (-w / 2, 0)], colour)

    def ridge(self, y: float, amplitude: float, wave: float, top: Colour, bottom: Colour) -> np.ndarray:
        """Paint rolling ground under a smooth random skyline, from height `y` down; returns its y per column."""
        xs = np.arange(self.cw) / self.side
        line = np.zeros(self.cw)
        for k, share in ((1, 0.7), (2.1, 0.3)):
            line += share * np.sin(2 * np.pi * k * xs / wave + self.rng.uniform(0, 2 * np.pi))
        line = self.py(y) + line * amplitude * self.side
        self.below(line, top, bottom)
        return line

    def below(self, line: np.ndarray, top: Colour, bottom: Colour) -> None:
        """Fill everything under a skyline with a vertical gradient; the edge is anti-aliased."""
        start, solid = max(0, int(line.min()) - 1), min(self.ch, max(0, int(line.max()) + 2))
        rows = np.arange(start, self.ch, dtype=np.float32)[:, None]
        depth = np.clip((rows - line.min()) / max(1.0, self.py(1.05) - line.min()), 0, 1)
        paint = np.full((len(rows), 1, 4), 255, np.float32)
        for c in range(3):
            paint[..., c] = top[c] + (bottom[c] - top[c]) * depth
        image, edge = self.top, slice(start, solid)
        image[solid:] = paint[solid - start :].astype(np.uint8)
        cover = np.clip(rows[: solid - start] - line[None].astype(np.float32) + 0.5, 0, 1)[..., None]
        image[edge] = (paint[: solid - start] * cover + image[edge] * (1 - cover)).astype(np.uint8)

    def glow(self, x: float, y: float, r: float, colour: Colour, strength: float) -> None:
        """Add a soft round light to the newest layer (which must be opaque there)."""
        yy, xx = np.ogrid[: self.ch, : self.cw]
        d2 = ((xx - self.px(x)) ** 2 + (yy - self.py(y)) ** 2) / (r * self.side) ** 2
        light = (strength * np.exp(-d2)).astype(np.float32)[..., None]
        rgb = self.top[..., :3]
        rgb[...] = (rgb * (1 - light) + np.array(colour, np.float32) * light).astype(np.uint8)

    def cloud(self, x: float, y: float, r: float, colour: Colour) -> None:
        """Paint a cloud of five flat discs."""
        for dx, dy, k in ((-0.9, 0.15, 0.6), (0.9, 0.15, 0.6), (-0.3, -0.25, 0.75), (0.35, -0.15, 0.7), (0, 0.15, 0.8)):
            self.disc(
                x + dx * r * self.side / (self.width * self.q),
                y + dy * r * self.side / (self.height * self.q),
                r * k,
                colour,
                ry=r * k * 0.75,
            )
