"""The entry: a latent, prompts, a sampler and its sigmas in; a sampled latent out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import SoraError, expect
from ..latents.space import SORA, LatentSpace, check_channels, check_finite, check_rank
from . import MAX_SEED
from .caches import caching
from .denoiser import Watched, make_denoiser
from .experts import Turns, device_of, place
from .prompts import Conditioning, read_conditioning
from .samplers import SamplerSpec, StepCallback, get_sampler
from .schedules import percent_to_sigma
from .velocity import Network, Wrapper


class DiffusionModel:
    """What a MODEL socket holds outside ComfyUI: a velocity network, and how to sample it."""

    def __init__(
        self, dit: Network, *, shift: float = 1.0, name: str = "model", space: LatentSpace | None = None
    ) -> None:
        """Take a velocity network, with `config.in_dim`, `config.patch_size` and `config.text_dim`.

        shift: of the schedule (see `schedules.shift_sigma`). name: for messages. space: of its latents; by default from
        the config, with a VAE of 4 x 8 x 8.
        """
        config = dit.config
        self.dit, self.shift, self.name = dit, float(shift), name
        self.text_dim: int = config.text_dim  # channels of a context that it reads
        self.space = space or LatentSpace(name, config.in_dim, patch_size=tuple(config.patch_size), vae=SORA)
        # For previews: "factors", rows of (r, g, b) for each channel of a latent, and perhaps "bias".
        self.latent_rgb: dict[str, Any] | None = None
        # The network that takes over from `dit` below a sigma, see `experts`.
        self.low_noise: Network | None = None
        self.boundary = 0.0
        # Around each model call, below those that a run is given, see `with_caching`.
        self.wrappers: tuple[Wrapper, ...] = ()

    def clone(self) -> DiffusionModel:
        """Copy the model but for its weights: changing the copy's settings leaves this one alone."""
        return copy.copy(self)

    def with_shift(self, shift: float) -> DiffusionModel:
        """Clone the model with another schedule shift, > 0."""
        expect(shift > 0, f"shift is {shift}. Use a number above 0 (1 is no shift).")
        other = self.clone()
        other.shift = float(shift)
        return other

    def with_caching(self, cache: float, gate: float = 0.0) -> DiffusionModel:
        """Clone the model with a step cache and a gate of guidance, see `caches`, in place of those that it has.

        Raises SoraError unless both are from 0 (off) to 1.
        """
        other = self.clone()
        other.wrappers = caching(cache, gate)
        return other

    def percent_to_sigma(self, percent: float) -> float:
        """Return sigma at `percent` (0..1) of the way through an unshifted run."""
        return percent_to_sigma(percent, self.shift)

    @property
    def device(self) -> torch.device:
        """Where the weights are, and sampling happens."""
        return device_of(self.dit)

    def with_low_noise(self, low: DiffusionModel, boundary: float) -> DiffusionModel:
        """Clone the model with another for sigmas below `boundary`, of the same latents and prompts."""
        other = self.clone()
        other.low_noise, other.boundary = low.dit, boundary
        return other

    def turns(self, sigmas: Tensor, sampler: str) -> tuple[Network, Turns] | None:
        """Return the low-noise network and whose turn it is over `sigmas` `[n+1]`; None for a model that is one."""
        if self.low_noise is None:
            # It may have been one of two experts before, and wait where it was put then.
            place(self.dit)
            return None
        return self.low_noise, Turns(sigmas.tolist(), self.boundary, sampler)


def check_seed(seed: int) -> None:
    """Raise SoraError for a seed out of range."""
    expect(0 <= int(seed) <= MAX_SEED, f"The seed is {seed}. Use a whole number from 0 to 2^64 - 1.")


