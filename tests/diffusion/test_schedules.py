"""Schedules: ComfyUI's numbers, recorded once from its 0.33 release, and the properties they all share."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sora_core.diffusion._beta import beta_quantile
from sora_core.diffusion.schedules import SCHEDULERS, get_sigmas, ksampler_sigmas, percent_to_sigma, shift_sigma
from sora_core.errors import SoraError


def recorded() -> dict[tuple[str, int, float, float], list[float]]:
    """(name, steps, shift, denoise) -> sigmas that ComfyUI computes with ModelSamplingDiscreteFlow(shift)."""
    lines = Path(__file__).with_name("recorded_sigmas.txt").read_text().splitlines()[1:]
    cases = {}
    for case, sigmas in (line.split(":") for line in lines):
        name, steps, shift, denoise = case.split()
        cases[name, int(steps), float(shift), float(denoise)] = [float(sigma) for sigma in sigmas.split()]
    return cases


RECORDED = recorded()


@pytest.mark.parametrize("case", RECORDED, ids=str)
def test_sigmas_are_comfyuis(case):
    name, steps, shift, denoise = case
    sigmas = get_sigmas(name, steps, shift=shift, denoise=denoise)
    torch.testing.assert_close(sigmas, torch.tensor(RECORDED[case]), rtol=0, atol=1e-6)


def test_every_scheduler_is_recorded():
    assert {name for name, *_ in RECORDED} == set(SCHEDULERS)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("steps", [1, 2, 7, 25])
@pytest.mark.parametrize("shift", [0.5, 1.0, 5.0])
def test_sigmas_fall_to_zero(name, steps, shift):
    sigmas = get_sigmas(name, steps, shift=shift)
    assert sigmas.dtype == torch.float32 and 0 < sigmas[0] <= 1 and sigmas[-1] == 0
    assert (sigmas[1:] < sigmas[:-1]).all()
    assert len(sigmas) == steps + 1 or name in ("beta", "ddim_uniform")


@pytest.mark.parametrize("name", SCHEDULERS)
def test_denoise_is_the_end_of_a_longer_schedule(name):
    part = get_sigmas(name, 10, shift=3.0, denoise=0.4)
    assert torch.equal(part, get_sigmas(name, 25, shift=3.0)[-11:])
    assert part[0] < 0.95


def test_no_denoise_gives_no_sigmas():
    assert len(get_sigmas("simple", 10, denoise=0.0)) == 0
    assert len(ksampler_sigmas("simple", 10, denoise=0.0)) == 0


def test_ksampler_discards_the_last_but_one():
    plain = get_sigmas("normal", 11, shift=3.0)
    discarded = ksampler_sigmas("normal", 10, discard_penultimate=True, shift=3.0)
    assert torch.equal(discarded, torch.cat([plain[:-2], plain[-1:]]))
    assert torch.equal(ksampler_sigmas("normal", 10, shift=3.0), get_sigmas("normal", 10, shift=3.0))
    assert len(ksampler_sigmas("normal", 10, discard_penultimate=True, denoise=0.5)) == 11


def test_shift_and_back():
    sigma = torch.linspace(0, 1, 11, dtype=torch.float64)
    torch.testing.assert_close(shift_sigma(shift_sigma(sigma, 5.0), 1 / 5.0), sigma)
    assert shift_sigma(0.5, 3.0) == pytest.approx(0.75)
    assert percent_to_sigma(0.0, 3.0) == 1.0 and percent_to_sigma(1.0, 3.0) == 0.0
    assert percent_to_sigma(0.5, 3.0) == pytest.approx(0.75)


@pytest.mark.slow
def test_beta_quantile_is_scipys():
    from scipy import stats

    p = np.linspace(0, 1, 401)
    for a, b in ((0.6, 0.6), (0.5, 2.0), (3.0, 1.5)):
        np.testing.assert_allclose(beta_quantile(p, a, b), stats.beta.ppf(p, a, b), atol=1e-12)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"name": "cosine"}, "no scheduler 'cosine'.*simple, sgm_uniform"),
        ({"steps": 0}, "steps is 0.*1 to 10000"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"shift": 0.0}, "shift is 0.0"),
        ({"shift": float("nan")}, "shift is nan"),
        ({"denoise": 1.5}, "denoise is 1.5"),
        ({"denoise": -0.1}, "denoise is -0.1"),
    ],
)
def test_bad_input_is_named(kwargs, words):
    given = {"name": "simple", "steps": 10, **kwargs}
    with pytest.raises(SoraError, match=words):
        get_sigmas(given.pop("name"), given.pop("steps"), **given)
