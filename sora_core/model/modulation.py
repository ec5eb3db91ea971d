"""What stands between the matrix products of a block: norms, modulation, gates and rotation.

With gradients, and on a GPU, each is written as the papers have it. Without them, on a CPU, memory is what they wait
for: there a norm takes scale and shift along in one pass, and the rest goes through a few rows at a time, which stay in
the cache from the first operation to the last.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from .products import inferring
from .rope import apply_rope

_PIECE = 1 << 17  # numbers a thread: half a megabyte of float32, with room for a second of its kind
_RUNS = 64  # of tokens at one noise level; with more, each token's modulation is looked up


def timestep_embedding(t: Tensor, dim: int) -> Tensor:
    """Embed timesteps `[...]` in 0..1000 as `[...,dim]`: cosines, then sines, of geometrically spaced rates.

    Vaswani et al. 2017 (arXiv 1706.03762), section 3.5, with Wan's order of the two halves.
    """
    half = dim // 2
    # In float64, as Wan computes it: near 1000 a float32 angle is exact to four decimals only.
    rates = torch.exp(-math.log(10_000) * torch.arange(half, dtype=torch.float64, device=t.device) / half)
    angle = t[..., None].double() * rates
    return torch.cat((angle.cos(), angle.sin()), -1).float()


@dataclass(frozen=True)
class Groups:
    """Which noise level each group of tokens is at."""

    index: Tensor  # `[B,G]`, numbers of levels
    in_order: bool  # whether they count up, one level a group

    @cached_property
    def changes(self) -> tuple[tuple[int, int], ...]:
        """List where in the index, flattened, a level begins, and which; nothing where there are too many."""
        flat = self.index.flatten()
        starts = torch.cat((flat.new_zeros(1), (flat[1:] != flat[:-1]).nonzero().flatten() + 1))
        if len(starts) > _RUNS:
            return ()
        return tuple(zip(starts.tolist(), flat[starts].tolist(), strict=True))


@dataclass(frozen=True)
class Modulation:
    """Vectors that depend on the timestep: once for each noise level, however many tokens are at it."""

    levels: Tensor  # `[K,...]`
    groups: Groups

    @classmethod
    def of(cls, vectors: Tensor) -> Modulation:
        """Make it of vectors `[B,G,...]`, one level a group."""
        shape = vectors.shape[:2]
        return cls(vectors.flatten(0, 1), Groups(torch.arange(shape.numel(), device=vectors.device).view(shape), True))

    def plus(self, offset: Tensor) -> Modulation:
        """Add a learned offset `[1,...]` to every level, in float32."""
        return Modulation(self.levels.float() + offset.float(), self.groups)

    def repeat(self, count: int) -> Modulation:
        """Return the same for `count` copies of the batch, one after the other."""
        return Modulation(self.levels, Groups(self.groups.index.repeat(count, 1), in_order=False))

    def spread(self) -> Tensor:
        """Return the vectors of each group `[B,G,...]`."""
        if self.groups.in_order:
            return self.levels.unflatten(0, self.groups.index.shape)
        return self.levels[self.groups.index]

    def runs(self, tokens: int) -> tuple[tuple[slice, int | Tensor], ...]:
        """List runs of `tokens`, all clips' one after the other, and each run's level, or its tokens' levels."""
        changes, count = self.groups.changes, self.groups.index.numel()
        each = tokens // count
        if not changes:
            return ((slice(0, tokens), self.groups.index.flatten().repeat_interleave(each)),)
        ends = [*(start for start, _ in changes[1:]), count]
        return tuple(
            (slice(start * each, end * each), level) for (start, level), end in zip(changes, ends, strict=True)
        )


