"""The denoiser that samplers call: a velocity model, its prompts, guidance, and the latents to keep.

The model predicts v = eps - x0 at time 1000 * sigma, so x0 = x - sigma * v.

Every task is a mask: latents that are kept enter at time 0 with their clean value, and come out of every call
as that value, so a sampler's own state there follows the path from noise to exactly that latent.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from ..errors import SoraError, expect
from ..latents.masks import spread_tokens, token_mask
from .prompts import Prompt, read_conditioning, shared_shots, stack_contexts, stack_shots
from .schedules import percent_to_sigma
from .shots import read_shots


def _parameter_dtype(dit) -> torch.dtype | None:
    """Floating dtype of the model's weights, or None for a plain function."""
    if isinstance(dit, torch.nn.Module):
        return next((p.dtype for p in dit.parameters() if p.is_floating_point()), None)
    return None


def rescale_guidance(guided: torch.Tensor, cond: torch.Tensor, amount: float, generate=None) -> torch.Tensor:
    """Pull the spread of a guided prediction back to the prompt's own, by `amount` 0..1.

    Lin et al. 2023 (arXiv:2305.08891), eq. 15-16, on the model's output; the spread is each sample's standard
    deviation over the latents that are generated.
    """

    def spread(v: torch.Tensor) -> torch.Tensor:
        if generate is None:
            return v.flatten(1).std(dim=1)
        return torch.stack([s[g.expand_as(s)].std() for s, g in zip(v, generate, strict=True)])

    factor = amount * spread(cond) / spread(guided).clamp_min(1e-12) + (1 - amount)
    return guided * factor.view(-1, *[1] * (guided.ndim - 1))


