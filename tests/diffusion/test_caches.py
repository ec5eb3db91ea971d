"""Model calls that are left out: where, how far that leads off, and where none may be."""

from __future__ import annotations

import pytest
import torch
from tiny_flow import CHANNELS, TinyFlow, conditioning, latent

from sora_core.diffusion.caches import GuidanceGate, StepCache, caching
from sora_core.diffusion.caches.track import Track, guided
from sora_core.diffusion.experts import Turns
from sora_core.diffusion.samplers import SAMPLERS
from sora_core.diffusion.sampling import DiffusionModel, sample
from sora_core.diffusion.schedules import get_sigmas
from sora_core.errors import SoraError
from sora_core.loading.fingerprint import fingerprint

POSITIVE, NEGATIVE = conditioning(1), conditioning(2)
SIGMAS = get_sigmas("simple", 20, shift=3.0)


class Calls:
    """Counts what reaches the network."""

    def __init__(self):
        self.made = []

    def __call__(self, velocity):
        def count(x, sigma, prompts):
            self.made.append((round(float(sigma.flatten()[0]), 5), len(prompts)))
            return velocity(x, sigma, prompts)

        count.inner = velocity
        return count

    @property
    def levels(self):
        return [level for level, _ in self.made]

    @property
    def prompts(self):
        return sum(count for _, count in self.made)


def run(cache=0.0, gate=0.0, sampler="euler", mask=None, sigmas=SIGMAS, low=None, **options):
    calls = Calls()
    model = DiffusionModel(TinyFlow(), shift=3.0, name="tiny").with_caching(cache, gate)
    if low is not None:
        model = model.with_low_noise(DiffusionModel(low, shift=3.0, name="tiny"), 0.7)
    model.wrappers = (*model.wrappers, calls)
    given = {"samples": latent(3)} | ({} if mask is None else {"noise_mask": mask})
    settings = {"seed": 1, "cfg": 3.0, "sampler": sampler, "sigmas": sigmas} | options
    return sample(model, given, POSITIVE, NEGATIVE, **settings)["samples"], calls


def off(a, b):
    return float((a - b).square().mean().sqrt() / b.std())


@pytest.mark.parametrize("name", SAMPLERS)
def test_off_changes_no_bit_and_on_stays_near(name):
    plain, all_calls = run(sampler=name)
    assert torch.equal(run(sampler=name, cache=0.0, gate=0.0)[0], plain)
    made, calls = run(sampler=name, cache=0.5)
    assert calls.prompts <= all_calls.prompts and off(made, plain) < 0.2
    if not SAMPLERS[name].stochastic:
        assert calls.prompts < 0.8 * all_calls.prompts


def test_the_dial_trades_calls_for_nearness():
    plain, all_calls = run()
    results = [run(cache=dial) for dial in (0.01, 0.1, 1.0)]
    counts = [calls.prompts for _, calls in results]
    assert all_calls.prompts > counts[0] >= counts[1] >= counts[2] and counts[0] > counts[2]
    assert off(results[0][0], plain) < 0.02


def test_a_gate_leaves_out_the_negative_prompt_alone():
    plain, all_calls = run()
    made, calls = run(gate=0.5)
    assert calls.levels == all_calls.levels and {count for _, count in calls.made} == {1, 2}
    assert calls.prompts < 0.8 * all_calls.prompts and off(made, plain) < 0.1
    both, fewest = run(gate=0.5, cache=0.5)
    assert fewest.prompts < calls.prompts and off(both, plain) < 0.2
    # Without guidance there is nothing to leave out.
    assert torch.equal(run(gate=1.0, cfg=1.0)[0], run(cfg=1.0)[0])


def test_what_is_kept_stays_and_decides_nothing():
    mask = torch.ones(2, 1, 3, 4, 4)
    mask[:, :, 0] = 0
    made, calls = run(cache=0.5, gate=0.5, sampler="euler_ancestral", mask=mask)
    assert torch.equal(made[:, :, 0], latent(3)[:, :, 0])
    # A sampler's fresh noise stands in what is kept too; errors are counted in the rest.
    track = Track(1.0, 4, guided, lambda: mask.bool())
    value = torch.zeros(1, 2, CHANNELS, 3, 4, 4)
    for level in (0.9, 0.8, 0.7):
        noisy = value.clone()
        noisy[:, :, :, 0] = torch.randn(1, 2, CHANNELS, 4, 4)
        track.expected(level, ())
        track.learn(level, noisy, torch.randn(2, CHANNELS, 3, 4, 4))
    assert track.error[0] < 1e-6


def test_nothing_of_a_run_is_left_in_the_next():
    first, second = run(cache=0.5), run(cache=0.5)
    assert torch.equal(first[0], second[0]) and first[1].made == second[1].made


@pytest.mark.parametrize("sampler", ["heun", "dpm_2"])
def test_a_sampler_that_asks_twice_gets_its_second_answer(sampler):
    plain, all_calls = run(sampler=sampler)
    made, calls = run(sampler=sampler, cache=0.5)
    asked_again = {a for a, b in zip(all_calls.levels, all_calls.levels[1:], strict=False) if a == b}
    assert asked_again <= set(calls.levels) and off(made, plain) < 0.1


def test_going_back_up_begins_anew():
    track = Track(1.0, 4, guided)
    value = torch.randn(1, 1, CHANNELS, 3, 4, 4)
    for level in (0.9, 0.8):
        assert track.expected(level, ()) is None
        track.learn(level, value, value)
    assert track.expected(0.7, ()) is not None
    assert track.expected(0.75, ()) is None and not track.known
    track.learn(0.75, value, value)
    assert track.expected(0.7, ()) is None  # nothing is known yet of how well it can be told


def test_other_prompts_are_another_question():
    _, all_calls = run(guidance_interval=(0.5, 0.9))
    _, calls = run(guidance_interval=(0.5, 0.9), cache=0.5)
    changes = [b for a, b in zip(all_calls.made, all_calls.made[1:], strict=False) if a[1] != b[1]]
    assert len(changes) == 2 and set(changes) <= set(calls.made) and len(calls.made) < len(all_calls.made)


def test_two_experts_take_the_turns_that_they_take_without():
    low = TinyFlow()
    with torch.no_grad():
        for weight in low.parameters():
            weight *= 1.1
    for sampler in ("euler", "heun"):
        plain, _ = run(low=low, sampler=sampler)
        made, calls = run(low=low, sampler=sampler, cache=0.3, gate=0.3)
        assert off(made, plain) < 0.2
        edge = Turns(SIGMAS.tolist(), 0.7, sampler).edge
        assert round(edge, 5) in calls.levels  # the other expert's first call


@pytest.mark.parametrize("dial", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_dial_out_of_range_is_refused(dial):
    with pytest.raises(SoraError, match=r"cache is .* Use 0 \(off"):
        caching(dial, 0.0)
    with pytest.raises(SoraError, match="gate is"):
        caching(0.0, dial)


def test_caches_are_part_of_what_a_model_computes():
    assert caching(0.0, 0.0) == ()
    assert fingerprint(caching(0.5, 0.0)) != fingerprint(caching(0.4, 0.0))
    assert fingerprint([StepCache(0.5)]) != fingerprint([GuidanceGate(0.5)])
