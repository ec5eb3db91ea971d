"""The ten scenes: each paints parallax layers, back to front, with a palette that no other scene has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .paint import Stage

DRIFT = 0.0022  # short sides per frame of gentle own motion (clouds, waves, bubbles)


@dataclass(frozen=True)
class Scene:
    """A scene's painter, and what the world needs to know about it."""

    name: str
    paint: Callable[[Stage], None]
    floor: float | None  # y (fraction of the frame) on which things stand; None where they float (space, underwater)
    times: tuple[str, ...] = ("day",)  # times of day that it can show, its natural one first
    weathers: tuple[str, ...] = ("clear",)  # likewise


def _clouds(s: Stage, colour: tuple[float, float, float], n: int = 3, y: float = 0.14) -> None:
    """Paint `n` clouds that drift, at a height of about `y`."""
    s.layer(0.25, (DRIFT * s.rng.choice([-1, 1]), 0))
    for i in range(n):
        x = -0.15 + 1.3 * (i + s.rng.uniform(0.2, 0.8)) / n
        s.cloud(x, y + s.rng.uniform(-0.07, 0.1), s.rng.uniform(0.09, 0.13), colour)


def meadow(s: Stage) -> None:
    """Paint hills under a sunny sky, with flowers in front."""
    s.sky((-0.1, s.jitter((92, 178, 250))), (0.6, (196, 230, 255)))
    s.disc(s.rng.uniform(0.1, 0.9), 0.12, 0.085, (255, 232, 110))
    _clouds(s, (252, 253, 255))
    s.layer(0.5)
    s.ridge(0.58, 0.05, 1.5, s.jitter((120, 190, 110)), (90, 165, 90))
    s.layer(1.0)
    s.ridge(0.68, 0.02, 1.9, s.jitter((104, 205, 70)), (58, 158, 44))
    for _ in range(9):
        x, y = s.rng.uniform(-0.3, 1.3), s.rng.uniform(0.76, 1.1)
        s.disc(x, y, 0.026, ((255, 255, 255), (255, 120, 160), (255, 220, 60))[s.rng.integers(3)])
        s.disc(x, y, 0.011, (250, 190, 40))


def beach(s: Stage) -> None:
    """Paint the sea, a beach in front of it and a palm at one side."""
    s.sky((-0.1, s.jitter((88, 196, 248))), (0.5, (214, 244, 252)))
    s.disc(s.rng.uniform(0.15, 0.85), 0.13, 0.08, (255, 240, 150))
    _clouds(s, (255, 255, 255), 2)
    s.layer(0.45)
    s.ridge(0.46, 0.0, 1.0, s.jitter((22, 140, 200)), (60, 214, 214))
    s.layer(0.5, (DRIFT * 1.5, 0))
    for y, r in ((0.52, 0.09), (0.58, 0.12), (0.63, 0.14)):
        for x in np.arange(-0.3, 1.4, 0.34):
            s.disc(x + s.rng.uniform(-0.08, 0.08), y, r, (170, 236, 240), ry=0.012)
    s.layer(1.0)
    line = s.ridge(0.685, 0.018, 1.1, (255, 252, 240), (255, 252, 240))
    s.below(line + 0.03 * s.side, s.jitter((250, 222, 150)), (232, 190, 112))
    side = s.rng.choice([-0.06, 1.06])
    lean = 0.09 if side < 0.5 else -0.09
    s.shape(side, 0.8, [(-0.025, 0), (0.025, 0), (lean + 0.018, -0.5), (lean - 0.018, -0.5)], (140, 96, 56))
    tip = side + lean * s.side / (s.width * s.q)
    for a in (-160, -120, -75, -30, 10):
        c, d = np.cos(np.radians(a)), np.sin(np.radians(a))
        s.shape(
            tip,
            0.8 - 0.5 * s.side / (s.height * s.q),
            [
                (0, 0),
                (0.12 * c - 0.04 * d, 0.12 * d + 0.04 * c - 0.02),
                (0.24 * c, 0.24 * d + 0.06),
                (0.1 * c + 0.03 * d, 0.1 * d - 0.03 * c),
            ],
            (40, 160, 78),
        )


