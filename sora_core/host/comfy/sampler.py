"""Our samplers as native SAMPLER objects, and one run with guidance in an interval."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import comfy.model_sampling
import comfy.sample
import comfy.samplers
import torch
from torch import Tensor

from ...diffusion.denoiser import check_sampled
from ...diffusion.samplers import SAMPLERS, get_sampler
from ...diffusion.schedules import percent_to_sigma
from ...errors import expect
from ...latents.leftover import take_noise
from ...latents.streams import is_nested, parts_of


class FlowModel:
    """The model that ComfyUI hands to a sampler, with what ours ask one for: its schedule."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __call__(self, x: Tensor, sigma: Tensor, **extra_args: Any) -> Tensor:
        """Estimate x0 for `x` `[B,...]` at `sigma` `[B]`."""
        return self.model(x, sigma, **extra_args)

    def percent_to_sigma(self, percent: float) -> float:
        """Return sigma at `percent` (0..1) of the way through an unshifted run of the model."""
        try:
            # Inpainting wrapper -> guider -> model, which carries its model_sampling.
            schedule = self.model.inner_model.inner_model.model_sampling
        except AttributeError:
            # A guider of another pack may hold its model elsewhere. This moves one sigma by one part in ten thousand.
            return percent_to_sigma(percent)
        return float(schedule.percent_to_sigma(percent))


