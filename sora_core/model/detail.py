"""Convolutions behind the transformer, which put right what tokens cannot agree on.

A token stands for 2x2 latents, 16x16 pixels, and says all of them by itself: in a small transformer neighbours agree on
what they show and not on where its outline goes, so that shapes fall apart along the tokens' borders. A few
convolutions over the whole picture see both sides of a border. The transformer plans, they draw: what DiP (arXiv
2511.18822) does for patches of pixels, here for those of latents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import Layers
from .products import convolve

if TYPE_CHECKING:
    from .dit import DiTConfig

_EPS = 1e-6


class DetailBlock(nn.Module):
    """Two 1x3x3 convolutions with a residual, behind a norm over the channels that has no weights of its own."""

    def __init__(self, channels: int, ops: Layers) -> None:
        super().__init__()
        self.conv1, self.conv2 = (_conv(channels, channels, ops) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Run the block on `[B,C,T,H,W]`."""
        size = x.float().square().mean(1, keepdim=True).add(_EPS).rsqrt()
        return x + convolve(self.conv2, F.silu(convolve(self.conv1, (x * size).to(x.dtype))))


class Detailer(nn.Module):
    """A correction of the velocity, by the noised latent and what the last tokens of the transformer say of it."""

    def __init__(self, cfg: DiTConfig, ops: Layers = nn) -> None:
        super().__init__()
        pt, ph, pw = cfg.patch_size
        self.tokens = ops.Linear(cfg.dim, cfg.detail * pt * ph * pw)
        self.stem = _conv(cfg.in_dim + cfg.detail, cfg.detail, ops)
        self.blocks = nn.ModuleList(DetailBlock(cfg.detail, ops) for _ in range(cfg.detail_blocks))
        self.head = _conv(cfg.detail, cfg.out_dim, ops)

    def forward(self, x: Tensor, plan: Tensor) -> Tensor:
        """Return what is added to the velocity `[B,C,T,H,W]`. x: the noised latent. plan: `[B,detail,T,H,W]`."""
        y = torch.cat((x.to(plan.dtype), plan), 1).contiguous(memory_format=torch.channels_last_3d)
        y = convolve(self.stem, y)
        for block in self.blocks:
            y = block(y)
        return convolve(self.head, F.silu(y))


def _conv(channels_in: int, channels_out: int, ops: Layers) -> nn.Conv3d:
    return ops.Conv3d(channels_in, channels_out, kernel_size=(1, 3, 3), padding=(0, 1, 1))
