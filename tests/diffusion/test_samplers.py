"""Samplers against a flow with a closed form, against diffusers, and under their common contract."""

import inspect
import math

import numpy as np
import pytest
import torch
from gaussian import MEAN, STD, ConsistencyModel, GaussianModel, exact, moments, variance

from sora_core.diffusion.samplers import SAMPLERS, default_noise_sampler, get_sampler
from sora_core.diffusion.samplers._run import brownian_noise_sampler
from sora_core.diffusion.schedules import get_sigmas
from sora_core.errors import SoraError

REQUIRED = [
    *("euler", "euler_ancestral", "heun", "dpm_2", "dpmpp_2m", "dpmpp_2m_sde", "dpmpp_3m_sde"),
    *("uni_pc", "res_multistep", "er_sde", "lcm"),
]
HIGH, LOW = 0.95, 0.05


def even(steps: int) -> torch.Tensor:
    return torch.linspace(HIGH, LOW, steps + 1, dtype=torch.float64)


def even_snr(steps: int, smooth_ends: bool = False) -> torch.Tensor:
    """Evenly spaced in log-SNR; with smooth ends the first and last steps are far smaller than the others."""
    u = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    if smooth_ends:
        u = u**3 * (10 - 15 * u + 6 * u**2)
    start, end = (math.log((1 - s) / s) for s in (HIGH, LOW))
    return torch.sigmoid(-(start + (end - start) * u))


def slope(errors: list[float], counts: tuple[int, ...]) -> float:
    """Order of convergence: minus the slope of log error over log steps."""
    return -float(np.polyfit(np.log(counts), np.log(errors), 1)[0])


def flow_error(name: str, sigmas: torch.Tensor, **options) -> float:
    x = torch.linspace(-2, 2, 5, dtype=torch.float64)[None]
    end = SAMPLERS[name].fn(GaussianModel(), x, sigmas, **options)
    return float((end - exact(x, HIGH, LOW)).abs().max())


def curved(x: torch.Tensor, sigma: torch.Tensor, **_) -> torch.Tensor:
    """A denoiser that no solver has a closed form for."""
    s = sigma.view(-1, *[1] * (x.ndim - 1))
    return torch.tanh(1.3 * x * (1 - s) + 0.2 * s.sqrt()) * (1 - 0.3 * s) + 0.1 * torch.sin(3 * x) * (1 - s)


# -- (a) orders ---------------------------------------------------------------------------------------------

ORDERS = [
    ("euler", {}),
    ("euler_ancestral", {"eta": 0.0}),
    ("heun", {}),
    ("dpm_2", {}),
    ("dpmpp_2m", {}),
    ("dpmpp_2m", {"interpolate_in": "log_snr"}),
    ("dpmpp_2m_sde", {"eta": 0.0}),
    ("dpmpp_2m_sde", {"eta": 0.0, "solver_type": "heun"}),
    ("uni_pc", {}),
    ("uni_pc", {"variant": "bh2", "interpolate_in": "log_snr"}),
    ("res_multistep", {}),
]


@pytest.mark.parametrize(("name", "options"), ORDERS, ids=str)
def test_probability_flow_converges_at_the_samplers_order(name, options):
    counts = (128, 256, 512)
    errors = [flow_error(name, even(n), **options) for n in counts]
    assert slope(errors, counts) == pytest.approx(SAMPLERS[name].order, abs=0.15)
    assert errors[-1] < {1: 4e-3, 2: 4e-5}[SAMPLERS[name].order]


def test_dpmpp_3m_is_of_its_order_without_noise():
    # Even in log-SNR, the variable that it steps in: its first-order start does not hide the rest.
    counts = (160, 320, 640)
    errors = [flow_error("dpmpp_3m_sde", even_snr(n, smooth_ends=True), eta=0.0) for n in counts]
    assert slope(errors, counts) == pytest.approx(SAMPLERS["dpmpp_3m_sde"].order, abs=0.25)
    assert errors[-1] < 0.2 * flow_error("dpmpp_2m", even_snr(counts[-1], smooth_ends=True))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_uni_pc_is_of_order_plus_one_away_from_the_ends(order):
    counts = (80, 160, 320)
    errors = [
        flow_error("uni_pc", even_snr(n, smooth_ends=True), order=order, interpolate_in="log_snr") for n in counts
    ]
    assert slope(errors, counts) == pytest.approx(order + 1, abs=0.25)


