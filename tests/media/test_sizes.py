"""Seconds, aspects and sides become sizes that a clip can have, or are refused."""

from __future__ import annotations

import math
import sys

import pytest
import torch

from sora_core.errors import SoraError
from sora_core.media.frames import fit_frames
from sora_core.media.sizes import (
    check_pixels,
    check_rate,
    check_seconds,
    check_side,
    check_size,
    nearest_length,
    plan_clip,
)


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
        (float("inf"), 8, 128, 128),
        (1, 0, 128, 128),
        (1, 121, 128, 128),
        (1, float("nan"), 128, 128),
        (1, 8, 130, 128),
        (1, 8, 128, 0),
        (1, 8, 128, 8208),
    ],
)
def test_sizes_that_cannot_be(bad):
    with pytest.raises(SoraError):
        plan_clip(*bad)


@pytest.mark.parametrize(
    ("check", "good", "bad", "words"),
    [
        (check_seconds, [(0.1,), (600, 600), (1e9,)], [(0,), (-1,)], "duration.*above 0\\.$"),
        (check_seconds, [(600, 600)], [(601, 600), (math.nan, 600), (math.inf, 600)], "above 0, at most 600"),
        (check_rate, [(0.5,), (120,), (240, 240)], [(0,), (-8,), (121,), (math.nan,)], "above 0, at most 120"),
        (check_rate, [(0.001,)], [(0.0009,), (1e-9,)], "at least 0.001, at most 120"),
        (check_rate, [(0.01, 240)], [(241, 240), (math.inf, 240)], "above 0, at most 240"),
        (check_side, [("width", 16), ("width", 8192)], [("width", 8208)], "width is 8208: use at most 8192"),
        (check_side, [], [("width", 10**21 - 1)], "use at most 8192"),
        (nearest_length, [(8.4,)], [(1e308,), (math.inf,)], "That is more frames than a video can have"),
        (check_side, [("height", 24, 8)], [("height", 20, 8)], "height is 20, not a multiple of 8: use 16 or 24"),
    ],
)
def test_the_words_of_a_limit_are_its_rule(check, good, bad, words):
    for values in good:
        check(*values)
    for values in bad:
        with pytest.raises(SoraError, match=words):
            check(*values)


def test_sizes_are_limited_by_memory(monkeypatch):
    """A full HD frame is fine; what takes more than 4 GiB as floats is refused with the figure, before any work."""
    assert fit_frames(torch.zeros(1, 1088, 1920, 3)).shape == (1, 1088, 1920, 3)
    check_size(1920, 1088, 16)
    check_pixels(160, 1920, 1088)
    with pytest.raises(SoraError, match="172 frames of 1920x1088 need 4.02 GiB; a clip may have 4 GiB"):
        check_pixels(172, 1920, 1088)
    with pytest.raises(SoraError, match="at most 8192"):
        check_size(1920, 8208, 16)
    monkeypatch.setitem(sys.modules, "kornia.geometry.transform", None)  # scaling would fail in other words
    with pytest.raises(SoraError, match="6 frames of 8192x8192 need 4.50 GiB"):
        fit_frames(torch.zeros(6, 64, 64, 3), (8192, 8192))
