"""Noise of what is kept goes along from one run to the next."""

from __future__ import annotations

import torch

from sora_core.latents.leftover import LEFTOVER, leave_noise, take_noise

NOISE = torch.randn(1, 4, 3, 2, 2, generator=torch.Generator().manual_seed(0))


def test_it_goes_along_where_a_part_is_kept():
    generate = torch.ones(1, 1, 3, 2, 2)
    generate[:, :, 0] = 0
    left = leave_noise({"samples": NOISE, "note": 1}, generate, NOISE)
    none = torch.zeros_like(NOISE)
    taken = take_noise(left, none)
    assert torch.equal(taken[:, :, 0], NOISE[:, :, 0]) and not taken[:, :, 1:].any() and left["note"] == 1
    # Noise that is drawn anew is not touched, nor is that of another shape taken.
    assert take_noise(left, NOISE) is NOISE
    assert take_noise(left, none[:, :, :2]).shape[2] == 2 and not take_noise(left, none[:, :, :2]).any()
    assert take_noise({"samples": NOISE}, none) is none


def test_a_run_that_is_finished_or_keeps_nothing_leaves_none():
    before = {"samples": NOISE, LEFTOVER: NOISE}
    assert set(leave_noise(before, None, NOISE)) == {"samples"} == set(leave_noise(before, NOISE, None))
