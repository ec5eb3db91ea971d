"""A discriminator on the teacher's features, which tells a student's clips from the world's.

LADD (Sauer et al., arXiv 2403.12015): both are noised before the teacher sees them. The teacher is frozen, or the
discriminator's own, which learns to see what denoising has no need of (APT, arXiv 2501.08316). The direction is scaled
to that of the scores (`losses.matching`), so that one setting says how much it counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.batch import Batch
from ..loop.trainer import Autocast
from ..network import DiTWithHeads


class Discriminator(nn.Module):
    """Small heads, one for each tapped block, which say of every token how much it looks like the world's."""

    def __init__(self, dim: int, taps: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList()
        for _ in range(taps):
            first, last = nn.Linear(dim, dim // 2), nn.Linear(dim // 2, 1)
            nn.init.zeros_(last.weight)
            self.parts.append(nn.Sequential(nn.LayerNorm(dim), first, nn.SiLU(), last))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return logits `[taps,B,N]` of features `[B,N,D]` after each tapped block."""
        return torch.stack([part(x.float())[..., 0] for part, x in zip(self.parts, features, strict=True)])


class Adversary:
    """What a discriminator learns, and where it would have a clip go."""

    def __init__(
        self,
        discriminator: Discriminator,
        teacher: DiTWithHeads,  # frozen but for what the discriminator may change of it
        taps: tuple[int, ...],  # blocks of the teacher whose features the discriminator sees, from 1
        strength: float,  # how far a clip goes along its gradient, as a part of how far it goes along the scores
        autocast: Autocast,
    ) -> None:
        self.discriminator, self.teacher, self.taps = discriminator, teacher, taps
        self.strength, self.autocast = strength, autocast

    def logits(self, clip: Tensor, b: Batch, level: Tensor, noise: Tensor) -> Tensor:
        """Return the logits `[taps,B,N]` of a clip, noised to levels `[B]`; positive for the world's."""
        x = b.noised(clip, level, noise)
        with self.autocast():
            features = self.teacher.tapped(x, 1000 * level[:, None] * b.generate, b.ids, b.shot, self.taps, b.layout)[1]
        return self.discriminator(features)

    def loss(self, clip: Tensor, b: Batch, level: Tensor, noise: Tensor) -> tuple[Tensor, float]:
        """Return the loss on a clip of the student and the batch's own, and how often the discriminator is right."""
        made = b.generated_tokens.float()
        fake, real = (self.logits(x, b, level, noise) for x in (clip, b.latents))
        error = F.softplus(fake) + F.softplus(-real)
        right = ((fake < 0).float() + (real > 0).float()) / 2
        return (error * made).sum() / made.sum() / len(fake), float((right * made).sum() / made.sum() / len(fake))

    def gradient(self, clip: Tensor, b: Batch, level: Tensor, noise: Tensor, scores: Tensor) -> Tensor:
        """Return the gradient that makes a clip look less like the world's, `strength` times as long as `scores`.

        The lengths are of each clip alone. A step against the gradient is one towards the world.
        """
        with torch.enable_grad():
            clip = clip.detach().requires_grad_()
            logits = self.logits(clip, b, level, noise)
            (slope,) = torch.autograd.grad((F.softplus(-logits) * b.generated_tokens.float()).sum(), clip)
        wanted, length = (x.flatten(1).norm(dim=1).view(-1, 1, 1, 1, 1) for x in (scores, slope))
        return self.strength * slope * wanted / length.clamp_min(1e-8)