class Denoiser:
    """`denoiser(x, sigma) -> x0`, the model of k-diffusion's contract.

    dit: callable `(x [B,C,T,H,W], t [B] or [B,N], context [B,L,D]) -> velocity [B,C,T,H,W]`; its
        `config.patch_size` gives the tokens, in (t, y, x) order. Where it has `text_keys(context)`, that is
        called once for each set of prompts, and its result passed as `text` in place of the context.
    positive, negative: CONDITIONING, or a context `[b, L, D]`. Without `negative` there is no guidance.
    cfg: guidance scale; 1 evaluates the positive prompt only.
    guidance_interval: (low, high) sigmas between which guidance is used; outside, the positive prompt alone
        (Kynkaanniemi et al. 2024, arXiv:2404.07724).
    cfg_rescale: 0..1, see `rescale_guidance`.
    mask, clean: bool `[B, 1, T, H, W]` (True = generate) and the clean latent to keep elsewhere.
    shift: the model's, which "percent" settings refer to.
    """

    def __init__(
        self,
        dit,
        positive,
        negative=None,
        cfg: float = 1.0,
        guidance_interval: tuple[float, float] = (0.0, 1.0),
        mask: torch.Tensor | None = None,
        clean: torch.Tensor | None = None,
        *,
        cfg_rescale: float = 0.0,
        shift: float = 1.0,
    ):
        expect(math.isfinite(cfg), f"cfg is {cfg}. Use a number such as 5 (1 turns guidance off).")
        low, high = guidance_interval
        expect(0 <= low <= high <= 1, f"The guidance interval is {low} to {high}. Use 0 <= start <= end <= 1.")
        expect(0 <= cfg_rescale <= 1, f"cfg_rescale is {cfg_rescale}. Use a number from 0 to 1.")
        expect((mask is None) == (clean is None), "A mask needs the clean latent that it keeps, and the reverse.")
        self.dit, self.cfg, self.interval = dit, cfg, (low, high)
        self.cfg_rescale, self.shift = cfg_rescale, shift
        self.positive = read_conditioning(positive, self.percent_to_sigma, "positive")
        self.negative = read_conditioning(negative, self.percent_to_sigma, "negative") if negative is not None else []
        self.dtype = _parameter_dtype(dit)
        self._texts: dict[tuple, tuple] = {}
        self.clean = clean
        self.generate = self.tokens = self.generated_tokens = None
        if mask is not None and not bool(mask.bool().all()):
            patch = tuple(getattr(getattr(dit, "config", None), "patch_size", (1, 2, 2)))
            self.generate = mask.bool()
            self.tokens = token_mask(self.generate, patch)
            # A token with some latents to keep and some to generate is at the schedule's noise level as a
            # whole, as in training: its kept part is noised like the rest, on the way in, and clean on the
            # way out.
            self.generated_tokens = spread_tokens(self.tokens, mask.shape, patch)

    def percent_to_sigma(self, percent: float) -> float:
        """Sigma at `percent` (0..1) of the way through an unshifted run of this model."""
        return percent_to_sigma(percent, self.shift)

    def velocity(self, x: torch.Tensor, t: torch.Tensor, prompts: list[Prompt]) -> list[torch.Tensor]:
        """One model call: the velocity for each of `prompts`, all in one batch."""
        count = len(prompts)
        key = (x.shape, x.device, *map(id, prompts))
        if key not in self._texts:
            # What a model derives from its text is the same at every step: once per run is enough.
            self._texts[key] = self._read(prompts, x)
        context, derived = self._texts[key]
        xs = x.repeat(count, *[1] * (x.ndim - 1)).to(self.dtype or x.dtype)
        v = self.dit(xs, t.repeat(count, *[1] * (t.ndim - 1)), context, **derived)
        return list(v.to(x.dtype).chunk(count))

    def _read(self, prompts: list[Prompt], x: torch.Tensor) -> tuple[torch.Tensor | None, dict]:
        """The context for the model, or None and what the model makes of it."""
        batch = x.shape[0]
        prompts = [replace(p, context=p.context.to(x.device, self.dtype or x.dtype)) for p in prompts]
        text_keys = getattr(self.dit, "text_keys", None)
        shots = shared_shots(prompts, x.shape[2])
        if shots is None:
            context = stack_contexts([p.context for p in prompts], batch)
            return (context, {}) if text_keys is None else (None, {"text": text_keys(context)})
        return None, read_shots(self.dit, stack_shots(prompts, len(shots), batch), shots, x.shape)

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor, **_) -> torch.Tensor:
        """x0 `[B,C,T,H,W]` for `x` at `sigma` `[B]`."""
        # One sigma for the batch decides which prompts are on: samplers keep a batch in step.
        level = float(sigma.flatten()[0])
        positive = self._active(self.positive, level, "positive")
        guided = self.cfg != 1.0 and bool(self.negative) and self.interval[0] <= level <= self.interval[1]
        negative = self._active(self.negative, level, "negative") if guided else []

        x_in, t = x, sigma * 1000
        if self.generate is not None:
            x_in = torch.where(self.generated_tokens, x, self.clean)
            t = t[:, None] * self.tokens
        velocities = self.velocity(x_in, t, positive + negative)
        v = _average(velocities[: len(positive)], positive)
        if negative:
            v_negative = _average(velocities[len(positive) :], negative)
            cond, v = v, v_negative + self.cfg * (v - v_negative)
            if self.cfg_rescale > 0:
                v = rescale_guidance(v, cond, self.cfg_rescale, self.generate)

        denoised = x - sigma.view(-1, *[1] * (x.ndim - 1)) * v
        return denoised if self.generate is None else torch.where(self.generate, denoised, self.clean)

    @staticmethod
    def _active(prompts: list[Prompt], sigma: float, what: str) -> list[Prompt]:
        active = [p for p in prompts if p.active(sigma)]
        if not active:
            raise SoraError(
                f"No {what} prompt is active at sigma {sigma:.3f}: the start and end percents leave a gap. Close it."
            )
        return active


def _average(velocities: list[torch.Tensor], prompts: list[Prompt]) -> torch.Tensor:
    if len(velocities) == 1:
        return velocities[0]
    total = sum(p.strength for p in prompts)
    return sum(v * (p.strength / total) for v, p in zip(velocities, prompts, strict=True))
