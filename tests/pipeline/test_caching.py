"""The step cache and the gate on sora-mini, in every kind of call."""

from __future__ import annotations

import pytest
import torch
from pipeline_support import tiny_pipeline

import sora_core
from sora_core.errors import SoraError

HOW = {"sampler": "euler", "steps": 8, "seed": 2}
PROMPT = "a cat moving right on a beach"


class Counter:
    def __init__(self):
        self.asked = 0

    def __call__(self, velocity):
        def count(x, sigma, prompts):
            self.asked += len(prompts)
            return velocity(x, sigma, prompts)

        count.inner = velocity
        return count


@pytest.fixture()
def counted():
    """A pipeline, and a function that returns how many prompts its network was asked for since the last time."""
    pipe, counter = sora_core.load(), Counter()
    patched = pipe.engine.with_caching

    def with_counter(model, cache, gate=0.0):
        other = patched(model, cache, gate)
        other.wrappers = (*other.wrappers, counter)
        return other

    # Innermost, as only there what was left out is not heard.
    pipe.engine.with_caching = with_counter

    def asked():
        found, counter.asked = counter.asked, 0
        return found

    return pipe, asked


@pytest.mark.slow
def test_half_of_the_calls_give_nearly_the_same_frames(counted):
    pipe, asked = counted
    plain = pipe.generate(PROMPT, seed=1, sampler="euler")
    assert asked() == 0  # off: the model is as it was
    made = pipe.generate(PROMPT, seed=1, sampler="euler", cache=0.6)
    calls = asked()
    mse = float((made.frames - plain.frames).square().mean())
    assert calls <= 28 and mse < 1e-3  # of 50, and 30 dB


@pytest.mark.slow
def test_it_composes_with_edits_storyboards_and_long_videos(counted, tmp_path):
    pipe, asked = counted
    still = torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(0))
    moved = pipe.animate(still, PROMPT, frames=9, cache=1.0, gate=1.0, **HOW | {"steps": 20})
    assert torch.equal(moved.frames[0], still) and 0 < asked() < 40
    story = f"1s: {PROMPT}\n1s: a cat on a meadow"
    told = pipe.storyboard(story, width=64, height=64, cache=1.0, **HOW)
    assert told.frames.isfinite().all() and 0 < asked() <= 16
    # What was made with other calls is no earlier render of this.
    pipe.storyboard(story, width=64, height=64, cache=0.5, **HOW)
    assert asked() > 0
    notes: list[str] = []
    path = pipe.long_video(
        PROMPT, tmp_path / "long.mp4", seconds=4, width=64, height=64, cache=1.0, notes=notes, reuse=False, **HOW
    )
    # Each segment begins anew: its first calls are made.
    assert path.is_file() and asked() >= 2 * 3


def test_a_dial_out_of_range_is_refused_before_any_work():
    pipe = tiny_pipeline()
    for settings in ({"cache": 1.5}, {"gate": -0.1}):
        with pytest.raises(SoraError, match=r"(cache|gate) is .* Use 0 \(off"):
            pipe.generate(PROMPT, **settings)


def test_a_cache_of_one_expert_alone_is_refused():
    pipe = tiny_pipeline()
    high, low = pipe.model, pipe.model.with_caching(0.5)
    with pytest.raises(SoraError, match="behind Sora Experts"):
        pipe.engine.join_experts(high, low, 0.5)
    assert pipe.engine.join_experts(low, low, 0.5).wrappers == low.wrappers
