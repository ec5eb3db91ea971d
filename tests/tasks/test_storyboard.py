"""Storyboards: each shot reads its own prompt and no other, and all shots see each other."""

from __future__ import annotations

import pytest
import torch
from pipeline_support import tiny_pipeline

from sora_core.diffusion.denoiser import make_denoiser
from sora_core.errors import SoraError
from sora_core.tasks import Shot, parse_storyboard, plan_shots, shots_conditioning
from sora_core.tasks.storyboard import shots_of_window


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline()


def test_lines_to_shots():
    text = "2s: a cat on a beach\n\n1.5: a dog\n3 seconds | 一只猫\na car at 5: 30"
    shots = parse_storyboard(text)
    assert [s.seconds for s in shots] == [2, 1.5, 3, 2]
    assert [s.prompt for s in shots] == ["a cat on a beach", "a dog", "一只猫", "a car at 5: 30"]


def test_a_shot_is_marked_as_kept():
    marked = parse_storyboard("2s keep: a cat\n1.5 keep| a dog\n3秒保留：一只猫\n2s: keep: a pig\nkeep: a cow")
    assert [(shot.prompt, shot.keep) for shot in marked] == [
        ("a cat", True),
        ("a dog", True),
        ("一只猫", True),
        ("keep: a pig", False),
        ("keep: a cow", False),
    ]


def test_cuts_are_the_nearest_latents():
    shots = [Shot("a", 2.0), Shot("b", 1.0), Shot("c", 1.0)]
    assert plan_shots(shots, 8) == [5, 2, 2]
    counts = plan_shots([Shot("a", 0.7)] * 8, 8)
    assert sum(counts) == 1 + round((0.7 * 8 * 8 - 1) / 4) and min(counts) >= 1
    assert shots_of_window([5, 2, 2], 4, 4) == ([0, 1, 2], [1, 2, 1])
    assert shots_of_window([5, 2, 2], 8, 5) == ([2], [5])


def velocity(pipe, positive, x, negative=None, cfg=1.0):
    denoiser = make_denoiser(pipe.model.dit, positive, negative, cfg)
    return denoiser(x, torch.ones(x.shape[0]))


def test_one_prompt_in_every_shot_is_that_prompt(pipe):
    x = torch.randn(1, 16, 6, 4, 4, generator=torch.Generator().manual_seed(0))
    context, empty = pipe.text.encode(["a cat on a beach"]), pipe.text.encode([""])
    story = shots_conditioning([context] * 3, [3, 2, 1])
    for negative, cfg in ((None, 1.0), (empty, 4.0)):
        a, b = (velocity(pipe, p, x, negative, cfg) for p in (context, story))
        assert torch.allclose(a, b, atol=1e-4)


def test_a_shot_reads_its_own_prompt_only(pipe):
    """With attention between tokens taken away, a shot gets exactly what it gets from its prompt alone."""
    x = torch.randn(2, 16, 5, 4, 4, generator=torch.Generator().manual_seed(0))
    cat, dog = pipe.text.encode(["a cat on a beach"]), pipe.text.encode(["a dog in a forest at night"])
    story = shots_conditioning([cat, dog], [3, 2])
    joint = velocity(pipe, story, x)
    assert not torch.allclose(joint[:, :, :3], velocity(pipe, cat, x)[:, :, :3], atol=1e-4)
    saved = [block.self_attn.o.weight.clone() for block in pipe.model.dit.blocks]
    try:
        for block in pipe.model.dit.blocks:
            block.self_attn.o.weight.zero_()
        joint, first, second = (velocity(pipe, p, x) for p in (story, cat, dog))
    finally:
        for block, weight in zip(pipe.model.dit.blocks, saved, strict=True):
            block.self_attn.o.weight.copy_(weight)
    assert torch.allclose(joint[:, :, :3], first[:, :, :3], atol=1e-5)
    assert torch.allclose(joint[:, :, 3:], second[:, :, 3:], atol=1e-5)
    assert not torch.allclose(joint[:, :, 3:], first[:, :, 3:], atol=1e-3)


def test_one_call(pipe):
    made = pipe.storyboard([("a cat on a beach", 1.0), ("a cat in a forest", 1.0)], steps=2, width=32, height=32)
    assert made.frames.shape == (17, 32, 32, 3) and made.fps == 8
    again = pipe.storyboard("1s: a cat on a beach\n1s: a cat in a desert", steps=2, width=32, height=32)
    assert not torch.allclose(made.latent[:, :, 4:], again.latent[:, :, 4:], atol=1e-3)


def test_bad_storyboards_are_named(pipe):
    for text, words in (
        ("", "empty"),
        ("2s:", "Line 1.*no prompt"),
        ("0s: a cat", "Line 1.*0 s"),
        ("a cat\n" * 9, "9 shots"),
    ):
        with pytest.raises(SoraError, match=words):
            parse_storyboard(text)
    context = pipe.text.encode(["a cat"])
    x = torch.zeros(1, 16, 5, 4, 4)
    with pytest.raises(SoraError, match="for 4 latents, the latent has 5"):
        velocity(pipe, shots_conditioning([context] * 2, [2, 2]), x)
    with pytest.raises(SoraError, match="2 prompts for 3 shots"):
        shots_conditioning([context] * 2, [2, 2, 1])
