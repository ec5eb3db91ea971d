"""A network that corrects latents by what they decode to.

An encoder names a latent in one pass, without knowing what the decoder makes of it. Here that is known: the network
sees the video, how what is decoded differs from it, and the gradient of that difference in the latent, and says by how
much to change the latent; then it looks again. Iterative amortised inference (Marino et al., arXiv 1807.09356).
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn

from .causal import ChannelNorm, FeatureCache, Pointwise, ResBlock, SpatialConv

# Errors are small beside the pixels they are of. Gradients are compressed by asinh, after this factor: those of an edge
# are far larger than most.
_ERROR, _GRADIENT = 4.0, 3.0


class Corrector(nn.Module):
    """A network at 1/4 and 1/8 of the resolution, as the encoder is, and causal in time but for the gradient."""

    def __init__(
        self, channels: int, patch: tuple[int, int, int], width: tuple[int, int], blocks: tuple[int, int]
    ) -> None:
        """Make a corrector of latents of so many `channels`.

        patch: of the VAE, pixels (t, y, x). width, blocks: channels and depth at 1/4 and at 1/8 of the resolution.
        """
        super().__init__()
        (c0, c1), (n0, n1) = width, blocks
        self.stem = SpatialConv(2 * 3 * math.prod(patch), c0)
        self.blocks0 = nn.ModuleList(ResBlock(c0) for _ in range(n0))
        self.down = Pointwise(4 * c0, c1)
        self.latent_stem = SpatialConv(3 * channels, c1)
        self.blocks1 = nn.ModuleList(ResBlock(c1) for _ in range(n1))
        self.norm = ChannelNorm(c1)
        self.head = SpatialConv(c1, channels)
        # It begins as the descent below alone, and departs from that as it learns.
        nn.init.zeros_(self.head.weight)
        # Length of a step against the gradient, one a channel.
        self.gain = nn.Parameter(torch.full((channels,), 0.02))

    def forward(
        self,
        patches: Tensor,
        error: Tensor,
        latent: Tensor,
        moved: Tensor,
        gradient: Tensor,
        cache: FeatureCache | None = None,
    ) -> Tensor:
        """Compute what to add to a latent, `[B,C,t,H/8,W/8]`.

        patches: of the video, `[B,192,t,H/4,W/4]`, pixels in -1..1; error: of its difference to what is decoded, in the
        same shape. latent: normalised, `[B,C,t,H/8,W/8]`; moved: how far that is from the encoder's by now, and
        gradient: of half the squared error, both in its shape. cache: memory of the chunks before, one a correction.
        """
        gradient = torch.asinh(_GRADIENT * gradient)
        x = self.stem(torch.cat((patches, _ERROR * error), 1))
        for block in self.blocks0:
            x = block(x, cache)
        x = self.down(rearrange(x, "b c t (h p) (w q) -> b (c p q) t h w", p=2, q=2))
        x = x + self.latent_stem(torch.cat((latent, moved, gradient.to(latent.dtype)), 1))
        for block in self.blocks1:
            x = block(x, cache)
        return self.head(self.norm.silu(x)) - self.gain.view(1, -1, 1, 1, 1) * gradient