def with_schedule(fn: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Wrap a sampler of ours for ComfyUI, whose models say nothing of their schedule."""

    @functools.wraps(fn)
    def run(model: Any, x: Tensor, sigmas: Tensor, *args: Any, **options: Any) -> Tensor:
        return fn(FlowModel(model), x, sigmas, *args, **options)

    return run


def make_sampler(name: str, options: Mapping[str, Any]) -> Any:
    """Make a SAMPLER: ours, or the host's own under a name that we do not have."""
    if name not in SAMPLERS:
        expect(
            name in comfy.samplers.KSampler.SAMPLERS,
            f"There is no sampler {name!r}. Use one of: {', '.join(comfy.samplers.KSampler.SAMPLERS)}.",
        )
        return comfy.samplers.sampler_object(name)
    spec = get_sampler(name)
    sampler = comfy.samplers.KSAMPLER(with_schedule(spec.fn), spec.check_options(options))
    sampler.sora_name = name
    return sampler


def fit_sampler(sampler: Any, model: Any) -> Any:
    """Return `sampler`, or for a model that is no rectified flow the host's of the same name: ours are for flows."""
    name = getattr(sampler, "sora_name", None)
    if name is None or isinstance(model.get_model_object("model_sampling"), comfy.model_sampling.CONST):
        return sampler
    theirs = comfy.samplers.sampler_object(name)
    known = inspect.signature(theirs.sampler_function).parameters
    # Of our options only those that the host's sampler has: others would be refused as unknown arguments.
    theirs.extra_options = {k: v for k, v in sampler.extra_options.items() if k in known}
    return theirs


def make_sigmas(model: Any, scheduler: str, steps: int, denoise: float, sampler: str | None) -> Tensor:
    """Make SIGMAS as BasicScheduler gives them, or with a sampler's name as KSampler runs them for it.

    Raises SoraError for an unknown scheduler.
    """
    expect(
        scheduler in comfy.samplers.KSampler.SCHEDULERS,
        f"There is no scheduler {scheduler!r}. Use one of: {', '.join(comfy.samplers.KSampler.SCHEDULERS)}.",
    )
    if denoise <= 0:
        return torch.empty(0)
    # A version of ComfyUI without the list discards nothing.
    discards = getattr(comfy.samplers.KSampler, "DISCARD_PENULTIMATE_SIGMA_SAMPLERS", ())
    discard = sampler in discards
    total = steps if denoise > 0.9999 else int(steps / denoise)
    table = model.get_model_object("model_sampling")
    sigmas = comfy.samplers.calculate_sigmas(table, scheduler, total + discard).cpu()
    if discard:
        sigmas = torch.cat([sigmas[:-2], sigmas[-1:]])
    # KSampler keeps all that its scheduler gives, which may be more than was asked for; BasicScheduler cuts it.
    whole = sampler is not None and denoise > 0.9999
    return sigmas if whole else sigmas[-(steps + 1) :]


class IntervalGuider(comfy.samplers.CFGGuider):
    """Guidance within an interval of sigmas only, and a stop at the first value that is not a number."""

    cfg: float  # ComfyUI's own

    def limit(self, low: float, high: float, sigmas: Tensor) -> None:
        """Guide between two sigmas only. sigmas: of the run, `[n+1]`."""
        self.low, self.high, self.levels = low, high, sigmas.tolist()

    def predict_noise(
        self, x: Tensor, timestep: Tensor, model_options: dict[str, Any] | None = None, seed: int | None = None
    ) -> Tensor:
        """Predict x0, guided where the interval says so. Raises SoraError at the first NaN."""
        level = float(timestep.flatten()[0])
        cfg, options = self.cfg, model_options or {}
        if not self.low <= level <= self.high:
            # At cfg 1 ComfyUI leaves out the negative pass, unless a patch of the model wants it for guidance;
            # outside the interval there is none.
            self.cfg, options = 1.0, {**options, "disable_cfg1_optimization": False}
        try:
            denoised = super().predict_noise(x, timestep, options, seed)
        finally:
            self.cfg = cfg
        check_sampled(denoised, level, self.levels, "in ComfyUI")
        return denoised


def draw(latent: Mapping[str, Any], seed: int, noise: Any = None) -> tuple[int, Any]:
    """Draw noise for a LATENT as KSampler does, or by a NOISE; returns the seed of further noise with it."""
    if noise is not None:
        return noise.seed, take_noise(latent, noise.generate_noise(latent))
    return seed, comfy.sample.prepare_noise(latent["samples"], seed, latent.get("batch_index"))


def run(
    model: Any,
    samples: Any,
    mask: Any,
    positive: list,
    negative: list | None,
    *,
    sampler: Any,
    sigmas: Tensor,
    noise: Any,
    seed: int,
    cfg: float,
    interval: tuple[float, float],
    callback: Callable[[int, Tensor], None],
) -> Any:
    """Sample `samples` `[B,C,T,H,W]` by ComfyUI's own guider. Kept latents of a picture come back as they were.

    Samples, and what comes out, may be nested: picture and sound. mask: `[B,1,T,H,W]` float, 1 = generate; nested where
    the samples are. noise: like samples. seed: of the noise that a sampler adds. callback: called after each step as
    `callback(steps done, x0)`.

    Raises SoraError for guidance without a negative prompt, noise of another shape, and NaN.
    """
    expect(
        negative is not None or cfg == 1.0,
        f"cfg is {cfg} and there is no negative prompt. Connect one (it may be empty), or use cfg 1.",
    )
    drawn, given = ([tuple(stream.shape) for stream in parts_of(x)] for x in (noise, samples))
    expect(
        drawn == given,
        f"The noise is {' and '.join(map(str, drawn))}, the latent {' and '.join(map(str, given))}. Match them.",
    )
    table = model.get_model_object("model_sampling")
    guider = IntervalGuider(model)
    # With cfg 1 the negative is not used, but a guider must have one.
    guider.set_conds(positive, negative if negative is not None else positive)
    guider.set_cfg(cfg)
    low, high = (float(table.percent_to_sigma(p)) for p in (interval[1], interval[0]))
    guider.limit(low, high, sigmas)
    made = guider.sample(
        noise,
        samples,
        fit_sampler(sampler, model),
        sigmas,
        denoise_mask=mask,
        disable_pbar=True,
        seed=seed,
        callback=lambda step, x0, x, total: callback(step + 1, parts_of(x0)[0]),
    ).to(samples.device)
    if mask is None:
        return made
    # A sampler leaves rounding errors on what it blends in: kept latents must come back bit by bit.
    shown, *sounds = parts_of(made)
    shown = torch.where(parts_of(mask)[0].to(shown.device) > 0.5, shown, parts_of(samples)[0])
    return type(samples)([shown, *sounds]) if is_nested(samples) else shown
