"""Samplers for rectified flow, under ComfyUI's names.

Each is a function `(model, x, sigmas, extra_args=None, callback=None, disable=None, **options) -> x`, k-diffusion's
contract: `model(x, sigma[B], **extra_args)` returns x0, `callback` gets {"x", "i", "sigma", "sigma_hat", "denoised"}
once a step. `extra_args["seed"]` seeds the noise, unless a `noise_sampler(sigma, sigma_next)` is given. A model whose
schedule is shifted says so by `percent_to_sigma(percent)`. Masks are the model's business: a sampler that runs on a
model whose x0 is the clean latent where it is to be kept brings that latent back there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import SoraError
from ._run import Model, StepCallback, default_noise_sampler
from .dpmpp import sample_dpmpp_2m, sample_dpmpp_2m_sde, sample_dpmpp_3m_sde
from .er_sde import sample_er_sde
from .euler import sample_euler, sample_euler_ancestral
from .lcm import sample_lcm
from .res import sample_res_multistep
from .spec import SamplerOption, SamplerSpec
from .two_stage import sample_dpm_2, sample_heun
from .uni_pc import sample_uni_pc

__all__ = [
    "OTHER_NAMES",
    "SAMPLERS",
    "Model",
    "SamplerOption",
    "SamplerSpec",
    "StepCallback",
    "default_noise_sampler",
    "get_sampler",
    "under_our_name",
]


def _number(name: str, default: float, high: float, tooltip: str, step: float = 0.01) -> SamplerOption:
    return SamplerOption(name, float, default, 0.0, high, tooltip, step=step)


def _choice(name: str, choices: tuple[str, ...], tooltip: str) -> SamplerOption:
    return SamplerOption(name, str, choices[0], tooltip=tooltip, choices=choices)


_S_NOISE = _number("s_noise", 1.0, 2.0, "Strength of the noise that is added. 1 is exact; less is smoother.")
_CHURN = (
    _number("s_churn", 0.0, 100.0, "Adds fresh noise before each step, spread over the run. 0 adds none."),
    _number("s_tmin", 0.0, 1.0, "Add that noise only above this sigma."),
    _number("s_tmax", 1.0, 1.0, "Add that noise only up to this sigma."),
    _S_NOISE,
)


def _eta(default: float, high: float = 1.0) -> SamplerOption:
    return _number("eta", default, high, "How much of the noise is replaced at each step. 0 adds none.")


_INTERPOLATE_IN = _choice(
    "interpolate_in",
    ("log_sigma", "log_snr"),
    "Variable in which earlier predictions are extrapolated: log_sigma as ComfyUI does, log_snr as the paper "
    "and diffusers do.",
)

_ALL = (
    SamplerSpec(
        "euler",
        sample_euler,
        _CHURN,
        1,
        False,
        "Straight steps along the flow. The plain choice, and good for few steps.",
    ),
    SamplerSpec(
        "euler_ancestral",
        sample_euler_ancestral,
        (_eta(1.0), _S_NOISE),
        1,
        True,
        "Euler with fresh noise at each step. More variety; the result changes with the number of steps.",
    ),
    SamplerSpec(
        "heun",
        sample_heun,
        _CHURN,
        2,
        False,
        "Corrects each Euler step with a second model call. Accurate, twice the time.",
    ),
    SamplerSpec(
        "dpm_2",
        sample_dpm_2,
        _CHURN,
        2,
        False,
        "Takes the slope at the middle of each step, with a second model call.",
        discard_penultimate=True,
    ),
    SamplerSpec(
        "dpmpp_2m",
        sample_dpmpp_2m,
        (_INTERPOLATE_IN,),
        2,
        False,
        "Extrapolates from the last two predictions. Second order at the price of Euler.",
    ),
    SamplerSpec(
        "dpmpp_2m_sde",
        sample_dpmpp_2m_sde,
        (
            _eta(1.0, 10.0),
            _S_NOISE,
            _choice("solver_type", ("midpoint", "heun"), "How the change over a step is weighted."),
        ),
        2,
        True,
        "DPM++ 2M with fresh noise at each step.",
    ),
    SamplerSpec(
        "dpmpp_3m_sde",
        sample_dpmpp_3m_sde,
        (_eta(1.0, 10.0), _S_NOISE),
        2,
        True,
        "Extrapolates from the last three predictions, with fresh noise at each step.",
    ),
    SamplerSpec(
        "uni_pc",
        sample_uni_pc,
        (
            SamplerOption("order", int, 3, 1, 3, "Highest order used. Lower is steadier at few steps.", step=1),
            _choice("variant", ("bh1", "bh2"), "Form of the paper's B(h). bh1 suits few steps."),
            _INTERPOLATE_IN,
        ),
        2,
        False,
        "Predictor and corrector in one model call a step. Very good at 8 to 20 steps.",
        discard_penultimate=True,
    ),
    SamplerSpec(
        "res_multistep",
        sample_res_multistep,
        (_eta(0.0), _S_NOISE),
        2,
        False,
        "Second-order multistep method with refined coefficients.",
    ),
    SamplerSpec(
        "er_sde",
        sample_er_sde,
        (_S_NOISE, SamplerOption("max_stage", int, 3, 1, 3, "Terms of the expansion. Lower is steadier.", step=1)),
        2,
        True,
        "Stochastic solver that replaces little of the noise at each step.",
    ),
    SamplerSpec(
        "lcm",
        sample_lcm,
        (
            _S_NOISE,
            _number("s_noise_end", 1.0, 2.0, "Strength of the noise at the last step; in between it blends."),
            _number("noise_clip_std", 0.0, 10.0, "Clip the noise at this many standard deviations; 0: off."),
        ),
        1,
        True,
        "For models distilled to a few steps: jumps to the end and adds noise again.",
    ),
)

SAMPLERS: dict[str, SamplerSpec] = {spec.name: spec for spec in _ALL}
# ComfyUI's names of what is an option here: ours, and the options.
OTHER_NAMES: dict[str, tuple[str, dict[str, Any]]] = {"uni_pc_bh2": ("uni_pc", {"variant": "bh2"})}


def under_our_name(name: str, options: Mapping[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    """Return a sampler's name and options as `SAMPLERS` has them, where ComfyUI has another name for it."""
    ours, more = OTHER_NAMES.get(name, (name, {}))
    return ours, {**more, **(options or {})}


def get_sampler(name: str) -> SamplerSpec:
    """Look up the sampler called `name`. Raises SoraError with the names there are."""
    spec = SAMPLERS.get(name)
    if spec is None:
        raise SoraError(f"There is no sampler {name!r}. Use one of: {', '.join(SAMPLERS)}.")
    return spec
