"""The entry: a latent, prompts, a sampler and its sigmas in; a sampled latent out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch

from ..errors import SoraError, expect
from ..latents.masks import to_latent_grid
from ..latents.space import SORA, LatentSpace
from .guidance import Denoiser
from .prompts import read_conditioning
from .samplers import SamplerSpec, get_sampler
from .schedules import percent_to_sigma


class DiffusionModel:
    """What a MODEL socket holds outside ComfyUI.

    dit: the velocity model, with `config.in_dim`, `config.patch_size` and `config.text_dim`.
    shift: of the schedule (see `schedules.shift_sigma`).
    space: of its latents; by default from the config, with a VAE of 4 x 8 x 8.
    """

    def __init__(self, dit, *, shift: float = 1.0, name: str = "model", space: LatentSpace | None = None):
        config = dit.config
        self.dit, self.shift, self.name = dit, float(shift), name
        self.text_dim: int = config.text_dim
        self.space = space or LatentSpace(name, config.in_dim, patch_size=tuple(config.patch_size), vae=SORA)

    def clone(self) -> DiffusionModel:
        """A copy that shares the weights: changing its settings leaves this one alone."""
        return copy.copy(self)

    def with_shift(self, shift: float) -> DiffusionModel:
        """A clone with another schedule shift, > 0."""
        expect(shift > 0, f"shift is {shift}. Use a number above 0 (1 is no shift).")
        other = self.clone()
        other.shift = float(shift)
        return other

    def percent_to_sigma(self, percent: float) -> float:
        return percent_to_sigma(percent, self.shift)

    @property
    def device(self) -> torch.device:
        parameters = getattr(self.dit, "parameters", None)
        first = next(parameters(), None) if parameters else None
        return torch.device("cpu") if first is None else first.device


def prepare_noise(latent: torch.Tensor, seed: int, batch_inds=None) -> torch.Tensor:
    """Unit noise like `latent`, drawn on the CPU in float32 from `seed`: the numbers that ComfyUI draws.

    batch_inds: for a part of a larger batch, each latent's index in it (LATENT["batch_index"]).
    """
    expect(0 <= int(seed) < 2**64, f"The seed is {seed}. Use a whole number from 0 to 2^64 - 1.")
    generator = torch.Generator().manual_seed(int(seed))

    def draw(shape) -> torch.Tensor:
        return torch.randn(shape, dtype=torch.float32, generator=generator).to(latent.dtype)

    if batch_inds is None:
        return draw(latent.shape)
    drawn = [draw((1, *latent.shape[1:])) for _ in range(max(batch_inds) + 1)]
    return torch.cat([drawn[i] for i in batch_inds])


def check_latent(model: DiffusionModel, samples: torch.Tensor) -> None:
    """Raise SoraError unless `samples` is a latent that `model` can sample."""
    space = model.space
    expect(
        isinstance(samples, torch.Tensor) and samples.ndim == 5,
        f"The latent has shape {tuple(getattr(samples, 'shape', ()))}, {model.name} needs [B,C,T,H,W]. "
        "Use a video latent (Sora Empty Latent).",
    )
    expect(
        samples.shape[1] == space.channels,
        f"The latent has {samples.shape[1]} channels, {model.name} works on {space.channels}. "
        "Use the VAE and the empty latent that go with this model.",
    )
    for axis, size, patch in zip(("frames", "height", "width"), samples.shape[2:], space.patch_size, strict=True):
        if size == 0 or size % patch:
            ratio = 1 if axis == "frames" else space.spatial_ratio
            raise SoraError(
                f"The latent's {axis} is {size} ({size * ratio} in the video), {model.name} needs a "
                f"multiple of {patch} ({patch * ratio}). Choose another size."
            )
    expect(bool(torch.isfinite(samples).all()), "The latent has NaN or infinite values. Encode or sample it again.")


def check_prompt(model: DiffusionModel, conditioning, what: str) -> None:
    """Raise SoraError unless every prompt of `conditioning` is as wide as the model's text input."""
    for prompt in read_conditioning(conditioning, model.percent_to_sigma, what):
        width = prompt.context.shape[-1]
        expect(
            width == model.text_dim,
            f"The {what} prompt is encoded {width} wide, {model.name} reads {model.text_dim}. "
            "Use the text encoder that was loaded with this model.",
        )


def check_sigmas(sigmas: torch.Tensor) -> torch.Tensor:
    """`sigmas` as float32 on the CPU without repeats. Raises SoraError unless they go down within 1..0."""
    sigmas = torch.as_tensor(sigmas).detach().float().cpu()
    expect(sigmas.ndim == 1, f"sigmas has shape {tuple(sigmas.shape)}. Use a list of falling numbers.")
    # A very long schedule repeats values. A step of no length changes nothing, and divides by zero.
    sigmas = torch.unique_consecutive(sigmas)
    good = torch.isfinite(sigmas).all() and (sigmas[1:] < sigmas[:-1]).all()
    if len(sigmas) and not (good and sigmas[-1] >= 0 and sigmas[0] <= 1):
        shown = ", ".join(f"{s:.3f}" for s in sigmas[:4].tolist())
        raise SoraError(f"sigmas are {shown}, ... Rectified flow needs them to fall within 1 to 0. Use Sora Scheduler.")
    return sigmas