@pytest.mark.parametrize(
    ("name", "options", "order"),
    [
        ("euler_ancestral", {}, 1),
        ("euler_ancestral", {"eta": 0.4}, 1),
        ("dpmpp_2m_sde", {}, 2),
        ("dpmpp_2m_sde", {"solver_type": "heun", "eta": 0.5}, 2),
        ("dpmpp_3m_sde", {}, 2),
        ("res_multistep", {"eta": 1.0}, 2),
        ("er_sde", {}, 2),
        ("er_sde", {"max_stage": 1}, 1),
        ("euler", {"s_churn": 2.0}, 1),
        ("heun", {"s_churn": 8.0}, 2),
        ("dpm_2", {"s_churn": 8.0}, 2),
    ],
    ids=str,
)
def test_noise_leads_to_the_right_distribution(name, options, order):
    """Mean and variance at sigma 0.05, exactly (no random numbers), at this order in the number of steps."""
    counts = (32, 64, 128)
    errors = []
    for n in counts:
        mean, var = moments(SAMPLERS[name].fn, even_snr(n), **options)
        assert mean == pytest.approx((1 - LOW) * MEAN, abs=1e-9)
        errors.append(abs(var - variance(LOW)))
    assert slope(errors, counts) == pytest.approx(order, abs=0.3)
    assert errors[-1] < 0.05 * variance(LOW)


def test_a_biased_start_is_forgotten_at_the_right_rate():
    # The mean above starts on its path and stays; here it starts one off, and must follow the flow down.
    # With noise the memory of the start fades faster than along the flow, without it exactly as there.
    one_off = torch.full((1, 1), (1 - HIGH) * MEAN + 1, dtype=torch.float64)
    along_flow = exact(one_off, HIGH, LOW)
    for name in ("euler_ancestral", "dpmpp_2m_sde", "dpmpp_3m_sde"):
        fn, silent = SAMPLERS[name].fn, {"noise_sampler": lambda *_: torch.zeros(1, 1)}
        torch.testing.assert_close(fn(GaussianModel(), one_off, even_snr(400), eta=0.0), along_flow, atol=5e-3, rtol=0)
        faded = fn(GaussianModel(), one_off, even_snr(400), **silent) - (1 - LOW) * MEAN
        assert abs(float(faded)) < 0.5 * abs(float(along_flow) - (1 - LOW) * MEAN)


def test_lcm_is_exact_for_a_consistency_model_at_any_number_of_steps():
    for steps in (1, 2, 5):
        sigmas = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
        mean, var = moments(SAMPLERS["lcm"].fn, sigmas, ConsistencyModel)
        assert mean == pytest.approx(MEAN, abs=1e-12) and var == pytest.approx(STD**2, abs=1e-12)


@pytest.mark.parametrize("name", [n for n in REQUIRED if n != "lcm"])
def test_from_noise_to_data_with_drawn_noise(name):
    x = torch.randn(40_000, 1, generator=torch.Generator().manual_seed(1))
    end = SAMPLERS[name].fn(GaussianModel(), x, get_sigmas("simple", 150, shift=3.0), {"seed": 3})
    assert float(end.mean()) == pytest.approx(MEAN, abs=0.01)
    assert float(end.std()) == pytest.approx(STD, rel=0.06)


# -- (b) diffusers ------------------------------------------------------------------------------------------


def run_diffusers(scheduler, x: torch.Tensor) -> torch.Tensor:
    for t in scheduler.timesteps:
        if scheduler.step_index is None:
            scheduler._init_step_index(t)
        sigma = scheduler.sigmas[scheduler.step_index]
        velocity = (x - curved(x, sigma.expand(len(x)))) / sigma
        x = scheduler.step(velocity, t, x, return_dict=False)[0]
    return x


