"""Rotary position embedding over (t, y, x), as Wan lays it out (RoFormer, arXiv 2104.09864, in three axes)."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


def axis_dims(head_dim: int) -> tuple[int, int, int]:
    """Share a head's channels among t, y, x: y and x get `2 * (head_dim // 6)` each, t the rest."""
    side = 2 * (head_dim // 6)
    return head_dim - 2 * side, side, side


def grid_positions(t: int, h: int, w: int, start: tuple[int, int, int] = (0, 0, 0)) -> Tensor:
    """List the integer positions `[t*h*w,3]` (t, y, x) of a token grid from `start` on, t slowest."""
    axes = (torch.arange(n) + s for n, s in zip((t, h, w), start, strict=True))
    return torch.cartesian_prod(*axes)


def rope_table(positions: Tensor, head_dim: int, theta: float = 10_000.0) -> Tensor:
    """Compute cosine and sine `[...,N,head_dim/2,2]` of each channel pair's angle at positions `[...,N,3]`.

    RoFormer's eq. 15 (arXiv 2104.09864), with t, y and x each turning channels of their own.
    """
    angles = []
    for axis, dim in enumerate(axis_dims(head_dim)):
        # Each axis has the whole range of rates to itself. In float64 as Wan has it: positions times rates lose bits.
        rates = theta ** (-torch.arange(0, dim, 2, dtype=torch.float64, device=positions.device) / dim)
        angles.append(positions[..., axis, None].double() * rates)
    angle = torch.cat(angles, -1)
    return torch.stack((angle.cos(), angle.sin()), -1).float()


@lru_cache(maxsize=32)
def grid_table(t: int, h: int, w: int, head_dim: int, device: torch.device) -> Tensor:
    """Compute `rope_table` `[N,head_dim/2,2]` of a whole grid, once per shape and device."""
    return rope_table(grid_positions(t, h, w), head_dim).to(device)


def apply_rope(x: Tensor, table: Tensor) -> Tensor:
    """Rotate `x` `[B,N,heads,head_dim]`, channels paired (0,1), (2,3), ..., by a table `[N or B,N, head_dim/2, 2]`.

    In float32 whatever the precision of `x`, which is that of the result.
    """
    cos, sin = (table[..., i].unsqueeze(-2) for i in (0, 1))
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2).to(x.dtype)
