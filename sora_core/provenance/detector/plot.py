"""A picture of a detection: the classifier's probability of each frame."""

from __future__ import annotations

from PIL import Image, ImageDraw

from .detect import MARKED, Detection

SIZE = (640, 240)  # width, height
MARGIN = (46, 34, 16, 30)  # left, top, right, bottom
INK, FAINT, LINE, MADE = (40, 40, 48), (205, 205, 212), (70, 110, 200), (200, 70, 60)


def draw_frames(found: Detection) -> Image.Image:
    """Draw frames from left to right, probability 0 to 1 upwards, and above it which evidence speaks. RGB."""
    picture = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(picture)
    left, top, right, bottom = MARGIN[0], MARGIN[1], SIZE[0] - MARGIN[2], SIZE[1] - MARGIN[3]

    def height(value: float) -> float:
        return bottom - value * (bottom - top)

    for value in (0.0, MARKED, 1.0):
        draw.line((left, height(value), right, height(value)), FAINT)
        draw.text((left - 6, height(value)), f"{value:g}", INK, anchor="rm")
    count = len(found.frames)
    places = [left + (right - left) * (i + 0.5) / count for i in range(count)]
    points = [(x, height(value)) for x, value in zip(places, found.frames, strict=True)]
    if count > 1:
        draw.line(points, LINE, 2)
    if count <= 100:  # more points would run into each other
        for (x, y), value in zip(points, found.frames, strict=True):
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), MADE if value >= MARKED else LINE)
    draw.text((left, bottom + 8), "frame 0", INK)
    draw.text((right, bottom + 8), str(count - 1), INK, anchor="ra")
    answer = {"made here": "proven: made here", "signs": "signs, not proven"}.get(found.verdict, "no sign")
    draw.text((left, 10), f"{answer} ({found.evidence}), probability {found.probability:.3f}", INK)
    return picture
