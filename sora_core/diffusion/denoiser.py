"""The denoiser that samplers call, and how it is put together; `velocity` draws the whole stack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..errors import SoraError, expect
from .experts import ExpertsVelocity, Turns
from .guidance import Guidance
from .layouts import plan_layout
from .prompts import Conditioning, read_conditioning
from .schedules import percent_to_sigma
from .velocity import Kept, ModelVelocity, Network, Velocity, Wrapper


class Denoiser:
    """`denoiser(x, sigma) -> x0`, the model of k-diffusion's contract: x0 = x - sigma * v, with what is kept clean."""

    def __init__(
        self, velocity: Callable[[Tensor, Tensor], Tensor], kept: Kept | None = None, shift: float = 1.0
    ) -> None:
        """Denoise with `velocity(x, sigma [B]) -> v`; shift: the model's, which "percent" settings refer to."""
        self.velocity, self.kept, self.shift = velocity, kept, shift

    def percent_to_sigma(self, percent: float) -> float:
        """Return sigma at `percent` (0..1) of the way through an unshifted run of this model."""
        return percent_to_sigma(percent, self.shift)

    def __call__(self, x: Tensor, sigma: Tensor, **_: Any) -> Tensor:
        """Estimate x0 `[B,C,T,H,W]` for `x` at `sigma` `[B]`."""
        denoised = x - sigma.view(-1, *[1] * (x.ndim - 1)) * self.velocity(x, sigma)
        return denoised if self.kept is None else self.kept.restore(denoised)


class Watched:
    """A denoiser that stops the run at the first value that is not a number."""

    def __init__(self, denoiser: Denoiser, sigmas: Tensor, sampler: str) -> None:
        """Watch a run over `sigmas` `[n + 1]`; sampler: its name, for the message."""
        self.denoiser, self.sampler = denoiser, sampler
        self.sigmas: list[float] = sigmas.tolist()

    def percent_to_sigma(self, percent: float) -> float:
        """Return what the denoiser returns."""
        return self.denoiser.percent_to_sigma(percent)

    def __call__(self, x: Tensor, sigma: Tensor, **extra_args: Any) -> Tensor:
        """Estimate x0 as the denoiser does. Raises SoraError that names the step for NaN."""
        denoised = self.denoiser(x, sigma, **extra_args)
        self.check(denoised, float(sigma.flatten()[0]))
        return denoised

    def check(self, values: Tensor, sigma: float) -> None:
        """Raise SoraError unless all values are finite; sigma: where in the run they came up.

        To be asked of the sampler's result as well: what it makes of finite estimates need not be finite.
        """
        check_sampled(values, sigma, self.sigmas, f"sampler {self.sampler}")


def check_sampled(values: Tensor, sigma: float, sigmas: Sequence[float], where: str) -> None:
    """Raise SoraError that names the step of a run over `sigmas` unless all values at `sigma` are finite.

    where: what sampled, for the message.
    """
    if bool(torch.isfinite(values).all()):
        return
    steps = len(sigmas) - 1
    # A sampler may ask in the middle of a step: that is the step which began last.
    step = min(max(sum(s >= sigma - 1e-6 for s in sigmas), 1), steps)
    raise SoraError(
        f"Sampling gave NaN or infinite values at step {step} of {steps} (sigma {sigma:.4f}, {where}). "
        "Lower cfg, or load the model in fp32."
    )


def make_denoiser(
    dit: Network,
    positive: Conditioning,
    negative: Conditioning | None = None,
    cfg: float = 1.0,
    guidance_interval: tuple[float, float] = (0.0, 1.0),
    mask: Tensor | None = None,
    clean: Tensor | None = None,
    *,
    cfg_rescale: float = 0.0,
    shift: float = 1.0,
    wrappers: Sequence[Wrapper] = (),
    low_noise: tuple[Network, Turns] | None = None,
    begin: tuple[Tensor, float] | None = None,
) -> Denoiser:
    """Put a denoiser together, see `velocity` for the stack.

    dit: the velocity network. positive, negative: CONDITIONING, or a context `[b,L,D]`; without `negative` there is no
    guidance. cfg, guidance_interval, cfg_rescale: see `Guidance`. mask, clean: bool `[B,1,T,H,W]` (True = generate) and
    the latent `[B,C,T,H,W]` to keep elsewhere. shift: the model's. wrappers: of the model call, the outermost first.
    low_noise: the network that takes turns with `dit`, and whose turn it is. begin: the run's first noise
    `[B,C,T,H,W]` and its level, which a layout is planned by (see `layouts`); None for a run that adds none.
    Raises SoraError for values out of range.
    """
    expect((mask is None) == (clean is None), "A mask needs the clean latent that it keeps, and the reverse.")

    def to_sigma(percent: float) -> float:
        return percent_to_sigma(percent, shift)

    prompts = read_conditioning(positive, to_sigma, "positive")
    against = [] if negative is None else read_conditioning(negative, to_sigma, "negative")
    kept = None if mask is None or clean is None else Kept.of(mask, clean, dit.config.patch_size)
    layout = None if begin is None or kept is not None else plan_layout(dit, prompts, *begin)
    if layout is not None:
        prompts, against = ([replace(p, layout=layout) for p in each] for each in (prompts, against))
    high = ModelVelocity(dit, kept)
    velocity: Velocity = high
    if low_noise is not None:
        low, turns = low_noise
        velocity = ExpertsVelocity(high, ModelVelocity(low, kept), turns)
    # From the inside out: the last of them is next to the model.
    for wrap in reversed(wrappers):
        velocity = wrap(velocity)
    generate = None if kept is None else kept.generate
    guidance = Guidance(velocity, prompts, against, cfg, guidance_interval, cfg_rescale, generate)
    return Denoiser(guidance, kept, shift)