class _Watched:
    """A denoiser that stops the run at the first value that is not a number."""

    def __init__(self, denoiser: Denoiser, sigmas: torch.Tensor, sampler: str):
        self.denoiser, self.sampler = denoiser, sampler
        self.sigmas, self.steps = sigmas.tolist(), len(sigmas) - 1

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor, **kwargs) -> torch.Tensor:
        denoised = self.denoiser(x, sigma, **kwargs)
        self.check(denoised, float(sigma.flatten()[0]))
        return denoised

    def percent_to_sigma(self, percent: float) -> float:
        return self.denoiser.percent_to_sigma(percent)

    def check(self, values: torch.Tensor, sigma: float) -> None:
        if bool(torch.isfinite(values).all()):
            return
        step = min(max(sum(s >= sigma - 1e-6 for s in self.sigmas), 1), self.steps)
        raise SoraError(
            f"Sampling gave NaN or infinite values at step {step} of {self.steps} (sigma {sigma:.4f}, "
            f"sampler {self.sampler}). Lower cfg, or load the model in float32."
        )


def _resolve(sampler, options: Mapping | None) -> tuple[str, Callable, dict]:
    if isinstance(sampler, str):
        sampler = get_sampler(sampler)
    if isinstance(sampler, SamplerSpec):
        return sampler.name, sampler.fn, sampler.check_options(options)
    return getattr(sampler, "__name__", "custom"), sampler, dict(options or {})


@torch.no_grad()
def sample(
    model: DiffusionModel,
    latent_dict: Mapping,
    positive,
    negative=None,
    *,
    seed: int,
    sampler,
    sigmas: torch.Tensor,
    cfg: float = 1.0,
    options: Mapping | None = None,
    guidance_interval: tuple[float, float] = (0.0, 1.0),
    cfg_rescale: float = 0.0,
    add_noise: bool = True,
    noise: torch.Tensor | None = None,
    callback: Callable[[dict], None] | None = None,
) -> dict:
    """Sample a LATENT: `latent_dict` with new "samples" `[B,C,T,H,W]`, float32, on the device of the old
    ones.

    latent_dict: "samples" (what is kept, or started from), optional "noise_mask" (1 = generate, 0 = keep, see
        `masks.to_latent_grid`), optional "batch_index". Kept latents come back bit-identical.
    sampler: a name, a `SamplerSpec`, or a sampler function; `options` are its own.
    sigmas: falling, `[n + 1]`. The run starts from (1 - s) * samples + s * noise at the first sigma s, so a
        first sigma below 1 keeps something of the latent; one that ends above 0 can be continued with
        add_noise=False.
    noise: in place of `prepare_noise(samples, seed)`.
    callback: called once a step with the sampler's dict; an exception that it raises stops the run.

    Raises SoraError for input that does not fit the model, and for NaN, naming the step.
    """
    name, fn, settings = _resolve(sampler, options)
    original = latent_dict["samples"]
    check_latent(model, original)
    check_prompt(model, positive, "positive")
    if negative is None:
        expect(
            cfg == 1.0, f"cfg is {cfg} and there is no negative prompt. Connect one (it may be empty), or use cfg 1."
        )
    else:
        check_prompt(model, negative, "negative")
    sigmas = check_sigmas(sigmas)

    device = model.device
    clean = original.to(device, torch.float32)
    mask = latent_dict.get("noise_mask")
    if mask is not None:
        mask = to_latent_grid(mask, clean.shape, model.space.temporal_ratio).to(device)
    if len(sigmas) < 2 or (mask is not None and not bool(mask.any())):
        return {**latent_dict, "samples": original}

    first, last = float(sigmas[0]), float(sigmas[-1])
    if noise is None and add_noise:
        noise = prepare_noise(original.float(), seed, latent_dict.get("batch_index"))
    x = (1 - first) * clean
    if noise is not None and add_noise:
        expect(
            noise.shape == clean.shape,
            f"The noise is {tuple(noise.shape)}, the latent {tuple(clean.shape)}. Match them.",
        )
        x = x + first * noise.to(device, torch.float32)

    denoiser = Denoiser(
        model.dit,
        positive,
        negative,
        cfg,
        guidance_interval,
        mask,
        None if mask is None else clean,
        cfg_rescale=cfg_rescale,
        shift=model.shift,
    )
    watched = _Watched(denoiser, sigmas, name)
    x = fn(watched, x, sigmas.to(device), extra_args={"seed": seed}, callback=callback, disable=True, **settings)
    watched.check(x, last)
    if last > 0:
        # A latent that still holds noise travels scaled, so that the next run's (1 - s) takes it back.
        x = x / (1 - last)
    if mask is not None:
        x = torch.where(mask, x, clean)
    return {**latent_dict, "samples": x.to(original.device)}