def desert(s: Stage) -> None:
    """Paint dunes with a cactus on either side."""
    s.sky((-0.1, s.jitter((250, 206, 120))), (0.6, (255, 240, 200)))
    s.disc(s.rng.uniform(0.15, 0.85), 0.15, 0.1, (255, 250, 225))
    s.layer(0.4)
    s.ridge(0.56, 0.06, 1.2, s.jitter((224, 150, 82)), (214, 136, 70))
    s.layer(0.7)
    s.ridge(0.64, 0.045, 1.4, s.jitter((206, 120, 56)), (196, 112, 52))
    for x in (s.rng.uniform(-0.1, 0.2), s.rng.uniform(0.8, 1.1)):
        y, g = 0.74, (62, 128, 62)
        s.box(x, y, 0.06, 0.3, g)
        s.disc(x, y - 0.3 * s.side / (s.height * s.q), 0.03, g)
        for k in (-1, 1):
            s.shape(
                x,
                y,
                [(0, -0.14), (k * 0.1, -0.14), (k * 0.1, -0.23), (k * 0.065, -0.23), (k * 0.065, -0.175), (0, -0.175)],
                g,
            )
    s.layer(1.0)
    s.ridge(0.74, 0.025, 1.7, s.jitter((236, 162, 86)), (190, 104, 44))


def snowy_mountains(s: Stage) -> None:
    """Paint peaks with snow on them, and firs on either side."""
    s.sky((-0.1, s.jitter((130, 170, 214))), (0.6, (222, 234, 246)))
    _clouds(s, (240, 246, 252), 2, 0.1)
    s.layer(0.4)
    for i in range(4):
        x, h = -0.25 + 0.5 * i + s.rng.uniform(-0.07, 0.07), s.rng.uniform(0.42, 0.58)
        w, c = h * 0.62, s.jitter((98, 116, 150))
        s.shape(x, 0.7, [(0, -h), (w, 0), (-w, 0)], c)
        s.shape(x, 0.7, [(0, -h), (w, 0), (0.1 * w, 0)], (c[0] * 0.84, c[1] * 0.84, c[2] * 0.84))
        k = 0.36
        s.shape(
            x,
            0.7,
            [
                (0, -h),
                (w * k, -h * (1 - k)),
                (w * 0.14, -h * 0.72),
                (0, -h * (1 - k) + 0.02),
                (-w * 0.16, -h * 0.72),
                (-w * k, -h * (1 - k)),
            ],
            (250, 252, 255),
        )
    s.layer(0.75)
    s.ridge(0.67, 0.03, 1.3, (214, 228, 244), (226, 236, 248))
    for x in (*s.rng.uniform(-0.3, 0.22, 2), *s.rng.uniform(0.78, 1.3, 2)):
        for j, r in enumerate((0.09, 0.075, 0.055)):
            s.shape(x, 0.74, [(-r, -0.05 - 0.07 * j), (r, -0.05 - 0.07 * j), (0, -0.17 - 0.07 * j)], (38, 92, 88))
    s.layer(1.0)
    s.ridge(0.75, 0.022, 1.8, (244, 249, 255), (206, 222, 242))


def city_at_night(s: Stage) -> None:
    """Paint two rows of buildings with lit windows, and a road."""
    s.sky((-0.1, s.jitter((14, 16, 52), 4)), (0.7, (62, 46, 110)))
    s.disc(s.rng.uniform(0.12, 0.88), 0.13, 0.075, (246, 242, 206))
    for par, base, tint in ((0.4, 0.72, (50, 50, 104)), (0.7, 0.78, (28, 28, 66))):
        s.layer(par)
        x = -0.4
        while x < 1.4:
            w, h = s.rng.uniform(0.17, 0.25), s.rng.uniform(0.22, 0.52) * (1.1 if par < 0.5 else 0.85)
            frac = s.side / (s.width * s.q)
            xc = x + w * frac / 2
            s.box(xc, base, w, h + 0.02, s.jitter(tint, 5))
            if par > 0.5 or s.rng.random() < 0.5:
                cols, rows = (2, 3), int(h / 0.09)
                for r in range(rows):
                    for c in range(cols[0]):
                        if s.rng.random() < 0.7:
                            s.box(
                                xc + (c - 0.5) * w * 0.46 * frac,
                                base - (h - 0.04 - r * 0.09) * s.side / (s.height * s.q) + 0.03,
                                w * 0.24,
                                0.048,
                                (255, 214, 96),
                            )
            x += (w + 0.025) * frac
    s.layer(1.0)
    s.ridge(0.76, 0.0, 1.0, s.jitter((74, 72, 96), 4), (46, 44, 66))
    for x in np.arange(-0.3, 1.4, 0.28):
        s.polygon([(x, 0.95), (x + 0.14, 0.95), (x + 0.13, 0.98), (x - 0.01, 0.98)], (236, 222, 150))


