"""Learning from judged clips: velocities move towards clips that were right, and away from those that were not.

A clip is better or worse than its prompt's mean by its advantage. The velocity that leads to it has the target

    target = v_old + step_size * advantage * (v - v_old),   v = noise - clip

It is where the loss of DiffusionNFT (Zheng et al., arXiv 2509.16117; beta 1, its reward 0.5 + advantage / 2) has its
minimum for each clip, one regression in place of two: no likelihood, no gradient through the sampler or the judge, and
what all clips of a prompt share cancels, so that clips that were sampled with guidance can be used.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..data.batch import Batch, TensorFields
from ..loop.trainer import Autocast
from ..network import DiTWithHeads
from .flow import FlowLoss


@dataclass
class JudgedClips(TensorFields):
    """Whole groups of clips of one prompt each."""

    latents: Tensor  # [B,C,T,h,w]
    ids: Tensor  # [B,1,L] text tokens, none where the prompt is dropped
    advantage: Tensor  # [B] standard deviations above the group's mean; 0 where the prompt is dropped
    sigma: Tensor  # [B] noise level, one for a group
    noise: Tensor  # as the latents, one for a group


class RewardLoss:
    """The regression on judged clips; ordinary batches go to the loss of flow."""

    def __init__(
        self,
        network: DiTWithHeads,
        old: DiTWithHeads,  # the model that made the clips, frozen
        flow: FlowLoss,
        step_size: float,  # how far a standard deviation moves the target
        autocast: Autocast,
    ) -> None:
        self.network, self.old, self.flow = network, old, flow
        self.step_size, self.autocast = step_size, autocast

    def __call__(self, step: int, b: JudgedClips | Batch) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of a batch, and for judged clips "along" and "moved": how far on the way, and how far."""
        if isinstance(b, Batch):
            return self.flow(step, b)
        s = b.sigma.view(-1, 1, 1, 1, 1)
        x, wanted = (1 - s) * b.latents + s * b.noise, b.noise - b.latents
        frames = x.shape[2]
        t = (1000 * b.sigma)[:, None].expand(-1, frames)
        shot = torch.zeros(len(x), frames, dtype=torch.long, device=x.device)
        with self.autocast():
            with torch.no_grad():
                old = self.old(x, t, b.ids, shot)[0].float()
            v = self.network(x, t, b.ids, shot)[0].float()
        far = (self.step_size * b.advantage).view(-1, 1, 1, 1, 1) * (wanted - old)
        moved = v - old
        # How much of the way is gone, and how much else: the first should grow faster than the second.
        along = float((moved * far).mean().detach() / far.square().mean().clamp_min(1e-12))
        loss = (moved - far).square().mean()
        return loss, {"along": along, "moved": float(moved.square().mean().detach())}
