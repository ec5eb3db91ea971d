"""What the transformer is told besides its latent: the text, and the time."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_VECTOR = 16  # numbers of float32 in the widest vectors of a CPU


class TextKeys(NamedTuple):
    """What one block reads of a text, which does not change over the steps of a run."""

    keys: Tensor  # `[B,L,heads,head_dim]`
    values: Tensor  # `[B,L,heads,head_dim]`
    # `[L]`, logarithm of how many tokens of text each stands for; None where each is one.
    bias: Tensor | None = None


def merge_padding(context: Tensor, length: int) -> tuple[Tensor, Tensor | None]:
    """Pad a context `[B,L,D]` with zeros to `length`, most of them as one token.

    Attention to n equal keys is attention to one of them whose score is log n higher. Returns the scores' bias `[L']`
    too, None where there is nothing to merge.
    """
    used = (context != 0).any(-1).any(0).nonzero().flatten()
    count = int(used[-1]) + 1 if len(used) else 0
    # Rows of a whole number of vectors: softmax is several times slower on others.
    kept = -(-(count + 1) // _VECTOR) * _VECTOR
    if length - kept < 1:
        return F.pad(context, (0, 0, 0, length - context.shape[1])), None
    bias = torch.zeros(kept, device=context.device)
    bias[-1] = math.log(length - kept + 1)
    return F.pad(context[:, :count], (0, 0, 0, kept - count)), bias


def timestep_embedding(t: Tensor, dim: int) -> Tensor:
    """Embed timesteps `[...]` in 0..1000 as `[...,dim]`: cosines, then sines, of geometrically spaced rates.

    Vaswani et al. 2017 (arXiv 1706.03762), section 3.5, with Wan's order of the two halves.
    """
    half = dim // 2
    # In float64, as Wan computes it: near 1000 a float32 angle is exact to four decimals only.
    rates = torch.exp(-math.log(10_000) * torch.arange(half, dtype=torch.float64, device=t.device) / half)
    angle = t[..., None].double() * rates
    return torch.cat((angle.cos(), angle.sin()), -1).float()
