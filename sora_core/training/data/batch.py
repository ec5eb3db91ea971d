"""What one step of the transformer's training learns from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import torch
from torch import Tensor

Self = TypeVar("Self", bound="TensorFields")


class TensorFields:
    """A dataclass whose tensors move together, as the loop and its workers move a batch."""

    def to(self: Self, device: torch.device, non_blocking: bool = False) -> Self:
        """Return a copy with its tensors on `device`."""
        return self._each(lambda x: x.to(device, non_blocking=non_blocking))

    def pin_memory(self: Self) -> Self:
        """Return a copy with its tensors in page-locked memory."""
        return self._each(lambda x: x.pin_memory())

    def _each(self: Self, change: Callable[[Tensor], Tensor]) -> Self:
        names = [part.name for part in fields(self)]  # type: ignore[arg-type]  # subclasses are dataclasses
        values: dict[str, Any] = {name: getattr(self, name) for name in names}
        return type(self)(**{k: change(v) if isinstance(v, Tensor) else v for k, v in values.items()})


def take_tokens(values: Tensor, focus: Tensor) -> Tensor:
    """Take the tokens `focus` `[B,K]` of `values` `[B,N,...]`: `[B,K,...]`; all of them where K is 0."""
    if not focus.shape[1]:
        return values
    return values.gather(1, focus.view(*focus.shape, *[1] * (values.ndim - 2)).expand(-1, -1, *values.shape[2:]))


@dataclass
class Batch(TensorFields):
    """Clips of one shape, with their prompts, masks and noise."""

    latents: Tensor  # [B,C,T,H,W]
    labels: Tensor  # [B,N] subject class per token, 0 = none
    ids: Tensor  # [B,S,L] text tokens of S prompts a clip, a dropped caption is empty
    shot: Tensor  # [B,T] which of the prompts a latent reads
    generate: Tensor  # [B,T] bool, false for latents that are kept
    context: Tensor  # [B] noise level of what is kept
    noise: Tensor  # [B,C,T,H,W]
    sigma: Tensor  # [B] noise level of what is generated, 0..1
    words: Tensor  # [n,2] clip and place in its prompt of the words that name a subject of a clip in one shot
    places: Tensor  # [n,PLACES of `latent_batches`] where that subject is, 0..1
    layout: Tensor  # [B,T,SLOTS,FIGURES] of `model.layout`; what it leaves to the tokens is UNTOLD
    focus: Tensor  # [B,K] the tokens that are seen of each clip, rising; all of them where K is 0

    @property
    def generate_mask(self) -> Tensor:
        """`generate` in the latents' dimensions, `[B,1,T,1,1]`."""
        return self.generate[:, None, :, None, None]

    @property
    def generated_tokens(self) -> Tensor:
        """Which of the transformer's tokens are generated, bool `[B,N]`."""
        h, w = self.latents.shape[-2:]
        return self.generate.repeat_interleave(h * w // 4, 1)

    def seen(self, values: Tensor) -> Tensor:
        """Take of `values` `[B,N,...]`, one for each token, those of the tokens that are seen: `[B,K,...]`."""
        return take_tokens(values, self.focus)

    def noised(self, clip: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        """Mix a clip in the latents' shape with noise at levels `[B]`; what is kept stays as it is."""
        s = level.view(-1, 1, 1, 1, 1)
        return torch.where(self.generate_mask, (1 - s) * clip + s * noise, self.latents)