def noise() -> torch.Tensor:
    return torch.randn(2, 4, 3, 4, 4, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("steps", [5, 20])
def test_euler_agrees_with_diffusers(steps):
    from diffusers import FlowMatchEulerDiscreteScheduler

    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(steps)
    ours = SAMPLERS["euler"].fn(curved, noise(), scheduler.sigmas.clone())
    torch.testing.assert_close(ours, run_diffusers(scheduler, noise()), atol=1e-4, rtol=0)


@pytest.mark.parametrize("steps", [5, 20])
def test_heun_agrees_with_diffusers(steps):
    from diffusers import FlowMatchHeunDiscreteScheduler

    scheduler = FlowMatchHeunDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(steps)
    sigmas = torch.unique_consecutive(scheduler.sigmas)
    assert len(sigmas) == steps + 1
    ours = SAMPLERS["heun"].fn(curved, noise(), sigmas)
    torch.testing.assert_close(ours, run_diffusers(scheduler, noise()), atol=1e-4, rtol=0)


@pytest.mark.parametrize("steps", [5, 20])
def test_dpmpp_2m_agrees_with_diffusers(steps):
    from diffusers import DPMSolverMultistepScheduler

    scheduler = DPMSolverMultistepScheduler(
        use_flow_sigmas=True,
        prediction_type="flow_prediction",
        flow_shift=3.0,
        algorithm_type="dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
    )
    scheduler.set_timesteps(steps)
    ours = SAMPLERS["dpmpp_2m"].fn(curved, noise(), scheduler.sigmas.clone(), interpolate_in="log_snr")
    torch.testing.assert_close(ours, run_diffusers(scheduler, noise()), atol=1e-4, rtol=0)


@pytest.mark.parametrize("steps", [5, 20])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_uni_pc_agrees_with_diffusers(steps, order):
    from diffusers import UniPCMultistepScheduler

    scheduler = UniPCMultistepScheduler(
        use_flow_sigmas=True,
        prediction_type="flow_prediction",
        flow_shift=3.0,
        solver_order=order,
        solver_type="bh2",  # its bh1 gives NaN at the last step, to sigma 0
    )
    scheduler.set_timesteps(steps)
    ours = SAMPLERS["uni_pc"].fn(
        curved, noise(), scheduler.sigmas.clone(), order=order, variant="bh2", interpolate_in="log_snr"
    )
    torch.testing.assert_close(ours, run_diffusers(scheduler, noise()), atol=1e-4, rtol=0)


# -- the contract -------------------------------------------------------------------------------------------


def test_registry_has_the_names_and_their_options():
    assert set(REQUIRED) <= set(SAMPLERS)
    for name, spec in SAMPLERS.items():
        parameters = inspect.signature(spec.fn).parameters
        assert list(parameters)[:6] == ["model", "x", "sigmas", "extra_args", "callback", "disable"]
        assert spec.name == name and spec.description
        own = set(list(parameters)[6:]) - {"noise_sampler"}
        assert {o.name for o in spec.options} == own, name
        for option in spec.options:
            assert option.tooltip
            assert option.check(option.default, name) == option.default


def test_default_options_change_nothing():
    sigmas = get_sigmas("simple", 6, shift=3.0)
    for spec in SAMPLERS.values():
        plain = spec.fn(curved, noise(), sigmas, {"seed": 1})
        assert torch.equal(plain, spec.fn(curved, noise(), sigmas, {"seed": 1}, **spec.check_options(None)))


@pytest.mark.parametrize("name", REQUIRED)
def test_callback_once_a_step_with_the_five_keys(name):
    sigmas, seen = get_sigmas("simple", 7, shift=3.0), []
    SAMPLERS[name].fn(curved, noise(), sigmas, {"seed": 0}, seen.append)
    assert [c["i"] for c in seen] == list(range(7))
    for c in seen:
        assert set(c) == {"x", "i", "sigma", "sigma_hat", "denoised"}
        assert c["x"].shape == c["denoised"].shape == noise().shape
        assert float(c["sigma"]) == pytest.approx(float(sigmas[c["i"]]), abs=1e-3)


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_few_steps_end_near_the_data(name, steps):
    end = SAMPLERS[name].fn(curved, noise(), get_sigmas("simple", steps), {"seed": 0})
    assert torch.isfinite(end).all() and end.abs().max() < 3
    if steps == 1:
        torch.testing.assert_close(end, curved(noise(), torch.ones(2)), atol=5e-3, rtol=0)


@pytest.mark.parametrize("name", REQUIRED)
def test_same_seed_is_bit_identical_and_input_is_left_alone(name):
    spec, sigmas, x = SAMPLERS[name], get_sigmas("simple", 8, shift=3.0), noise()
    first = spec.fn(curved, x, sigmas, {"seed": 7})
    torch.randn(3)  # the global generator has no say
    assert torch.equal(first, spec.fn(curved, x, sigmas, {"seed": 7}))
    assert torch.equal(x, noise()) and torch.equal(sigmas, get_sigmas("simple", 8, shift=3.0))
    assert torch.equal(first, spec.fn(curved, x, sigmas, {"seed": 8})) != spec.stochastic


def test_samplers_differ():
    sigmas = get_sigmas("simple", 8, shift=3.0)
    ends = [spec.fn(curved, noise(), sigmas, {"seed": 7}) for spec in SAMPLERS.values()]
    assert all(not torch.equal(a, b) for i, a in enumerate(ends) for b in ends[:i])


def test_default_noise_starts_after_the_seed():
    x = torch.zeros(2, 3)
    expected = torch.randn(2, 3, generator=torch.Generator().manual_seed(42))
    assert torch.equal(default_noise_sampler(x, 41)(1.0, 0.5), expected)
    assert default_noise_sampler(x, 2**64 - 1)(1.0, 0.5).shape == x.shape


def test_the_models_shift_sets_where_log_snr_starts():
    """As in ComfyUI, a first sigma of 1 becomes the model's at 0.01 % of the way; without a shift, an even flow's."""

    class Seen(GaussianModel):
        def __call__(self, x, sigma, **kwargs):
            self.first = getattr(self, "first", float(sigma[0]))
            return super().__call__(x, sigma)

    plain, shifted = Seen(), Seen()
    shifted.percent_to_sigma = lambda percent: 1 - 5 * percent
    for model, first in ((plain, 0.9999), (shifted, 0.9995)):
        SAMPLERS["er_sde"].fn(model, noise(), get_sigmas("simple", 4), {"seed": 0})
        assert model.first == pytest.approx(first, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("euler", {"eta": 1.0}, "euler has no option 'eta'.*s_churn"),
        ("euler_ancestral", {"eta": 1.5}, "euler_ancestral: eta is 1.5.*0.0 to 1.0"),
        ("uni_pc", {"order": 2.5}, "order is 2.5.*whole number from 1 to 3"),
        ("uni_pc", {"variant": "bh3"}, "variant is 'bh3'.*bh1, bh2"),
        ("er_sde", {"s_noise": "much"}, "s_noise is 'much'"),
    ],
)
def test_bad_options_are_named(name, options, words):
    with pytest.raises(SoraError, match=words):
        SAMPLERS[name].check_options(options)


def test_unknown_sampler_lists_the_names():
    with pytest.raises(SoraError, match="no sampler 'plms'.*euler, euler_ancestral.*lcm"):
        get_sampler("plms")


def test_the_noise_of_the_sde_solvers_is_one_motion():
    """Two steps bring the noise of the one step that they stand for, whatever was asked in between."""
    like, sigmas = torch.zeros(4, 1000), get_sigmas("simple", 8)
    noise, again = (brownian_noise_sampler(like, sigmas, 5) for _ in range(2))
    first, second = noise(0.9, 0.5) * 0.4**0.5, noise(0.5, 0.3) * 0.2**0.5
    torch.testing.assert_close(again(0.9, 0.3) * 0.6**0.5, first + second, atol=1e-5, rtol=0)
    assert abs(noise(0.9, 0.5).std() - 1) < 0.05 and abs((first * second).mean()) < 0.02
    assert not torch.equal(noise(0.9, 0.5), brownian_noise_sampler(like, sigmas, 6)(0.9, 0.5))
