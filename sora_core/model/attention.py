"""Attention by what is fastest for the device, the precision and the shape.

PyTorch chooses among its own kernels, on a GPU above all. Its fused CPU kernel leaves the units that multiply bfloat16
idle for more than half of the time, so without gradients `tiled` does long rows of bfloat16 as matrix products instead:
some queries of one head with all keys, softmax in place, and the product with the values. Which way is taken depends
on nothing that is timed, so two runs on one machine are bit-identical.

**Error.** The fused kernel holds scores in float32, tiles in bfloat16: each is off by at most 2^-8 of its size. Weights
are then off by at most a factor exp(2^-7 * m), m the largest score of the row, and by 2^-8 for their own rounding.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from .products import emulated, inferring, onednn

_SCORES = 2 << 20  # bytes a thread: a tile's scores that are still in its cache when they are read again
_ROWS = 256  # queries at least: fewer do not repay reading all keys once more
_LONG = 256  # keys at least, or the loop costs more than the products
_SHORT = 1024  # queries up to which plain attention is faster with gradients
_FEW = 64  # keys up to which it is faster without, whatever the precision: a prompt
_SMALL = 2 << 20  # bytes of a clip's scores up to which plain attention is faster in float32


def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, scale: float | None = None, bias: Tensor | None = None
) -> Tensor:
    """Attend with queries `[B,N,heads,head_dim]` to keys and values `[B,L,heads,head_dim]`: `[B,N,heads*head_dim]`.

    `mask` is bool, True = attend, and broadcast to `[B,heads,N,L]`; a query that may attend to nothing gets zeros.
    scale: of the scores, by default head_dim ** -0.5. bias: float32 `[L]`, added to the scores of each key.
    """
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    if emulated(q):
        return attention(q.float(), k.float(), v.float(), mask, scale, bias).to(q.dtype)
    if len(k) != len(q):
        k, v = (x.expand(len(q), -1, -1, -1) for x in (k, v))
    if mask is None and bias is None and by_tiles(q, k):
        return tiled(q, k, v, scale).flatten(2)
    if mask is None and by_clips(q, k):
        return clip_by_clip(q, k, v, scale, bias).flatten(2)
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    if q.device.type == "cpu" and by_matrices(q, k):
        out = plain(q, k, v, mask, scale, bias)
    else:
        if bias is not None:
            mask = (bias if mask is None else torch.where(mask, bias, -torch.inf)).expand(*q.shape[:3], -1)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    return out.transpose(1, 2).flatten(2)


def by_matrices(q: Tensor, k: Tensor) -> bool:
    """Tell whether `plain` is the way for queries `[B,heads,N,head_dim]` and keys `[B,heads,L,head_dim]` on a CPU."""
    if torch.is_grad_enabled():
        # The fused CPU kernel's backward pass costs more than the whole of plain attention at these lengths.
        return q.shape[2] <= _SHORT
    return k.shape[2] <= _FEW and q.shape[2] > 1


def plain(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, bias: Tensor | None = None) -> Tensor:
    """Attend by whole matrices of scores: `[B,heads,N,head_dim]` of queries to `[B,heads,L,head_dim]`."""
    weights = (q if scale == 1 else q * scale) @ k.transpose(-1, -2)
    if bias is not None:
        weights = weights.float() + bias
    if mask is not None:
        weights = weights.masked_fill(~mask, -torch.inf)
    weights = torch.softmax(weights, -1, dtype=torch.float32)
    if mask is not None:
        # Where nothing may be attended to, softmax divides nothing by nothing.
        weights = weights.masked_fill(~mask, 0.0)
    return weights.to(v.dtype) @ v


@lru_cache(maxsize=1)
def tiles_pay() -> bool:
    """Tell whether this processor multiplies bfloat16 in its vector units, as AVX-512 does (measured on Zen 4).

    Where it has AMX, PyTorch's fused kernel uses that. Others are not measured, and are left to PyTorch.
    """
    if torch.bfloat16 not in onednn():
        return False
    try:
        return bool(torch.cpu._is_avx512_bf16_supported() and not torch.cpu._is_amx_tile_supported())
    except AttributeError:  # another PyTorch
        return False


def by_tiles(q: Tensor, k: Tensor) -> bool:
    """Tell whether `tiled` is the way for queries `[B,N,heads,head_dim]` and keys `[B,L,heads,head_dim]`."""
    return (
        q.dtype == torch.bfloat16 and min(q.shape[1], k.shape[1]) >= _LONG and q.numel() > 0
        and inferring(q) and tiles_pay()
    )  # fmt: skip


def by_clips(q: Tensor, k: Tensor) -> bool:
    """Tell whether `clip_by_clip` is the way for queries `[B,N,heads,head_dim]` and keys `[B,L,heads,head_dim]`."""
    scores = 4 * q.shape[1] * q.shape[2] * k.shape[1]
    return q.dtype == torch.float32 and 0 < scores <= _SMALL and q.numel() > 0 and inferring(q)


def clip_by_clip(q: Tensor, k: Tensor, v: Tensor, scale: float, bias: Tensor | None = None) -> Tensor:
    """Attend by whole matrices of scores, one clip of the batch after the other; returns `[B,N,heads,head_dim]`.

    The scores of all clips at once would be memory that the system clears for every call, which costs as much again.
    """
    out = q.new_empty(*q.shape[:3], v.shape[-1])
    q, k, v = q.transpose(1, 2), k.permute(0, 2, 3, 1), v.transpose(1, 2)
    scores = q.new_empty(q.shape[1], q.shape[2], k.shape[3])
    for clip in range(len(q)):
        torch.baddbmm(scores, q[clip], k[clip], beta=0, alpha=scale, out=scores)
        if bias is not None:
            scores.add_(bias)
        torch.softmax(scores, -1, out=scores)
        out[clip] = torch.bmm(scores, v[clip]).transpose(0, 1)
    return out


def tile_rows(queries: int, keys: int, threads: int) -> int:
    """Choose how many of `queries` stand in one tile, so that their scores fit into the threads' caches."""
    fit = max(_ROWS, threads * _SCORES // (2 * keys))
    parts = -(-queries // fit)
    # As even as can be: a last tile of a few rows would read all keys for little.
    return -(-queries // parts)


def tiled(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Attend head by head and tile by tile; shapes as in `attention`, returns `[B,N,heads,head_dim]`.

    The scores of one tile are all that is held beside what goes in and comes out.
    """
    batch, queries, heads, _ = q.shape
    keys = k.shape[1]
    rows = tile_rows(queries, keys, torch.get_num_threads())
    out = q.new_empty(batch, queries, heads, v.shape[-1])
    for clip in range(batch):
        for head in range(heads):
            one = k[clip, :, head].contiguous()
            # A layer whose weights are the keys: packed once for all tiles.
            packed = torch.ops.mkldnn._reorder_linear_weight(one, rows)
            values = v[clip, :, head].contiguous()
            some = q[clip, :, head] if scale == 1 else q[clip, :, head] * scale
            for start in range(0, queries, rows):
                tile = some[start : start + rows].contiguous()
                scores = torch.ops.mkldnn._linear_pointwise(tile, packed, None, "none", [], "")
                torch.softmax(scores, -1, out=scores)
                out[clip, start : start + rows, head] = scores @ values
    return out
