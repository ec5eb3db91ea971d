"""What blocks read of a text: its keys and values, and what attention to a few of them comes to."""

from __future__ import annotations

import math
from itertools import groupby
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .products import derived, direct, linear, traced, untouched

_VECTOR = 16  # numbers of float32 in the widest vectors of a CPU


class Digest(NamedTuple):
    """Cross-attention of one block to a short text, with all that does not change over a run worked out ahead.

    Queries meet the keys of all heads in one product. What a key adds to a token is known, so values and output layer
    are one product of few rows. A clip that reads nothing but padding gets the same whatever its queries are.
    """

    runs: tuple[tuple[int, int, bool], ...]  # texts in a row, the first and the end, and whether they are padding alone
    keys: Tensor  # `[B,D,heads*L]`, zeros outside a key's own head
    bias: Tensor  # `[heads*L]`, of the scores
    adds: Tensor  # `[B,heads*L,D]`, what each key adds to a token, in the output layer's terms
    heads: int
    eps: float  # of the queries' norm

    def suits(self, x: Tensor) -> bool:
        """Tell whether tokens `x` may read it: no derivatives are wanted, for some of it is done in place."""
        return not torch.is_grad_enabled() and (traced() or not derived(x))

    def read(self, x: Tensor, norm: nn.Module, q: nn.Module) -> Tensor:
        """Add to tokens `[B,N,D]` what they read of B texts or of one. norm, q: make queries of them."""
        if len(self.runs) == 1:
            return self._read(x, slice(0, len(self.adds)), self.runs[0][2], norm, q, None)
        out = torch.empty_like(x)
        for first, end, silent in self.runs:
            clips = slice(first, end)
            self._read(x[clips], clips, silent, norm, q, out[clips])
        return out

    def _read(self, x: Tensor, texts: slice, silent: bool, norm: nn.Module, q: nn.Module, out: Tensor | None) -> Tensor:
        adds = self.adds[texts].expand(len(x), -1, -1)
        if silent:
            # All keys are one key.
            return torch.add(x, adds.unflatten(1, (self.heads, -1))[:, :, -1].sum(1, keepdim=True), out=out)
        query = linear(q, norm(x))
        size = torch.linalg.vector_norm(query, dim=-1, keepdim=True)
        size.square_().div_(query.shape[-1]).add_(self.eps).rsqrt_()
        scores = torch.bmm(query, self.keys[texts].expand(len(x), -1, -1))
        torch.addcmul(self.bias, scores, size, out=scores)
        weights = torch.softmax(scores.unflatten(-1, (self.heads, -1)), -1).flatten(2)
        return torch.baddbmm(x, weights, adds, out=out)


class TextKeys(NamedTuple):
    """What one block reads of a text, which does not change over the steps of a run."""

    keys: Tensor  # `[B,L,heads,head_dim]`
    values: Tensor  # `[B,L,heads,head_dim]`
    # `[L]`, logarithm of how many tokens of text each stands for; None where each is one.
    bias: Tensor | None = None
    digest: Digest | None = None  # of all of it, for whoever reads it without gradients and without a mask


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


def pays(keys: Tensor) -> bool:
    """Tell whether a digest of keys `[B,L,heads,head_dim]` is less work, and no more memory, than what it replaces.

    In float32 alone: what it multiplies ahead would be rounded once more in other precisions.
    """
    return keys.dtype == torch.float32 and 2 * keys.shape[1] <= keys.shape[3]


def read_text(attention: Any, context: Tensor, bias: Tensor | None, silent: Tensor | None) -> TextKeys:
    """Compute what is kept of a text `[B,L,dim]` for a block's cross-attention, a `dit.Attention`.

    bias: see `TextKeys`. silent: bool `[B]`, texts of zeros; None where masks or gradients are to come.
    """
    text: TextKeys = attention.keys(context)._replace(bias=bias)
    if silent is None or not pays(text.keys) or not direct(attention.o, context) or not untouched(attention):
        return text
    norm = attention.norm_q
    return text._replace(digest=digest(text, norm.weight, norm.eps, attention.o, silent))


def digest(text: TextKeys, gains: Tensor, eps: float, output: nn.Linear, silent: Tensor) -> Digest:
    """Work out what `text` comes to. gains `[D]`, eps: of the queries' norm. silent: bool `[B]`, texts of zeros."""
    batch, length, heads, width = text.keys.shape
    keys = text.keys * (gains.view(heads, width) * width**-0.5)
    spread = keys.new_zeros(batch, heads, width, heads, length)
    every = torch.arange(heads, device=keys.device)
    spread[:, every, :, every] = keys.permute(2, 0, 3, 1)
    columns = output.weight.unflatten(1, (heads, width))
    adds = torch.einsum("blhd,ohd->bhlo", text.values, columns)
    # Weights of attention have the sum 1 in every head, so each head brings its part of the bias.
    adds += output.bias / heads
    bias = keys.new_zeros(length) if text.bias is None else text.bias
    runs, start = [], 0
    for kind, some in groupby(silent.tolist()):
        end = start + len(list(some))
        runs.append((start, end, kind))
        start = end
    return Digest(tuple(runs), spread.flatten(3).flatten(1, 2), bias.repeat(heads), adds.flatten(1, 2), heads, eps)
