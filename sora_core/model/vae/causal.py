"""Layers of the video VAE: convolutions in space and, causally, in time, and their memory of what came before."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..products import narrow, product, widen

LARGE = 1 << 18  # values of one frame from which a convolution in time does without copies


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
        # The fold keeps channels-last memory, where the convolution is fastest on CPU and GPU alike.
        y = widen(rearrange(x, "b c t h w -> (b t) c h w"))
        y = F.conv2d(y, self.weight.to(y.dtype), self.bias.to(y.dtype), padding=1)
        return rearrange(narrow(y, x), "(b t) c h w -> b c t h w", b=len(x))


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
        if cache is not None:
            cache.frames[id(self)] = (x if x.shape[2] > 1 else torch.cat((past, x), 2))[:, :, -2:].clone()
        # Matrix products on shifted views: a 3x1x1 convolution has no spatial reach, and the plain product runs several
        # times faster than conv3d on a CPU.
        past, y = (widen(rearrange(part, "b c t h w -> b t h w c")) for part in (past, x))
        # By the size of a frame and not of a chunk: a stream computes as a whole clip does.
        many = math.prod(y.shape[2:]) >= LARGE and y.device.type == "cpu"
        if many and not _tracked(y, past, self.weight, self.bias) and not torch.is_autocast_enabled("cpu"):
            made = self._by_taps(y, past)
        else:
            made = self._at_once(y, past)
        return rearrange(narrow(made, x), "b t h w c -> b c t h w")

    def _at_once(self, y: Tensor, past: Tensor) -> Tensor:
        """Convolve `[B,T,h,w,C]` behind two frames in one product, of copies side by side."""
        t = y.shape[1]
        y = torch.cat((past, y), 1)
        taps = torch.cat([y[:, i : i + t] for i in range(3)], -1)
        w = rearrange(self.weight, "o i k -> o (k i)").to(y.dtype)
        return F.linear(taps, w, self.bias.to(y.dtype))

    def _by_taps(self, y: Tensor, past: Tensor) -> Tensor:
        """Do so in a product for each frame of the past, added in place: large frames are slow to copy."""
        t, weight = y.shape[1], self.weight.to(y.dtype)
        out = F.linear(y, weight[:, :, 2], self.bias.to(y.dtype))
        for clip, before, made in zip(y, past, out, strict=True):
            for back in (1, 2):
                w = weight[:, :, 2 - back].t()
                for source, first in ((before[2 - back :], 0), (clip[: max(t - back, 0)], back)):
                    count = min(len(source), t - first)
                    if count > 0:
                        made[first : first + count].flatten(0, 2).addmm_(source[:count].flatten(0, 2), w)
        return out


def _tracked(*tensors: Tensor) -> bool:
    """Tell whether gradients will be asked for, so that nothing may be computed in place."""
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


class ChannelNorm(nn.Module):
    """RMS norm over channels (arXiv 1910.07467), one gain a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `[B,C,T,h,w]`; computed in float32, returned in the precision of `x`."""
        return (x * self._scale(x) * self.gain.view(-1, 1, 1, 1)).to(x.dtype)

    def silu(self, x: Tensor) -> Tensor:
        """Normalise `[B,C,T,h,w]` and take SiLU of it, in as few passes over memory as there can be."""
        if _tracked(x, self.gain):
            return F.silu(self(x))
        y = (x * self._scale(x)).mul_(self.gain.view(-1, 1, 1, 1))
        return F.silu(y.to(x.dtype), inplace=True)

    def _scale(self, x: Tensor) -> Tensor:
        norm = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.float32)
        return norm.square().div(x.shape[1]).add(1e-6).rsqrt()


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
        h = self.conv2(self.norm2.silu(self.conv1(self.norm1.silu(x))), cache)
        return x + h if _tracked(x, h) else h.add_(x)


class Pointwise(nn.Module):
    """1x1x1 convolution, as a product over the channels."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(c_in, c_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B,C_in,T,h,w]` to `[B,C_out,T,h,w]`."""
        y = product(rearrange(x, "b c t h w -> b t h w c"), self.linear.weight, self.linear.bias)
        return rearrange(y, "b t h w c -> b c t h w")
