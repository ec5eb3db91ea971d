"""Block matching, and detail that goes along with what moves."""

import pytest
import torch
import torch.nn.functional as F

from sora_core.tasks.finish import flow as flows
from sora_core.tasks.finish.flow import follow, match, smooth, warp
from sora_core.tasks.finish.splice import carry_in_time


def scene(x: int, y: int, size: int = 96, side: int = 28) -> torch.Tensor:
    """A textured square on a textured ground, `[H,W,3]`."""
    generator = torch.Generator().manual_seed(0)

    def texture(n: int) -> torch.Tensor:
        rough = torch.rand(1, 3, n // 4, n // 4, generator=generator)
        return F.interpolate(rough, (n, n), mode="bilinear")[0].movedim(0, -1)

    picture, square = 0.5 * texture(size), 0.5 + 0.5 * texture(side)
    picture[y : y + side, x : x + side] = square
    return picture


@pytest.mark.parametrize(("dx", "dy"), [(3, 0), (-4, 2), (0, -5)])
@pytest.mark.parametrize("size", [96, 160])
def test_what_moved_is_found(dx, dy, size):
    before, now = scene(30, 30, size), scene(30 + dx, 30 + dy, size)
    flow = match(now, before)
    inside = flow[34 + dy : 54 + dy, 34 + dx : 54 + dx].flatten(0, 1)
    torch.testing.assert_close(inside.median(0).values, torch.tensor((-float(dx), -float(dy))), atol=0.5, rtol=0)
    assert (flow[70:90, 70:90].abs() < 0.51).all(), "the ground stayed where it was"
    assert (warp(before, flow) - now).abs().mean() < 0.3 * (before - now).abs().mean()


def test_a_displacement_over_two_frames_is_the_sum_of_its_steps():
    step = torch.zeros(20, 20, 2) + torch.tensor((2.0, 0.0))
    before = torch.zeros(20, 20, 2) + torch.tensor((1.0, -3.0))
    torch.testing.assert_close(follow(step, before), torch.zeros(20, 20, 2) + torch.tensor((3.0, -3.0)))
    image = torch.rand(20, 20, 3)
    torch.testing.assert_close(warp(image, step)[:, :18], image[:, 2:])


@pytest.mark.slow
def test_made_frames_take_over_the_detail_of_what_moves():
    """A soft decoding of a moving square comes closer to the truth, on both sides of the gap and in between."""
    truth = torch.stack([scene(20 + 3 * t, 34) for t in range(12)])
    soft = F.avg_pool2d(truth.movedim(-1, 1), 5, 1, 2, count_include_pad=False).movedim(1, -1) + 0.03
    keep = torch.ones(12, dtype=torch.bool)
    keep[4:8] = False
    made = carry_in_time(soft, truth, keep)
    assert torch.equal(made[keep], soft.clamp(0, 1)[keep])
    for t in range(4, 8):
        assert (made[t] - truth[t]).abs().mean() < 0.5 * (soft[t] - truth[t]).abs().mean()


def test_light_that_changes_is_left_alone():
    """A scene that fades is not held at the brightness of the kept frame."""
    still = scene(30, 30).mul(0.6)
    truth = torch.stack([still + 0.02 * t for t in range(8)])
    keep = torch.tensor([True] * 3 + [False] * 5)
    made = carry_in_time(truth, truth, keep)
    torch.testing.assert_close(made, truth, atol=0.01, rtol=0)


@pytest.mark.slow
def test_what_was_made_elsewhere_is_dissolved_into_and_does_not_jump():
    """The made frames have the square far away from where the kept ones have it."""
    kept, other = scene(10, 34), scene(58, 34)
    video = torch.stack([kept] * 4 + [other] * 10)
    made = carry_in_time(video, video, torch.tensor([True] * 4 + [False] * 10))
    change = made.diff(dim=0).abs().mean((1, 2, 3))
    jump = (kept - other).abs().mean()
    assert change.max() < 0.4 * jump, change
    assert (made[-1] - other).abs().mean() < 0.25 * jump


@pytest.mark.slow
def test_a_subject_that_was_made_too_far_away_gets_there_by_degrees():
    """It moves three pixels a frame where it is kept, and is made eighteen further on."""
    video = torch.stack([scene(6 + 3 * t, 34) for t in range(4)] + [scene(21 + 3 * t, 34) for t in range(4, 12)])
    made = carry_in_time(video, video, torch.tensor([True] * 4 + [False] * 8))
    change = made.diff(dim=0).abs().mean((1, 2, 3))
    assert change[3] < 1.3 * change[:3].max(), change
    assert (video[4] - video[3]).abs().mean() > 2 * change[:3].max()


def test_a_displacement_that_no_neighbour_shares_is_dropped(monkeypatch):
    flow = torch.zeros(80, 40, 2)
    flow[:, 20:, 0] = 3.0
    lone = flow.clone()
    lone[::7, ::7] = torch.tensor((-5.0, 5.0))
    out = smooth(lone)
    torch.testing.assert_close(out[:, 26:], flow[:, 26:])
    torch.testing.assert_close(out[:, :14], flow[:, :14])
    monkeypatch.setattr(flows, "BAND", 1000)
    torch.testing.assert_close(smooth(lone), out, atol=0, rtol=0)