def pieces(start: int, end: int, width: int) -> Iterator[slice]:
    """Cut rows of `width` numbers into pieces that fit into the threads' caches."""
    rows = max(1, torch.get_num_threads() * _PIECE // width)
    for at in range(start, end, rows):
        yield slice(at, min(at + rows, end))


def _grouped(x: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
    """View tokens `[B,N,D]` as `[B,G,N/G,D]` and modulation `[B,G,D]` as `[B,G,1,D]`."""
    return x.unflatten(1, (e.shape[1], -1)), e.unsqueeze(2)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Scale tokens `[B,N,D]` by `1 + scale` and add `shift`, both `[B,G,D]`: one for each group of tokens."""
    y, scale = _grouped(x, scale)
    return (y * (1 + scale) + shift.unsqueeze(2)).flatten(1, 2)


def gate(x: Tensor, g: Tensor) -> Tensor:
    """Multiply tokens `[B,N,D]` by the gate `[B,G,D]` of their group."""
    y, g = _grouped(x, g)
    return (y * g).flatten(1, 2)


def modulated_norm(x: Tensor, e: Modulation, shift: int, scale: int, eps: float) -> Tensor:
    """Normalise tokens `[B,N,D]` in float32 and modulate them; shift, scale: which of the vectors of `e` `[K,n,D]`."""
    width = x.shape[-1:]
    if not inferring(x):
        vectors = e.spread()
        y = F.layer_norm(x.float(), width, eps=eps)
        return modulate(y, vectors[..., shift, :], vectors[..., scale, :]).to(x.dtype)
    gains, shifts = 1 + e.levels[:, scale], e.levels[:, shift]
    flat = x.reshape(-1, *width)
    runs = e.runs(len(flat))
    out = torch.empty_like(flat) if len(runs) > 1 or not isinstance(runs[0][1], int) else flat
    for run, level in runs:
        if isinstance(level, int):
            # A norm with weights: those are the level's.
            y = F.layer_norm(flat[run], width, gains[level], shifts[level], eps)
            if len(runs) == 1:
                return y.view(x.shape)
            out[run] = y
            continue
        for piece in pieces(run.start, run.stop, *width):
            y = F.layer_norm(flat[piece].float(), width, eps=eps)
            out[piece] = y.mul_(gains[level[piece]]).add_(shifts[level[piece]])
    return out.view(x.shape)


def add_gated(x: Tensor, y: Tensor, e: Modulation, which: int, inplace: bool = False) -> Tensor:
    """Add `y`, times the gate that is vector `which` of `e` `[K,n,D]`, to tokens `x` `[B,N,D]`.

    inplace: `x` is the caller's own, and may be written over where no gradients are wanted.
    """
    if not inferring(x):
        return x + gate(y, e.spread()[..., which, :]).to(x.dtype)
    width, gates = x.shape[-1], e.levels[:, which]
    out = x if inplace and x.is_contiguous() else torch.empty(x.shape, dtype=x.dtype)
    a, b, c = (z.reshape(-1, width) for z in (x, y, out))
    for run, level in e.runs(len(a)):
        for piece in pieces(run.start, run.stop, width):
            g = gates[level] if isinstance(level, int) else gates[level[piece]]
            if x.dtype == torch.float32:
                torch.addcmul(a[piece], b[piece], g, out=c[piece])
            else:
                c[piece] = b[piece].float().mul_(g).add_(a[piece])
    return out


def turned_heads(x: Tensor, weight: Tensor, eps: float, heads: int, rope: Tensor | None, scale: float = 1.0) -> Tensor:
    """Divide `x` `[B,N,D]` by its root mean square, times gains `weight` `[D]`, and turn its heads by `rope`.

    Returns `[B,N,heads,D/heads]`, times `scale`.
    """
    if not inferring(x):
        y = x.float()
        y = (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + eps) * weight).to(x.dtype).unflatten(-1, (heads, -1))
        y = y if rope is None else apply_rope(y, rope)
        return y if scale == 1 else y * scale
    batch, count, width = x.shape
    gains = weight.float() * scale
    turns = None if rope is None else torch.view_as_complex(rope.contiguous()).unsqueeze(-2)
    # Head by head in memory, as attention reads them.
    out = x.new_empty(batch, heads, count, width // heads).transpose(1, 2)
    for piece in pieces(0, count, batch * width):
        y = x[:, piece].float()
        mean = torch.linalg.vector_norm(y, dim=-1, keepdim=True).square_().div_(width).add_(eps)
        y = (y * mean.rsqrt_()).mul_(gains).unflatten(-1, (heads, -1))
        if turns is not None:
            torch.view_as_complex(y.unflatten(-1, (-1, 2))).mul_(turns[..., piece, :, :])
        out[:, piece] = y
    return out
