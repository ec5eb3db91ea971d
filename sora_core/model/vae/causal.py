"""Layers of the video VAE: convolutions in space and, causally, in time, and their memory of what came before."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


class FeatureCache:
    """What a VAE remembers of the chunks before: the last two input frames of every temporal convolution."""

    def __init__(self) -> None:
        self.frames: dict[int, Tensor] = {}  # id of the layer -> `[B,C,2,h,w]`; empty before the first chunk


class SpatialConv(nn.Module):
    """1x3x3 convolution of each frame, zero padding 1."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(c_out, c_in, 3, 3))
        self.bias = nn.Parameter(torch.zeros(c_out))
        nn.init.kaiming_normal_(self.weight, nonlinearity="linear")

    def forward(self, x: Tensor) -> Tensor:
        """Convolve `[B,C,T,h,w]`, in the precision of `x`."""
        b = x.shape[0]
        # The fold keeps channels-last memory, where the convolution is fastest on CPU and GPU alike.
        y = F.conv2d(
            rearrange(x, "b c t h w -> (b t) c h w"), self.weight.to(x.dtype), self.bias.to(x.dtype), padding=1
        )
        return rearrange(y, "(b t) c h w -> b c t h w", b=b)


class TemporalConv(nn.Module):
    """Causal 3x1x1 convolution; before the first frame stands the first frame itself, so stills see no edge."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(c_out, c_in, 3))
        self.bias = nn.Parameter(torch.zeros(c_out))
        nn.init.kaiming_normal_(self.weight, nonlinearity="linear")

    def forward(self, x: Tensor, cache: FeatureCache | None = None) -> Tensor:
        """Convolve `[B,C,T,h,w]`, a whole clip or, with a cache, the next chunk of one."""
        past = cache.frames.get(id(self)) if cache is not None else None
        if past is None:
            past = x[:, :, :1].expand(-1, -1, 2, -1, -1)
        x = torch.cat((past, x), 2)
        if cache is not None:
            cache.frames[id(self)] = x[:, :, -2:].clone()
        t = x.shape[2] - 2
        # Three matrix products on shifted views: a 3x1x1 convolution has no spatial reach, and the plain
        # product runs several times faster than conv3d on a CPU.
        x = rearrange(x, "b c t h w -> b t h w c")
        taps = torch.cat([x[:, i : i + t] for i in range(3)], -1)
        w = rearrange(self.weight, "o i k -> o (k i)").to(x.dtype)
        return rearrange(F.linear(taps, w, self.bias.to(x.dtype)), "b t h w c -> b c t h w")


class ChannelNorm(nn.Module):
    """RMS norm over channels (arXiv 1910.07467), one gain a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `[B,C,T,h,w]`; computed in float32, returned in the precision of `x`."""
        scale = x.float().pow(2).mean(1, keepdim=True).add(1e-6).rsqrt()
        return (x.float() * scale * self.gain.view(-1, 1, 1, 1)).to(x.dtype)


class ResBlock(nn.Module):
    """Residual block: a convolution in space, then one in time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = ChannelNorm(channels), SpatialConv(channels, channels)
        self.norm2, self.conv2 = ChannelNorm(channels), TemporalConv(channels, channels)
        # The branch starts at nothing, so that a deep stack begins as the identity (Fixup, arXiv 1901.09321).
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, cache: FeatureCache | None = None) -> Tensor:
        """Run the block on `[B,C,T,h,w]`; the cache is that of the convolution in time."""
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h)), cache)


class Pointwise(nn.Module):
    """1x1x1 convolution, as a product over the channels."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(c_in, c_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B,C_in,T,h,w]` to `[B,C_out,T,h,w]`."""
        w, b = self.linear.weight.to(x.dtype), self.linear.bias.to(x.dtype)
        return rearrange(F.linear(rearrange(x, "b c t h w -> b t h w c"), w, b), "b t h w c -> b c t h w")
