"""Seconds, aspects and sides become sizes that a clip can have."""

from __future__ import annotations

import pytest

from sora_core.errors import SoraError
from sora_core.media.sizes import plan_clip


@pytest.mark.parametrize(
    ("seconds", "fps", "frames"), [(2, 8, 17), (2.125, 8, 17), (0.01, 8, 1), (1, 24, 25), (60, 8, 481), (0.25, 8, 1)]
)
def test_seconds_become_a_length_that_can_be_made(seconds, fps, frames):
    size = plan_clip(seconds, fps, 128, 128)
    assert size.frames == frames and (size.frames - 1) % 4 == 0
    assert bool(size.notes) == (seconds * fps != frames)


def test_aspect_keeps_the_area():
    size = plan_clip(2.125, 8, 128, 128, "16:9")
    assert (size.width, size.height) == (176, 96) and "176x96" in size.notes[0]
    assert plan_clip(2.125, 8, 256, 256, "1:1").notes == ()


@pytest.mark.parametrize(
    "bad",
    [
        (0, 8, 128, 128),
        (-1, 8, 128, 128),
        (float("nan"), 8, 128, 128),
        (1, 0, 128, 128),
        (1, 8, 130, 128),
        (1, 8, 128, 0),
    ],
)
def test_sizes_that_cannot_be(bad):
    with pytest.raises(SoraError):
        plan_clip(*bad)
