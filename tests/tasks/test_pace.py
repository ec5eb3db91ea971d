"""Motion goes on into a picture that is given for one frame, wherever that is."""

from __future__ import annotations

import itertools
import statistics

import pytest
import torch

import sora_core
from sora_core import tasks
from sora_core.latents.space import SORA_MINI
from sora_core.media.clips import read_clip
from sora_core.tasks.finish.pace import keep_moving
from sora_core.tasks.layout import VAECodec

LENGTH = 17
CASES = {"first and last": [0, 16], "last": [16], "middle": [8], "three": [0, 8, 16], "within a latent": [0, 6]}


def scene(x: float) -> torch.Tensor:
    """A textured ball over a textured ground that stands, `[48,96,3]`; x: of its centre, in pixels."""
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(96.0), indexing="ij")
    ground = 0.5 + 0.2 * torch.sin(columns / 5) * torch.cos(rows / 7)
    inside = torch.sigmoid(10 - ((rows - 24) ** 2 + (columns - x) ** 2).sqrt())[..., None]
    ball = torch.stack([0.9 + 0 * rows, 0.3 + 0.2 * torch.sin((columns - x) / 2), 0.2 + 0 * rows], -1)
    return ground[..., None].expand(-1, -1, 3) * (1 - inside) + ball * inside


SOURCE = torch.stack([scene(14 + 4 * i) for i in range(LENGTH)])


def steps(frames: torch.Tensor) -> list[float]:
    return [float((b - a).abs().mean()) for a, b in itertools.pairwise(frames)]


def standing(given: list[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The source with pictures that hold their latents, as a decoder gives it: (frames, given, held)."""
    frames, picked = SOURCE.clone(), torch.zeros(LENGTH, dtype=torch.bool)
    held = picked.clone()
    for at in given:
        group = SORA_MINI.frames_of(SORA_MINI.latent_of(at))
        frames[group.start : group.stop] = SOURCE[at]
        held[group.start : group.stop] = True
        picked[at] = True
    return frames, picked, held & ~picked


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_no_step_stands_and_none_leaps(case):
    frames, given, held = standing(CASES[case])
    before, after = steps(frames), steps(keep_moving(frames, given, held))
    usual = statistics.median(steps(SOURCE))
    assert min(before) == 0 and max(before) > 1.4 * usual
    assert min(after) > 0.45 * usual and max(after) < 1.3 * usual


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_what_moves_is_moved_and_not_dissolved(case):
    frames, given, held = standing(CASES[case])
    made = keep_moving(frames, given, held)
    assert torch.equal(made[given], frames[given])
    for frame in made[held]:
        # Somewhere along its way the ball looks as it does here.
        near = min(float((frame - scene(14 + 0.5 * i)).abs().mean()) for i in range(8 * LENGTH))
        assert near < 0.015


def test_frames_that_move_are_left_as_they_are():
    _, given, held = standing([0, 8, 16])
    assert torch.equal(keep_moving(SOURCE, given, held), SOURCE)
    still = SOURCE[:1].expand(LENGTH, -1, -1, -1)
    assert torch.equal(keep_moving(still, given, held), still)


def test_animate_names_the_frames_that_a_picture_holds():
    codec = VAECodec(lambda frames: torch.zeros(1, 4, 1 + (len(frames) - 1) // 4, 6, 12))
    held = {
        case: tasks.animate(codec, {at: SOURCE[at] for at in at}, LENGTH)[tasks.SPLICE].held
        for case, at in CASES.items()
    }
    assert held["within a latent"].nonzero().flatten().tolist() == [5, 7, 8]
    assert held["first and last"].nonzero().flatten().tolist() == [13, 14, 15]
    assert tasks.animate(codec, {0: SOURCE[0]}, LENGTH)[tasks.SPLICE].held is None


@pytest.mark.slow
@pytest.mark.parametrize("pictures", [{0: 0, -1: 16}, {8: 8}])
def test_sora_mini_moves_into_its_pictures(pictures):
    clip = read_clip("workflows/inputs/sora_cat.mp4").frames
    given = {at: clip[frame] for at, frame in pictures.items()}
    made = sora_core.load().animate(given, "a cat moving right on a beach", frames=LENGTH, steps=8).frames
    usual, last = statistics.median(steps(made)), max(pictures.values())
    into = steps(made)[last - 5 : last]
    assert min(into) > 0.5 * usual and max(into) < 1.5 * usual
