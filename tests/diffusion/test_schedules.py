"""Schedules: ComfyUI's numbers, recorded once from its 0.33 release, and the properties they all share."""

import numpy as np
import pytest
import torch

from sora_core.diffusion._beta import beta_quantile
from sora_core.diffusion.schedules import SCHEDULERS, get_sigmas, ksampler_sigmas, percent_to_sigma, shift_sigma
from sora_core.errors import SoraError

# (name, steps, shift, denoise) -> sigmas that ComfyUI computes with ModelSamplingDiscreteFlow(shift).
RECORDED = {
    ("simple", 6, 1.0, 1.0): [1, 0.834, 0.667, 0.5, 0.334, 0.167, 0],
    ("simple", 6, 5.0, 1.0): [1, 0.9617159, 0.9092149, 0.8333333, 0.7148973, 0.5005995, 0],
    ("simple", 4, 3.0, 0.5): [0.75, 0.6428571, 0.5, 0.3, 0],
    ("sgm_uniform", 6, 1.0, 1.0): [1, 0.8335, 0.667, 0.5005, 0.334, 0.1675, 0],
    ("sgm_uniform", 6, 5.0, 1.0): [1, 0.9617593, 0.9097071, 0.8347121, 0.7173175, 0.5073965, 0],
    ("sgm_uniform", 4, 3.0, 0.5): [0.7511211, 0.6446863, 0.5029851, 0.3050089, 0],
    ("ddim_uniform", 6, 1.0, 1.0): [0.832, 0.666, 0.5, 0.334, 0.168, 0.002, 0],
    ("ddim_uniform", 6, 5.0, 1.0): [0.961183, 0.9088427, 0.8333333, 0.7148973, 0.5023924, 0.009920635, 0],
    ("ddim_uniform", 4, 3.0, 0.5): [0.6448119, 0.5026596, 0.3038278, 0.005976096, 0],
    ("beta", 6, 1.0, 1.0): [1, 0.909, 0.725, 0.501, 0.276, 0.092, 0],
    ("beta", 6, 5.0, 1.0): [1, 0.9803711, 0.9294872, 0.8338881, 0.6558935, 0.3362573, 0],
    ("beta", 4, 3.0, 0.5): [0.7507493, 0.5963855, 0.3921714, 0.155914, 0],
    ("normal", 6, 1.0, 1.0): [1, 0.8002, 0.6004, 0.4006, 0.2008, 0.001, 0],
    ("normal", 6, 5.0, 1.0): [1, 0.9526629, 0.8832126, 0.7714307, 0.5616499, 0.02441406, 0],
    ("normal", 4, 3.0, 0.5): [0.6937931, 0.5480456, 0.3379722, 0.008928572, 0],
    ("linear_quadratic", 6, 1.0, 1.0): [1, 0.9916667, 0.9833333, 0.975, 0.8611111, 0.5361111, 0],
    ("linear_quadratic", 6, 5.0, 1.0): [1, 0.9916667, 0.9833333, 0.975, 0.8611111, 0.5361111, 0],
    ("linear_quadratic", 4, 3.0, 0.5): [0.975, 0.909375, 0.725, 0.421875, 0],
    ("karras", 6, 1.0, 1.0): [1, 0.3912903, 0.1323713, 0.03669559, 0.007618542, 0.001000001, 0],
    ("karras", 6, 5.0, 1.0): [1, 0.4555964, 0.187892, 0.06814168, 0.02080162, 0.004980081, 0],
    ("karras", 4, 3.0, 0.5): [0.06565543, 0.02706877, 0.009813028, 0.002994013, 0],
    ("exponential", 6, 1.0, 1.0): [1, 0.2511886, 0.06309574, 0.01584893, 0.003981072, 0.0009999999, 0],
    ("exponential", 6, 5.0, 1.0): [1, 0.3462959, 0.1199208, 0.04152808, 0.01438101, 0.004980081, 0],
    ("exponential", 4, 3.0, 0.5): [0.03612927, 0.01575157, 0.006867343, 0.002994012, 0],
    ("kl_optimal", 6, 1.0, 1.0): [1, 0.7268481, 0.5100295, 0.3255832, 0.1592046, 0.001, 0],
    ("kl_optimal", 6, 5.0, 1.0): [1, 0.7280654, 0.5120372, 0.3282264, 0.162471, 0.00498008, 0],
    ("kl_optimal", 4, 3.0, 0.5): [0.3518366, 0.2304945, 0.1152726, 0.002994012, 0],
}


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
