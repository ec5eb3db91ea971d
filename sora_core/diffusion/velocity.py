"""The model call for a set of prompts, and what may stand around it.

The network predicts v = eps - x0 at time 1000 * sigma. Between it and a sampler stands a stack, outermost first:

    Watched          (x, sigma) -> x0               stops the run at the first NaN, whoever made it
    Denoiser         (x, sigma) -> x0               x0 = x - sigma * v, and what is kept comes out clean
    Guidance         (x, sigma) -> v                which prompts are on, and how far to go away from the negative one
    a run's wrappers (x, sigma, prompts) -> [v]     whatever the caller of `sample` gives, in that order
    ModelVelocity    (x, sigma, prompts) -> [v]     one call of the network for all prompts

A model of two experts has one such call of each, and `experts.ExpertsVelocity` in the place of both.

A wrapper takes a `Velocity` and gives a `Velocity`. It stands below guidance, because there the velocities of the
prompts are still apart: one that skips steps keeps each of them, whatever cfg and its interval make of them, and one
that shares the work out among devices has a batch to share. It stands above the network, so that it sees the sampler's
own x and sigma, and text and masks are none of its business. It is made anew for every run, so it can keep what it
likes. It must give one velocity for each prompt, in their order, in the shape, precision and device of x.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..latents.masks import Patch, spread_tokens, token_mask
from ..model.products import Packs, using
from .prompts import Prompt, shared_shots, stack_contexts, stack_shots
from .shots import read_shots


class Network(Protocol):
    """A velocity network, such as `model.dit.DiT`.

    One that has `text_keys(context)` is given what that returns as `text`, in place of the context.
    """

    @property
    def config(self) -> Any:
        """Sizes, with `patch_size`: latents (t, y, x) of one token. Tokens are in (t, y, x) order."""

    def __call__(self, x: Tensor, t: Tensor, context: Tensor | None = None, **text: Any) -> Tensor:
        """Predict the velocity of `x` `[B,C,T,H,W]` at times `t` `[B]` or `[B,N]`; context: `[B,L,D]`."""


class Velocity(Protocol):
    """What guidance calls: `ModelVelocity`, or a wrapper of one."""

    def __call__(self, x: Tensor, sigma: Tensor, prompts: Sequence[Prompt]) -> list[Tensor]:
        """Predict the velocity `[B,C,T,H,W]` of `x` at `sigma` `[B]` for each of `prompts`."""


Wrapper = Callable[[Velocity], Velocity]


@dataclass(frozen=True)
class Kept:
    """What a run keeps of a latent. Every task is such a mask.

    Kept tokens enter the network clean, at time 0, and come out of every call as they are, so a sampler's own state
    there follows the path from noise to exactly that latent.
    """

    clean: Tensor  # `[B,C,T,H,W]`, what is kept
    generate: Tensor  # bool `[B,1,T,H,W]`, False where it is
    tokens: Tensor  # bool `[B,N]`, False where all latents of a token are kept
    # bool `[B,1,T,H,W]`, `tokens` on the latents. A token with some latents to keep and some to generate is at the
    # schedule's noise level as a whole, as in training: its kept part is noised like the rest on the way in, and clean
    # on the way out.
    noised: Tensor

    @classmethod
    def of(cls, mask: Tensor, clean: Tensor, patch: Patch) -> Kept | None:
        """Make it of a mask `[B,1,T,H,W]`, True = generate; None where nothing is kept."""
        generate = mask.bool()
        if bool(generate.all()):
            return None
        tokens = token_mask(generate, patch)
        return cls(clean, generate, tokens, spread_tokens(tokens, generate.shape, patch))

    def enter(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the network sees of `x` at `sigma` `[B]`, and the sigma of each token, `[B,N]`."""
        return torch.where(self.noised, x, self.clean), sigma[:, None] * self.tokens

    def restore(self, x0: Tensor) -> Tensor:
        """Put what is kept back into an estimate `[B,C,T,H,W]`."""
        return torch.where(self.generate, x0, self.clean)


class ModelVelocity:
    """One call of the network for a set of prompts, all in one batch; what it makes of a text is kept for the run."""

    def __init__(self, dit: Network, kept: Kept | None = None) -> None:
        self.dit, self.kept = dit, kept
        # Of the weights, where there are any: a plain function takes what comes.
        self.dtype: torch.dtype | None = None
        if isinstance(dit, nn.Module):
            self.dtype = next((p.dtype for p in dit.parameters() if p.is_floating_point()), None)
        # A run's own copies of the weights, in the order in which the processor reads them.
        self._packs = Packs()
        self._texts: dict[tuple[Any, ...], tuple[Sequence[Prompt], Tensor | None, dict[str, Any]]] = {}

    def __call__(self, x: Tensor, sigma: Tensor, prompts: Sequence[Prompt]) -> list[Tensor]:
        """Predict the velocity `[B,C,T,H,W]` of `x` at `sigma` `[B]` for each of `prompts`."""
        x_in, sigma = (x, sigma) if self.kept is None else self.kept.enter(x, sigma)
        t = sigma * 1000
        count = len(prompts)
        key = (x.shape, x.device, *map(id, prompts))
        if key not in self._texts:
            # What a model derives from its text is the same at every step: once a run is enough. The prompts are kept
            # along, so that no other object can get the id of one.
            self._texts[key] = (tuple(prompts), *self._read(prompts, x))
        _, context, derived = self._texts[key]
        x_in = x_in.to(self.dtype or x.dtype)
        if not getattr(self.dit, "shares_clips", False):
            x_in, t = (part.repeat(count, *[1] * (part.ndim - 1)) for part in (x_in, t))
        with using(self._packs):
            v = self.dit(x_in, t, context, **derived)
        return list(v.to(x.dtype).chunk(count))

    def _read(self, prompts: Sequence[Prompt], x: Tensor) -> tuple[Tensor | None, dict[str, Any]]:
        """Return the context for the network, or None and what the network makes of it."""
        batch = x.shape[0]
        prompts = [replace(p, context=p.context.to(x.device, self.dtype or x.dtype)) for p in prompts]
        text_keys = getattr(self.dit, "text_keys", None)
        shots = shared_shots(prompts, x.shape[2])
        # Where things are is a matter of the clip: all its prompts have one layout.
        layout = next((p.layout for p in prompts if p.layout is not None), None)
        placed = {} if layout is None else {"layout": layout.to(x.device)}
        if shots is None:
            context = stack_contexts([p.context for p in prompts], batch)
            return (context, {}) if text_keys is None else (None, {"text": text_keys(context)} | placed)
        return None, read_shots(self.dit, stack_shots(prompts, len(shots), batch), shots, x.shape) | placed