def prepare_noise(latent: Tensor, seed: int, batch_inds: Sequence[int] | None = None) -> Tensor:
    """Draw unit noise like `latent` `[B,...]` from `seed`, on the CPU in float32: the numbers that ComfyUI draws.

    batch_inds: for a part of a larger batch, each latent's index in it (LATENT["batch_index"]). Raises SoraError for a
    seed out of range.
    """
    check_seed(seed)
    generator = torch.Generator().manual_seed(int(seed))

    def draw(shape: Sequence[int]) -> Tensor:
        return torch.randn(shape, dtype=torch.float32, generator=generator).to(latent.dtype)

    if batch_inds is None:
        return draw(latent.shape)
    # As the whole batch would have been drawn, one latent after the other, up to the last that is wanted.
    drawn = [draw((1, *latent.shape[1:])) for _ in range(max(batch_inds) + 1)]
    return torch.cat([drawn[i] for i in batch_inds])


def check_latent(model: DiffusionModel, samples: Tensor) -> None:
    """Raise SoraError unless `samples` is a latent `[B,C,T,H,W]` that `model` can sample."""
    space = model.space
    check_rank(samples, space.channels, model.name, "use a video latent (Sora Empty Latent).")
    check_channels(samples, space.channels, model.name, "use the VAE and the empty latent that go with this model.")
    for axis, size, patch in zip(("frames", "height", "width"), samples.shape[2:], space.patch_size, strict=True):
        if size == 0 or size % patch:
            ratio = 1 if axis == "frames" else space.spatial_ratio
            raise SoraError(
                f"The latent's {axis} is {size} ({size * ratio} in the video), {model.name} needs a "
                f"multiple of {patch} ({patch * ratio}). Choose another size."
            )
    check_finite(samples, "encode or sample it again.")


def check_prompt(model: DiffusionModel, conditioning: Conditioning, what: str) -> None:
    """Raise SoraError unless every prompt of `conditioning` is as wide as the model's text input."""
    for prompt in read_conditioning(conditioning, model.percent_to_sigma, what):
        width = prompt.context.shape[-1]
        expect(
            width == model.text_dim,
            f"The {what} prompt is encoded {width} wide, {model.name} reads {model.text_dim}. "
            "Use the text encoder that was loaded with this model.",
        )


def check_sigmas(sigmas: Tensor) -> Tensor:
    """Take `sigmas` to float32 on the CPU, without repeats. Raises SoraError unless they fall within 1 to 0."""
    sigmas = torch.as_tensor(sigmas).detach().float().cpu()
    expect(sigmas.ndim == 1, f"sigmas has shape {tuple(sigmas.shape)}. Use a list of falling numbers.")
    # A very long schedule repeats values. A step of no length changes nothing, and divides by zero.
    sigmas = torch.unique_consecutive(sigmas)
    good = torch.isfinite(sigmas).all() and (sigmas[1:] < sigmas[:-1]).all()
    if len(sigmas) and not (good and sigmas[-1] >= 0 and sigmas[0] <= 1):
        shown = ", ".join(f"{s:.3f}" for s in sigmas[:4].tolist())
        raise SoraError(f"sigmas are {shown}, ... Rectified flow needs them to fall within 1 to 0. Use Sora Scheduler.")
    return sigmas


def _resolve(
    sampler: str | SamplerSpec | Callable[..., Tensor], options: Mapping[str, Any] | None
) -> tuple[str, Callable[..., Tensor], dict[str, Any]]:
    """Find a sampler's name, function and options."""
    if isinstance(sampler, str):
        sampler = get_sampler(sampler)
    if isinstance(sampler, SamplerSpec):
        return sampler.name, sampler.fn, sampler.check_options(options)
    return getattr(sampler, "__name__", "custom"), sampler, dict(options or {})


def _start(clean: Tensor, sigma: float, noise: Tensor | None) -> Tensor:
    """Noise a latent to the first sigma: (1 - sigma) * clean + sigma * noise. Raises SoraError for noise unlike it."""
    x = (1 - sigma) * clean
    if noise is None:
        return x
    expect(
        noise.shape == clean.shape, f"The noise is {tuple(noise.shape)}, the latent {tuple(clean.shape)}. Match them."
    )
    return x + sigma * noise.to(clean.device, torch.float32)


