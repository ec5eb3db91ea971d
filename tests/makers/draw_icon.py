"""Draws the pack's icon and banner: frames of one sunrise in spacetime patches, from noise (behind) to video (front).

    python tests/makers/draw_icon.py

Writes icon.png (400x400) and banner.png (1260x540, 21:9) into docs/pictures, the sizes that ComfyUI's registry takes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
SCALE = 3  # drawn this much larger, then reduced: smooth edges
SKY = ((16, 24, 66), (92, 60, 138), (236, 120, 112), (255, 206, 128))  # from the top to the horizon
SEA = ((196, 112, 120), (44, 52, 110), (14, 22, 60))
BACK = ((10, 13, 34), (34, 28, 74))


def gradient(stops: tuple, height: int, width: int) -> np.ndarray:
    """`[height,width,3]` 0..255, the colours `stops` from top to bottom."""
    at = np.linspace(0, len(stops) - 1, height)
    rows = [np.interp(at, range(len(stops)), [s[c] for s in stops]) for c in range(3)]
    return np.repeat(np.stack(rows, -1)[:, None], width, 1)


def sunrise(side: int, rise: float) -> np.ndarray:
    """A picture `[side,side,3]` 0..255 of a sun that has risen by `rise` (0..1) over the sea."""
    horizon = int(side * 0.64)
    picture = np.concatenate((gradient(SKY, horizon, side), gradient(SEA, side - horizon, side)))
    y, x = np.mgrid[:side, :side] / side
    distance = np.hypot(x - 0.5, y - (0.66 - 0.3 * rise))
    glow = np.exp(-((distance / 0.22) ** 2))[..., None] * (np.arange(side) < horizon)[:, None, None]
    picture += glow * np.array([90, 70, 40])
    sun = (distance < 0.135) & (y < horizon / side)
    picture[sun] = (255, 240, 205)
    # Its path on the water: bars that widen towards the viewer.
    depth = (y - horizon / side).clip(0)
    path = (depth > 0) & (np.abs(x - 0.5) < 0.05 + 0.45 * depth) & ((depth * 42).astype(int) % 2 == 0)
    picture[path] = picture[path] * 0.35 + np.array([255, 214, 150]) * 0.65
    return picture.clip(0, 255)


def frame(side: int, patches: int, sigma: float, rise: float, rng: np.random.Generator) -> Image.Image:
    """One frame, RGBA, cut into `patches` x `patches`: (1 - sigma) of the picture and sigma of noise."""
    cell = side // patches
    grain = rng.normal(128, 74, (patches * 4, patches * 4, 3)).clip(0, 255)
    noise = np.asarray(Image.fromarray(grain.astype(np.uint8)).resize((side, side), Image.Resampling.NEAREST))
    mixed = (1 - sigma) * sunrise(side, rise) + sigma * noise
    mask = Image.new("L", (side, side), 0)
    draw = ImageDraw.Draw(mask)
    gap = max(2, cell // 22)
    for top in range(0, patches * cell, cell):
        for left in range(0, patches * cell, cell):
            box = (left + gap, top + gap, left + cell - gap, top + cell - gap)
            draw.rounded_rectangle(box, radius=cell // 9, fill=255)
    image = Image.fromarray(mixed.astype(np.uint8)).convert("RGBA")
    image.putalpha(mask)
    return image


def tilted(image: Image.Image) -> Image.Image:
    """The frame as seen a little from the left: narrower, and sheared so that its right edge lies lower."""
    side = image.width
    wide, drop = int(side * 0.82), int(side * 0.2)
    # Output pixel -> input pixel.
    matrix = (side / wide, 0, 0, -drop / wide, 1, 0)
    return image.transform((wide, side + drop), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)


def stack(canvas: Image.Image, left: int, top: int, side: int, step: tuple[int, int], sigmas: tuple) -> None:
    """Frames from the back to the front, the front one at (left, top); `step` is from each to the one behind."""
    rng = np.random.default_rng(24)
    for place in reversed(range(len(sigmas))):
        rise = 1 - place / max(len(sigmas) - 1, 1)
        made = tilted(frame(side, 4, sigmas[place], rise, rng))
        dim = 1 - 0.09 * place
        made = Image.merge("RGBA", [*(c.point(lambda v, d=dim: int(v * d)) for c in made.split()[:3]), made.split()[3]])
        at = (left + step[0] * place, top + step[1] * place)
        shadow = Image.new("RGBA", made.size, (6, 8, 24, 0))
        shadow.putalpha(made.split()[3].point(lambda v: v * 5 // 10))
        canvas.alpha_composite(shadow, (at[0] - 5 * SCALE, at[1] + 6 * SCALE))
        canvas.alpha_composite(made, at)


def icon() -> Image.Image:
    side = 400 * SCALE
    canvas = Image.fromarray(gradient(BACK, side, side).astype(np.uint8)).convert("RGBA")
    stack(canvas, 40 * SCALE, 92 * SCALE, 232 * SCALE, (43 * SCALE, -24 * SCALE), (0.0, 0.35, 0.7, 1.0))
    rounded = Image.new("L", (side, side), 0)
    ImageDraw.Draw(rounded).rounded_rectangle((0, 0, side - 1, side - 1), radius=72 * SCALE, fill=255)
    canvas.putalpha(rounded)
    return canvas.resize((400, 400), Image.Resampling.LANCZOS)


def banner() -> Image.Image:
    wide, high = 1260 * SCALE, 540 * SCALE
    canvas = Image.fromarray(gradient(BACK, high, wide).astype(np.uint8)).convert("RGBA")
    sigmas = (0.0, 0.15, 0.3, 0.5, 0.7, 0.85, 1.0)
    stack(canvas, 560 * SCALE, 150 * SCALE, 280 * SCALE, (68 * SCALE, -20 * SCALE), sigmas)
    draw = ImageDraw.Draw(canvas)
    draw.text((70 * SCALE, 180 * SCALE), "Sora Nodes", (250, 244, 235), ImageFont.load_default(84 * SCALE))
    lines = "Text to video over spacetime patches,\nwith a model inside. For ComfyUI,\nor without it."
    draw.multiline_text(
        (74 * SCALE, 296 * SCALE), lines, (190, 188, 214), ImageFont.load_default(27 * SCALE), spacing=9 * SCALE
    )
    return canvas.convert("RGB").resize((1260, 540), Image.Resampling.LANCZOS)


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    icon().save(PICTURES / "icon.png", optimize=True)
    banner().save(PICTURES / "banner.png", optimize=True)


if __name__ == "__main__":
    main()
