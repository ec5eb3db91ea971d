"""The label that people see: AI生成 on the opening frames, at the size and for the time that GB 45438-2025 asks for.

Implementers read the standard so (secondary source): text of 5% of the shortest side or more, for two seconds or more.
"""

from __future__ import annotations

import math
from fractions import Fraction

from torch import Tensor

from ...errors import expect
from .strokes import PEN, TEXT, draw, width_of

SHARE = 0.05  # of the shortest side: how high the text is at least
SECONDS = 2  # from the first frame on, or the whole of a shorter video
READABLE = 14  # pixels: in less, the strokes of 生 and 成 run into each other
OUTLINE = 2.6  # width of the dark pen beneath, as a multiple of the light one's
LARGEST = 1 / 3  # of the shortest side: above it the text would be the picture


def frames_labelled(fps: float | Fraction) -> int:
    """Return how many frames from the first on carry the label at `fps` frames per second."""
    return math.ceil(SECONDS * fps)


def text_height(width: int, height: int) -> int:
    """Return how high the text is on a frame, in pixels. Raises SoraError where it could not be read."""
    shortest = min(width, height)
    size = max(math.ceil(SHARE * shortest), READABLE)
    expect(
        size <= LARGEST * shortest and width_of(size) + size <= width,
        f"The label {TEXT} cannot be read on frames of {width}x{height}: they are too small for its {READABLE} pixels. "
        "Make them larger, or let the policy set provenance.visible_label to false.",
    )
    return size


class Stamp:
    """Puts the label into the lower right corner of frames of one size."""

    def __init__(self, width: int, height: int) -> None:
        """Draw the label for frames of `width` x `height` pixels. Raises SoraError where it could not be read."""
        size = text_height(width, height)
        light, dark = draw(size), draw(size, PEN * OUTLINE)
        margin = size // 2
        rows, columns = light.shape
        self._where = (slice(height - margin - rows, height - margin), slice(width - margin - columns, width - margin))
        self._light, self._shade = light[..., None], 0.8 * dark[..., None]

    def __call__(self, frame: Tensor) -> Tensor:
        """Return `frame` `[H,W,3]`, float 0..1, with the label: white strokes, each in a dark rim."""
        made = frame.clone()
        rows, columns = self._where
        corner = made[rows, columns]
        light, shade = self._light.to(made), self._shade.to(made)
        made[rows, columns] = corner * (1 - shade) * (1 - light) + light
        return made