@torch.no_grad()
def sample(
    model: DiffusionModel,
    latent_dict: Mapping[str, Any],
    positive: Conditioning,
    negative: Conditioning | None = None,
    *,
    seed: int,
    sampler: str | SamplerSpec | Callable[..., Tensor],
    sigmas: Tensor,
    cfg: float = 1.0,
    options: Mapping[str, Any] | None = None,
    guidance_interval: tuple[float, float] = (0.0, 1.0),
    cfg_rescale: float = 0.0,
    add_noise: bool = True,
    noise: Tensor | None = None,
    callback: StepCallback | None = None,
    wrappers: Sequence[Wrapper] = (),
) -> dict[str, Any]:
    """Sample a LATENT: `latent_dict` with new "samples" `[B,C,T,H,W]`, float32, on the device of the old ones.

    latent_dict: "samples" (what is kept, or started from), optional "noise_mask" (1 = generate, 0 = keep, see
        `masks.to_latent_grid`), optional "batch_index". Kept latents come back bit-identical.
    sampler: a name, a `SamplerSpec`, or a sampler function; `options` are its own.
    sigmas: falling, `[n+1]`. The run starts from (1 - s) * samples + s * noise at the first sigma s, so a first sigma
        below 1 keeps something of the latent; one that ends above 0 can be continued with add_noise=False.
    cfg, guidance_interval, cfg_rescale: see `guidance.Guidance`. noise: in place of `prepare_noise(samples, seed)`.
    callback: called once a step with the sampler's dict; an exception that it raises stops the run.
    wrappers: of the model call, such as caches, the outermost first; `velocity` says where they stand and why.

    Raises SoraError for input that does not fit the model, and for NaN, naming the step.
    """
    name, fn, settings = _resolve(sampler, options)
    original, device = latent_dict["samples"], model.device
    check_latent(model, original)
    _check_prompts(model, positive, negative, cfg)
    sigmas = check_sigmas(sigmas)
    clean, mask = original.to(device, torch.float32), _mask_of(model, latent_dict)
    if len(sigmas) < 2 or (mask is not None and not bool(mask.any())):
        return {**latent_dict, "samples": original}
    if noise is None or not add_noise:
        noise = prepare_noise(clean, seed, latent_dict.get("batch_index")) if add_noise else None
    x = _start(clean, float(sigmas[0]), noise)
    denoiser = make_denoiser(
        model.dit,
        positive,
        negative,
        cfg,
        guidance_interval,
        mask,
        None if mask is None else clean,
        cfg_rescale=cfg_rescale,
        shift=model.shift,
        wrappers=(*wrappers, *model.wrappers),
        low_noise=model.turns(sigmas, name),
        begin=None if noise is None else (noise, float(sigmas[0])),
    )
    watched = Watched(denoiser, sigmas, name)
    x = fn(watched, x, sigmas.to(device), extra_args={"seed": seed}, callback=callback, disable=True, **settings)
    watched.check(x, float(sigmas[-1]))
    return {**latent_dict, "samples": _finish(x, float(sigmas[-1]), mask, clean).to(original.device)}


def _mask_of(model: DiffusionModel, latent: Mapping[str, Any]) -> Tensor | None:
    """Return a LATENT's noise mask, bool `[B,1,T,H,W]` on the model's device, None where it has none."""
    mask = latent.get("noise_mask")
    if mask is None:
        return None
    return model.space.mask_of(mask, latent["samples"].shape).to(model.device)


def _check_prompts(model: DiffusionModel, positive: Conditioning, negative: Conditioning | None, cfg: float) -> None:
    """Raise SoraError unless both prompts fit the model, and there is a negative one where guidance needs it."""
    check_prompt(model, positive, "positive")
    if negative is not None:
        check_prompt(model, negative, "negative")
    else:
        advice = "Connect one (it may be empty), or use cfg 1."
        expect(cfg == 1.0, f"cfg is {cfg} and there is no negative prompt. {advice}")


def _finish(x: Tensor, sigma: float, mask: Tensor | None, clean: Tensor) -> Tensor:
    """Turn a sampler's result at its last sigma into a latent."""
    if sigma > 0:
        # A latent that still holds noise travels scaled, so that the next run's (1 - s) takes it back.
        x = x / (1 - sigma)
    return x if mask is None else torch.where(mask, x, clean)
