"""Wrappers of the model call: they compose, in the order that they are given in, and see what a cache needs."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_flow import CHANNELS, TinyFlow, conditioning, latent

from sora_core.diffusion.denoiser import make_denoiser
from sora_core.diffusion.samplers import SAMPLERS
from sora_core.diffusion.sampling import DiffusionModel, prepare_noise, sample
from sora_core.diffusion.schedules import get_sigmas
from sora_core.errors import SoraError

POSITIVE, NEGATIVE = conditioning(1), conditioning(2)
SIGMAS = get_sigmas("simple", 4, shift=3.0)


class Counting:
    """Writes down the sigma and the number of prompts of each call."""

    def __init__(self, calls):
        self.calls = calls

    def __call__(self, velocity):
        def count(x, sigma, prompts):
            self.calls.append((round(float(sigma[0]), 4), len(prompts)))
            return velocity(x, sigma, prompts)

        return count


def every_other(velocity):
    """A cache as plain as can be: every second call gives the velocities of the one before."""
    known = {}
    turns = iter(range(10_000))

    def cached(x, sigma, prompts):
        if next(turns) % 2 == 0 or any(id(p) not in known for p in prompts):
            known.update(zip(map(id, prompts), velocity(x, sigma, prompts), strict=True))
        return [known[id(p)] for p in prompts]

    return cached


def one_by_one(velocity):
    """What shares a batch out: each prompt's velocity comes from a call of its own."""
    return lambda x, sigma, prompts: [velocity(x, sigma, [p])[0] for p in prompts]


def run(*wrappers, sampler="euler", dit=None, mask=None, sigmas=SIGMAS, **options):
    given = {"samples": latent(3)} | ({} if mask is None else {"noise_mask": mask})
    model = DiffusionModel(dit or TinyFlow(), shift=3.0, name="tiny")
    settings = {"seed": 1, "cfg": 3.0, "sampler": sampler, "sigmas": sigmas} | options
    return sample(model, given, POSITIVE, NEGATIVE, wrappers=wrappers, **settings)["samples"]


@pytest.mark.parametrize("name", SAMPLERS)
def test_wrappers_that_pass_on_change_no_bit(name):
    mask = torch.ones(2, 1, 3, 4, 4)
    mask[:, :, 0] = 0
    outer, inner = [], []
    wrapped = run(Counting(outer), Counting(inner), sampler=name, mask=mask)
    assert torch.equal(wrapped, run(sampler=name, mask=mask))
    assert outer == inner and len(outer) >= 4 and {count for _, count in outer} == {2}


def test_a_counter_and_a_cache_compose():
    asked, made, dit = [], [], TinyFlow()
    out = run(Counting(asked), every_other, Counting(made), dit=dit)
    steps = [round(float(s), 4) for s in SIGMAS[:-1]]
    assert asked == [(s, 2) for s in steps]  # the first of them is the outermost
    assert made == [(s, 2) for s in steps[::2]] and len(dit.seen) == 2
    # A step that is skipped goes on along the guided velocity of the step before.
    x = (1 - SIGMAS[0]) * latent(3) + SIGMAS[0] * prepare_noise(latent(3), 1)
    denoiser = make_denoiser(TinyFlow(), POSITIVE, NEGATIVE, 3.0)
    with torch.no_grad():
        for first, _, end in (SIGMAS[0:3], SIGMAS[2:5]):
            velocity = (x - denoiser(x, first.expand(2))) / first
            x = x + velocity * (end - first)
    torch.testing.assert_close(out, x, atol=1e-5, rtol=1e-5)
    assert (out - run()).abs().mean() > 1e-3


def test_order_is_that_of_the_list():
    asked, made = [], []
    run(every_other, Counting(made))
    run(Counting(asked), every_other)
    assert (len(made), len(asked)) == (2, 4)


def test_a_cache_lasts_for_a_run():
    assert torch.equal(run(every_other), run(every_other))


def test_a_cache_holds_while_guidance_comes_and_goes():
    """The velocities of the prompts are apart there, so one that is known serves with and without guidance."""
    made = []
    low, high = float(SIGMAS[2]) - 1e-3, float(SIGMAS[1]) + 1e-3
    run(every_other, Counting(made), guidance_interval=(low, high))
    steps = [round(float(s), 4) for s in SIGMAS[:-1]]
    # Without: asked for. With, though it is the cache's turn: the negative prompt is new. With. Without: known.
    assert made == [(steps[0], 1), (steps[1], 2), (steps[2], 2)]


def test_a_batch_can_be_shared_out():
    together, apart = TinyFlow(), TinyFlow()
    torch.testing.assert_close(run(one_by_one, dit=apart), run(dit=together), atol=1e-5, rtol=1e-5)
    assert [x.shape[0] for x, *_ in together.seen] == [4] * 4
    assert [x.shape[0] for x, *_ in apart.seen] == [2] * 8


def test_what_a_wrapper_breaks_is_noticed():
    def breaks(velocity):
        return lambda x, sigma, prompts: [v * (math.nan if sigma[0] < 0.8 else 1) for v in velocity(x, sigma, prompts)]

    with pytest.raises(SoraError, match=r"at step 3 of 4 \(sigma 0\.75.*sampler euler"):
        run(breaks)


def test_what_is_kept_stays_whatever_a_wrapper_gives():
    mask = torch.ones(2, 1, 3, 4, 4)
    mask[:, :, 1] = 0
    seen = []

    def noise(velocity):
        def wrapped(x, sigma, prompts):
            seen.append(x)
            return [torch.randn_like(x) for _ in prompts]

        return wrapped

    out = run(noise, mask=mask)
    assert torch.equal(out[:, :, 1], latent(3)[:, :, 1]) and seen[0].shape == (2, CHANNELS, 3, 4, 4)
