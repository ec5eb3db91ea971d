"""What one step of the transformer's training learns from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass
class Batch:
    latents: Tensor  # [B,C,T,H,W]
    labels: Tensor  # [B,N] subject class per token
    ids: Tensor  # [B,S,L] text tokens of S prompts a clip, a dropped caption is empty
    shot: Tensor  # [B,T] which of the prompts a latent reads
    generate: Tensor  # [B,T] bool
    context: Tensor  # [B] noise level of what is kept
    noise: Tensor
    sigma: Tensor  # [B]
    words: Tensor  # [n,2] clip and place in its prompt of the words that name a subject of a clip in one shot
    places: Tensor  # [n,PLACES of `dit`] where that subject is, 0..1

    def to(self, device: torch.device, non_blocking: bool = False) -> Batch:
        return self._each(lambda x: x.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        return self._each(lambda x: x.pin_memory())

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(**{part.name: change(getattr(self, part.name)) for part in fields(self)})
