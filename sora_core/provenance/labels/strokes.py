"""The four signs of the visible label, AI生成, as strokes: no machine need have a Chinese font.

A sign stands in a square of 100 units, y downwards. A stroke is a line through its points, drawn with a round pen.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

TEXT = "AI生成"
PEN = 9.0  # width of a stroke, in units
GAP = 10.0  # between signs, in units
OVERSAMPLING = 4

Stroke = tuple[tuple[float, float], ...]
# For each sign: how wide it is, in units, and its strokes.
SIGNS: dict[str, tuple[float, tuple[Stroke, ...]]] = {
    "A": (74, (((6, 92), (37, 10), (68, 92)), ((18, 62), (56, 62)))),
    "I": (22, (((11, 10), (11, 92)),)),
    "生": (
        100,
        (
            ((27, 6), (22, 22), (14, 36), (6, 46)),
            ((22, 27), (88, 27)),
            ((17, 58), (84, 58)),
            ((6, 92), (95, 92)),
            ((52, 5), (52, 92)),
        ),
    ),
    "成": (
        100,
        (
            ((14, 26), (93, 26)),
            ((15, 26), (15, 52), (12, 72), (5, 93)),
            ((15, 48), (45, 48), (45, 66), (42, 80), (29, 77)),
            ((55, 5), (57, 34), (63, 60), (73, 80), (84, 92), (91, 92), (94, 74)),
            ((86, 44), (76, 62), (63, 78), (46, 93)),
            ((71, 7), (84, 17)),
        ),
    ),
}


def width_of(height: int, text: str = TEXT) -> int:
    """Return how many pixels wide `text` is when its signs are `height` pixels high."""
    units = sum(SIGNS[sign][0] for sign in text) + GAP * (len(text) - 1)
    return round(units * height / 100)


def draw(height: int, pen: float = PEN, text: str = TEXT) -> Tensor:
    """Draw `text` with signs of `height` pixels; returns how much of each pixel is covered, `[height,width]`, 0..1."""
    import torch
    from PIL import Image, ImageDraw

    scale = height * OVERSAMPLING / 100
    picture = Image.new("L", (width_of(height, text) * OVERSAMPLING, height * OVERSAMPLING))
    canvas = ImageDraw.Draw(picture)
    left, radius = 0.0, pen * scale / 2
    for sign in text:
        wide, strokes = SIGNS[sign]
        for stroke in strokes:
            points = [((left + x) * scale, y * scale) for x, y in stroke]
            canvas.line(points, fill=255, width=max(round(2 * radius), 1), joint="curve")
            for x, y in (points[0], points[-1]):
                canvas.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
        left += wide + GAP
    small = picture.resize((picture.width // OVERSAMPLING, height), Image.Resampling.BOX)
    return torch.from_numpy(np.asarray(small, dtype=np.float32) / 255)