def outer_space(s: Stage) -> None:
    """Paint nebulae, stars, a ringed planet and the edge of a moon."""
    s.sky((-0.1, s.jitter((8, 6, 26), 4)), (1.1, (34, 12, 58)), parallax=0.1)
    for _ in range(3):
        s.glow(
            s.rng.uniform(0, 1),
            s.rng.uniform(0, 1),
            s.rng.uniform(0.25, 0.4),
            ((120, 40, 150), (40, 70, 170), (150, 40, 110))[s.rng.integers(3)],
            0.5,
        )
    s.layer(0.25, (DRIFT * 0.6, 0))
    for _ in range(46):
        s.disc(
            s.rng.uniform(-0.35, 1.35),
            s.rng.uniform(-0.22, 1.22),
            s.rng.uniform(0.009, 0.017),
            ((255, 255, 255), (255, 240, 190), (190, 215, 255))[s.rng.integers(3)],
        )
    s.layer(0.5)
    x, y, r = s.rng.choice([0.12, 0.88]), s.rng.uniform(0.14, 0.3), s.rng.uniform(0.12, 0.16)
    body = s.jitter(((232, 140, 90), (110, 190, 200), (214, 170, 110))[s.rng.integers(3)])
    s.disc(x, y, r * 1.75, (236, 214, 170), ry=r * 0.5, angle=-18)
    s.disc(x, y, r * 1.4, (20, 12, 44), ry=r * 0.32, angle=-18)
    s.disc(x, y, r, body)
    s.layer(0.9)
    s.disc(s.rng.choice([0.1, 0.9]), 1.42, 0.62, (112, 108, 128))


def underwater(s: Stage) -> None:
    """Paint light from above, bubbles, weeds and corals."""
    s.sky((-0.1, s.jitter((40, 176, 218))), (0.5, (16, 108, 184)), (1.1, (8, 54, 120)))
    for _ in range(3):
        s.glow(s.rng.uniform(0.1, 0.9), -0.05, 0.35, (150, 232, 246), 0.5)
    s.layer(0.5)
    s.ridge(0.8, 0.05, 1.1, (10, 76, 140), (10, 66, 124))
    s.layer(0.6, (0, -DRIFT * 2.5))
    for _ in range(9):
        x, y, r = s.rng.uniform(-0.2, 1.2), s.rng.uniform(0, 1.05), s.rng.uniform(0.018, 0.034)
        s.disc(x, y, r, (190, 240, 252))
        s.disc(x, y, r * 0.62, (70, 170, 216))
    s.layer(1.0)
    for x in (*s.rng.uniform(-0.3, 0.16, 2), *s.rng.uniform(0.84, 1.3, 2)):
        h, c = s.rng.uniform(0.2, 0.34), s.jitter((34, 158, 96))
        t = np.linspace(0, 1, 9)
        bend = 0.03 * np.sin(t * 5 + s.rng.uniform(0, 6))
        left = [(b - 0.028 * (1 - k), -h * k) for b, k in zip(bend, t, strict=True)]
        right = [(b + 0.028 * (1 - k), -h * k) for b, k in zip(bend, t, strict=True)]
        s.shape(x, 0.96, left + right[::-1], c)
    s.ridge(0.92, 0.02, 1.0, (226, 204, 150), (200, 172, 116))
    for x, c in ((s.rng.uniform(-0.02, 0.14), (255, 110, 130)), (s.rng.uniform(0.86, 1.02), (255, 150, 70))):
        for dx, r in ((-0.05, 0.045), (0.05, 0.04), (0, 0.06)):
            s.disc(x + dx, 0.93, r, c)


def sunset(s: Stage) -> None:
    """Paint a low sun behind streaks of cloud and dark hills."""
    s.sky((-0.1, s.jitter((72, 40, 120))), (0.3, (214, 82, 120)), (0.52, (255, 150, 70)), (0.64, (255, 212, 110)))
    x = s.rng.uniform(0.25, 0.75)
    s.glow(x, 0.6, 0.4, (255, 224, 140), 0.7)
    s.disc(x, 0.58, 0.15, (255, 244, 180))
    s.layer(0.25, (DRIFT, 0))
    for _ in range(4):
        s.disc(s.rng.uniform(-0.1, 1.1), s.rng.uniform(0.1, 0.4), s.rng.uniform(0.14, 0.22), (178, 62, 116), ry=0.022)
    s.layer(0.5)
    s.ridge(0.62, 0.03, 1.3, (118, 46, 92), (106, 40, 86))
    s.layer(1.0)
    s.ridge(0.72, 0.018, 1.8, s.jitter((70, 30, 70)), (40, 18, 48))


