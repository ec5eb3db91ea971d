"""A storyboard of one window that is made again with some shots changed: the others stay as they were, bit by bit."""

from __future__ import annotations

import pytest
import torch
from nested import Nested
from pipeline_support import tiny_pipeline

import sora_core
from sora_core.pipeline import reuse
from sora_core.tasks.shots import Streams, mask_prompts
from sora_core.tasks.storyboard import Shot

pytestmark = pytest.mark.usefixtures("unmarked")
BOARD = [("a cat on a beach", 1.0), ("a dog in a forest", 1.5), ("a car in a desert", 1.0), ("a cat", 1.5)]
CHANGED = [*BOARD[:2], ("a small red tree in a field", 1.0), BOARD[3]]
HOW = {"steps": 4, "cfg": 2.0, "width": 32, "height": 32, "fps": 8}


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline()


def same(a: torch.Tensor, b: torch.Tensor) -> str:
    return "".join("=" if torch.equal(x, y) else "x" for x, y in zip(a.unbind(2), b.unbind(2), strict=True))


def kept(result) -> str:
    return " ".join(note for note in result.notes if "earlier render" in note)


def test_a_changed_shot_and_its_joins_are_made(pipe):
    first = pipe.storyboard(BOARD, **HOW)
    changed = pipe.storyboard(CHANGED, **HOW)
    assert first.latent.shape[2] == 3 + 3 + 2 + 3
    assert same(first.latent, changed.latent) == "======xxx=="
    assert kept(changed) == "Shots 1, 2, 4 kept from the earlier render; shot 3 and 2 joins made."
    # Another duration moves what comes after.
    longer = pipe.storyboard([*BOARD[:2], (BOARD[2][0], 1.5), BOARD[3]], **HOW)
    assert same(first.latent[:, :, :6], longer.latent[:, :, :6]) == "======"
    assert same(first.latent[:, :, -3:], longer.latent[:, :, -3:]) == "x=="
    # As it was: the same as before, whether it was made from nothing or not.
    assert torch.equal(pipe.storyboard(BOARD, **HOW).latent, first.latent)
    assert torch.equal(pipe.storyboard(CHANGED, **HOW).latent, changed.latent)
    anew = pipe.storyboard(CHANGED, **HOW, reuse=False)
    assert kept(anew) == "" and "=" not in same(anew.latent, changed.latent)


def test_a_first_storyboard_is_what_it_was_and_other_settings_keep_nothing(pipe):
    plain = pipe.storyboard(BOARD, **HOW, reuse=False)
    assert torch.equal(pipe.storyboard(BOARD, **HOW).latent, plain.latent)
    changes = [{"seed": 1}, {"steps": 5}, {"cfg": 3.0}, {"sampler": "heun"}, {"width": 48}, {"interval": (0, 0.5)}]
    for change in [*changes, {"negative": "a dog"}]:
        assert kept(pipe.storyboard(CHANGED, **(HOW | change))) == ""
    other = tiny_pipeline()
    with torch.no_grad():
        next(other.bundle.dit.parameters()).add_(0.01)
    assert kept(other.storyboard(CHANGED, **HOW)) == ""
    assert kept(pipe.storyboard([("a tree", 1.0), ("a dog", 1.0), *BOARD[3:]], **HOW)) == ""


def locked(*numbers: int) -> list[Shot]:
    return [Shot(prompt, seconds, number in numbers) for number, (prompt, seconds) in enumerate(BOARD, 1)]


def test_a_locked_shot_stays_whatever_else_changes(pipe):
    reuse.forget()
    first = pipe.storyboard(BOARD, **HOW)
    other = pipe.storyboard(locked(2), **HOW, seed=7)
    # Its first latent is made again, behind a shot that is another one.
    assert same(first.latent, other.latent) == "xxxx==xxxxx"
    assert kept(other) == "Shot 2 kept from the earlier render; shots 1, 3, 4 and 2 joins made."
    assert torch.equal(pipe.storyboard(locked(2), **HOW, seed=7).latent, other.latent)
    # From the newest render that has it, by another sampler too; both ways to write it say the same.
    text = "\n".join(f"{shot.seconds}s{' keep' * shot.keep}: {shot.prompt}" for shot in locked(1, 2))
    third = pipe.storyboard(text, **(HOW | {"sampler": "heun"}), seed=8)
    assert same(other.latent, third.latent) == "======xxxxx"
    # With the settings of before it changes nothing, and what was not made yet cannot be kept.
    again = pipe.storyboard(locked(1), **(HOW | {"sampler": "heun"}), seed=8)
    assert torch.equal(again.latent, third.latent)
    changed = pipe.storyboard([Shot("a boat", 1.0, True), *locked()[1:]], **HOW, seed=9)
    assert kept(changed) == "To be kept, but in no earlier render that is still known: shot 1. Made anew."


def test_results_in_memory_are_few(pipe, monkeypatch):
    made = pipe.storyboard(BOARD, **HOW)
    monkeypatch.setattr(reuse, "LIMIT", 2 * made.latent.nbytes)
    for seed in range(1, 5):
        pipe.storyboard(BOARD, **HOW, seed=seed)
    assert len(reuse._results) == 2
    assert kept(pipe.storyboard(CHANGED, **HOW)) == "" and kept(pipe.storyboard(CHANGED, **HOW, seed=4)) != ""


def test_shots_that_are_conditions_of_their_own_are_kept_too(pipe):
    """The form of models that read one prompt at a time. Ours reads no masks, so noise stands for what is sampled."""
    contexts = {name: torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(i)) for i, name in enumerate("abcd")}
    streams, noted = Streams(((1, 16, 7, 4, 4),)), []

    def made(names: str, seed: int) -> torch.Tensor:
        board = mask_prompts([[[contexts[name], {"guidance": 6.0}]] for name in names], (3, 2, 2), streams)

        def sample(latent: dict) -> dict:
            noise = torch.randn(1, 16, 7, 4, 4, generator=torch.Generator().manual_seed(seed))
            mask = latent.get("noise_mask", torch.ones(1, 1, 7, 4, 4))
            return {**latent, "samples": torch.where(mask > 0.5, noise, latent["samples"])}

        latent = {"samples": torch.zeros(1, 16, 7, 4, 4)}
        model = pipe.loaded.model
        return reuse.sample_shots(sample, pipe.engine, model, latent, board, ["the same"], noted.append)["samples"]

    first = made("abc", 1)
    assert noted == [] and same(first, made("adc", 2)) == "===xxx="
    assert noted == ["Shots 1, 3 kept from the earlier render; shot 2 and 2 joins made."]


def test_what_a_model_puts_sound_beside_is_not_kept(pipe):
    board = mask_prompts([[[torch.rand(1, 3, 4), {}]] for _ in range(2)], (1, 1), Streams(((1, 16, 2, 4, 4),)))
    latent, noted = {"samples": torch.zeros(1, 16, 2, 4, 4)}, []

    def sample(latent: dict) -> dict:
        return {**latent, "samples": Nested([latent["samples"], torch.zeros(1, 8, 5)])}

    for _ in range(2):
        made = reuse.sample_shots(sample, pipe.engine, pipe.loaded.model, latent, board, [], noted.append)
        assert len(made["samples"].unbind()) == 2
    assert noted == [] and not reuse._results


@pytest.mark.slow
def test_sora_mini_keeps_three_shots_of_four():
    pipe = sora_core.load(device="cpu")
    how = HOW | {"width": 64, "height": 64}
    first, changed = (pipe.storyboard(board, **how) for board in (BOARD, CHANGED))
    assert same(first.latent, changed.latent) == "======xxx=="
