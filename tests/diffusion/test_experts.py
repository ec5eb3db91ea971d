"""Two experts: whose turn a model call is, what a pair must share, and who waits on the CPU."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from sora_core.diffusion.experts import WAN, Expert, Turns, boundary_of, check_experts, device_of, offload, place
from sora_core.diffusion.samplers import SAMPLERS
from sora_core.errors import SoraError
from sora_core.latents.space import SORA_MINI, LatentSpace

SIGMAS = [1.0, 0.95, 0.9, 0.8, 0.6, 0.3, 0.0]
BOUNDARY = 0.875


def turns_of(sampler: str, sigmas=SIGMAS, boundary: float = BOUNDARY, name: str = "") -> list[tuple[float, str]]:
    """Sigma and turn of each call that a sampler makes in one run."""
    turns, calls = Turns(sigmas, boundary, name or sampler), []

    def model(x, sigma, **_):
        calls.append((round(float(sigma[0]), 6), turns.take(float(sigma[0]))))
        return 0.5 * torch.tanh(x)

    x = torch.ones(1, 4)
    SAMPLERS[sampler].fn(model, x, torch.tensor(sigmas), extra_args={"seed": 0}, callback=None, disable=True)
    return calls


@pytest.mark.parametrize("boundary", [0.97, BOUNDARY, 0.4])  # one step, some, all but one
@pytest.mark.parametrize("sampler", ["euler", "heun", "dpm_2"])
def test_turns_are_those_of_two_runs(sampler, boundary):
    edge = next(i for i, s in enumerate(SIGMAS) if s < boundary)
    parts = {"high": SIGMAS[: edge + 1], "low": SIGMAS[edge:]}
    expected = [(sigma, who) for who, part in parts.items() for sigma, _ in turns_of(sampler, part, boundary)]
    assert turns_of(sampler, boundary=boundary) == expected


def test_a_sampler_of_an_unknown_name_that_ends_steps_where_they_begin_is_noticed():
    assert turns_of("heun", name="theirs") == turns_of("heun")
    assert turns_of("euler", name="theirs") == turns_of("euler")


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_no_sampler_changes_experts_more_than_once(sampler):
    order = [who for _, who in turns_of(sampler)]
    assert sum(a != b for a, b in zip(order, order[1:], strict=False)) == 1
    # The high-noise expert has every call at the boundary or above.
    assert all(who == "high" for sigma, who in turns_of(sampler) if sigma >= BOUNDARY)


def test_noise_that_lifts_a_step_over_the_edge_again_does_not_change_experts():
    turns = Turns(SIGMAS, BOUNDARY, "euler")
    assert [turns.take(s) for s in (1.0, 0.95, 0.9, 0.8, 0.85, 0.6, 0.9)] == [*["high"] * 3, *["low"] * 3, "high"]


def test_a_run_of_one_expert():
    assert Turns(SIGMAS[:4], BOUNDARY, "heun").only == "high"
    assert Turns(SIGMAS[3:], BOUNDARY, "heun").only == "low"
    assert Turns(SIGMAS, 1.0, "euler").only is None and Turns([1.0], BOUNDARY).only == "high"


def test_published_boundaries():
    wan = Expert(LatentSpace("Wan 2.1 (WAN21)", 16), WAN)
    assert (boundary_of(0, wan), boundary_of(0, wan, picture=True), boundary_of(0.5, wan)) == (0.875, 0.9, 0.5)
    assert boundary_of(1.0, wan) == 1.0
    with pytest.raises(SoraError, match=r"none is known of sora-mini. Set one between 0 and 1 \(Wan 2.2 14B has 0.875"):
        boundary_of(0, Expert(SORA_MINI, "sora"))
    for wrong in (-0.1, 1.5, float("nan"), float("inf")):
        with pytest.raises(SoraError, match=f"boundary is {wrong}. Use a number from 0 to 1"):
            boundary_of(wrong, wan)


def test_experts_that_do_not_belong_together_are_refused_by_both_names():
    one = Expert(replace(SORA_MINI, name="one"), "sora", 512)
    check_experts(one, replace(one, space=replace(one.space, name="another")))
    check_experts(one, replace(one, text_dim=None))
    others = {
        "of different families": replace(one, family="LTXV"),
        "different channels (16 and 48)": replace(one, space=replace(one.space, channels=48)),
        "different VAEs (sora and Wan)": replace(one, space=replace(one.space, vae="Wan")),
        "laid out differently": replace(one, space=replace(one.space, spatial_ratio=16)),
        "different widths (512 and 4096)": replace(one, text_dim=4096),
        "only one of them is a rectified flow": replace(one, flow=False),
    }
    for words, other in others.items():
        other = replace(other, space=replace(other.space, name="another"))
        with pytest.raises(SoraError) as error:
            check_experts(one, other)
        assert str(error.value).startswith("high_noise is one, low_noise is another: ") and words in str(error.value)


class Remembers(nn.Linear):
    """A network that notes where it was told to go; a device that this machine has not is one in name."""

    def __init__(self):
        super().__init__(1, 1, device="meta")
        self.went: list[str] = []

    def to(self, device):
        self.went.append(str(device))
        return super().to_empty(device=device)


def test_an_expert_waits_on_the_cpu_and_comes_back():
    network = Remembers()
    offload(network)
    offload(network)
    # It still says where it samples, to whoever uses it alone.
    assert network.weight.device.type == "cpu" and device_of(network).type == "meta"
    place(network)
    place(network)
    assert network.weight.device.type == "meta" and network.went == ["cpu", "meta"]
    assert device_of(lambda x, t, context=None: x).type == "cpu"