def forest(s: Stage) -> None:
    """Paint two rows of trunks under leaves, with bushes in front."""
    s.sky((-0.1, s.jitter((150, 206, 140))), (0.7, (206, 232, 170)))
    for par, base, tone, n, w in ((0.4, 0.72, (96, 150, 96), 7, 0.05), (0.75, 0.79, (94, 66, 42), 5, 0.085)):
        s.layer(par)
        for i in range(n):
            x = -0.3 + 1.6 * (i + s.rng.uniform(0.25, 0.75)) / n
            s.shape(x, base, [(-w / 2, -1.3), (w / 2, -1.3), (w * 0.6, 0), (-w * 0.6, 0)], s.jitter(tone, 6))
        leaf = (70, 136, 74) if par < 0.5 else (34, 100, 50)
        for i in range(11):
            s.disc(
                -0.3 + 1.6 * i / 10,
                -0.02 + (0.1 if par < 0.5 else 0) + s.rng.uniform(-0.03, 0.04),
                0.15,
                s.jitter(leaf, 8),
            )
        s.polygon([(-0.4, -0.3), (1.4, -0.3), (1.4, 0.0), (-0.4, 0.0)], leaf)
    s.layer(1.0)
    s.ridge(0.74, 0.02, 1.4, s.jitter((64, 112, 48)), (40, 78, 36))
    for x in (*s.rng.uniform(-0.3, 0.18, 2), *s.rng.uniform(0.82, 1.3, 2)):
        for dx, r in ((-0.06, 0.05), (0.06, 0.05), (0, 0.07)):
            s.disc(x + dx, 0.78, r, (46, 120, 52))


def volcano(s: Stage) -> None:
    """Paint a mountain that spits, smoke above it and lava in front."""
    s.sky((-0.1, s.jitter((40, 14, 22), 5)), (0.7, (150, 44, 28)))
    x = s.rng.choice([0.24, 0.76]) + s.rng.uniform(-0.05, 0.05)
    s.glow(x, 0.2, 0.36, (255, 130, 40), 0.8)
    s.layer(0.3, (DRIFT, -DRIFT * 0.5))
    s.cloud(x + 0.1, 0.02, 0.12, (92, 70, 74))
    s.cloud(x - 0.12, -0.04, 0.11, (78, 58, 64))
    s.layer(0.5)
    s.shape(x, 0.8, [(-0.13, -0.52), (0.13, -0.52), (0.6, 0), (-0.6, 0)], (58, 40, 46))
    s.shape(
        x,
        0.8,
        [
            (-0.12, -0.525),
            (0.12, -0.525),
            (0.09, -0.47),
            (0.07, -0.3),
            (0.035, -0.36),
            (0.02, -0.14),
            (-0.03, -0.38),
            (-0.07, -0.28),
            (-0.09, -0.47),
        ],
        (255, 120, 30),
    )
    s.disc(x, 0.8 - 0.52 * s.side / (s.height * s.q), 0.12, (255, 214, 90), ry=0.026)
    s.layer(1.0)
    s.ridge(0.74, 0.025, 1.3, s.jitter((52, 38, 42), 4), (30, 20, 26))
    for _ in range(4):
        cx, cy = s.rng.uniform(-0.2, 1.2), s.rng.uniform(0.84, 1.1)
        s.disc(cx, cy, s.rng.uniform(0.08, 0.14), (240, 92, 24), ry=0.024)
        s.disc(cx, cy, 0.06, (255, 190, 70), ry=0.011)


_ALL = (
    Scene("meadow", meadow, 0.9, ("day", "dawn", "dusk", "night"), ("clear", "rain", "fog", "cloudy")),
    Scene("beach", beach, 0.92, ("day", "dawn", "dusk", "night"), ("clear", "rain", "fog", "cloudy")),
    Scene("desert", desert, 0.92, ("day", "dawn", "dusk", "night"), ("clear", "cloudy")),
    Scene("snowy mountains", snowy_mountains, 0.92, ("day", "dawn", "dusk", "night"), ("clear", "snow", "fog")),
    Scene("city at night", city_at_night, 0.92, ("night",), ("clear", "rain", "snow", "fog")),
    Scene("outer space", outer_space, None, ("night",)),
    Scene("underwater", underwater, None, ("day", "night")),
    Scene("sunset", sunset, 0.92, ("dusk",), ("clear", "fog")),
    Scene("forest", forest, 0.92, ("day", "dawn", "dusk", "night"), ("clear", "rain", "snow", "fog")),
    Scene("volcano", volcano, 0.92, ("night",)),
)
SCENES: dict[str, Scene] = {scene.name: scene for scene in _ALL}
