"""Contact sheets: one row per clip, some of its frames from left to right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ...language import caption
from ...language.reading import read
from ...safety.gate import check_frames

_GAP, _LABEL = 4, 14  # pixels between clips, and of a line of text above one


def contact_sheet(
    clips: Sequence[np.ndarray], columns: int = 6, labels: Sequence[str] | None = None, rows_across: int = 1
) -> Image.Image:
    """Lay uint8 clips `[T,H,W,3]` out as one picture.

    `columns` frames a clip, evenly spaced; `rows_across` clips beside each other; `labels` above the clips. Raises
    FramesBlocked for what the enforced policy forbids.
    """
    strips = []
    for i, clip in enumerate(clips):
        picks = np.linspace(0, len(clip) - 1, min(columns, len(clip))).round().astype(int)
        strip = Image.fromarray(np.concatenate(list(_allowed(clip[picks])), 1))
        top = _LABEL if labels else 0
        canvas = Image.new("RGB", (strip.width, strip.height + top), "white")
        canvas.paste(strip, (0, top))
        if labels:
            ImageDraw.Draw(canvas).text((2, 1), drawable(labels[i]), fill="black")
        strips.append(canvas)
    width = max(s.width for s in strips) + _GAP
    rows = [strips[i : i + rows_across] for i in range(0, len(strips), rows_across)]
    heights = [max(s.height for s in row) + _GAP for row in rows]
    sheet = Image.new("RGB", (width * min(rows_across, len(strips)), sum(heights)), "white")
    for y, row in zip(np.cumsum([0, *heights[:-1]]).tolist(), rows, strict=True):
        for x, strip in enumerate(row):
            sheet.paste(strip, (x * width, y))
    return sheet


def _allowed(frames: np.ndarray) -> np.ndarray:
    """Return what may be shown of uint8 frames `[T,H,W,3]`, by the enforced policy."""
    shown = np.asarray(check_frames(frames))
    return shown if shown.dtype == np.uint8 else (shown * 255).round().astype(np.uint8)


def drawable(label: str) -> str:
    """Return what Pillow's own font can show of a prompt: a Chinese one is told in English, after "zh:"."""
    if label.isascii():
        return label
    facts = read(label).facts
    if facts is None:
        return label.encode("ascii", "replace").decode()
    return f"zh: {caption(facts, np.random.default_rng(0), 'en', 'short')}"


def save_sheet(
    path: Path, clips: Sequence[np.ndarray], columns: int = 6, labels: Sequence[str] | None = None, rows_across: int = 1
) -> None:
    """Write a `contact_sheet` to `path`."""
    contact_sheet(clips, columns, labels, rows_across).save(path)
