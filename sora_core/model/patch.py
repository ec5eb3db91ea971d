"""Spacetime patches: latents to tokens and back, and packing of clips of different shapes into one sequence.

Packing follows NaViT (arXiv 2307.06304): tokens of several clips stand in one sequence, each with the positions
of its own clip, and a mask keeps attention inside each clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from einops import rearrange
from torch import Tensor

from ..errors import SoraError
from .rope import grid_positions

Grid = tuple[int, int, int]


def check_divisible(shape: Sequence[int], patch: Grid) -> Grid:
    """Return the token grid of a latent of `shape` `[...,T,H,W]`. Raises SoraError when a side is no multiple."""
    for name, size, p in zip(("frames", "height", "width"), shape[-3:], patch, strict=True):
        if size % p:
            raise SoraError(f"Latent {name} is {size}, not a multiple of the patch size {p}. Choose another size.")
    (t, h, w), (pt, ph, pw) = shape[-3:], patch
    return t // pt, h // ph, w // pw


def patchify(latent: Tensor, patch: Grid) -> Tensor:
    """Cut a latent `[B,C,T,H,W]` into patches `[B,N,C*pt*ph*pw]`, t slowest.

    Channels lead inside a patch, as in a convolution's weight. Raises SoraError when a side is no multiple of `patch`.
    """
    check_divisible(latent.shape, patch)
    pt, ph, pw = patch
    return rearrange(latent, "b c (t p) (h q) (w r) -> b (t h w) (c p q r)", p=pt, q=ph, r=pw)


def unpatchify(tokens: Tensor, grid: Grid, patch: Grid) -> Tensor:
    """Put patches `[B,N,C*pt*ph*pw]` of a token grid (t, h, w) together again: `[B,C,T,H,W]`.

    Raises SoraError when their number does not fill the grid.
    """
    t, h, w = grid
    pt, ph, pw = patch
    if tokens.shape[1] != t * h * w:
        raise SoraError(f"{tokens.shape[1]} tokens do not fill a grid of {t}x{h}x{w} = {t * h * w}.")
    return rearrange(tokens, "b (t h w) (c p q r) -> b c (t p) (h q) (w r)", t=t, h=h, w=w, p=pt, q=ph, r=pw)


def lay_out(tokens: Tensor, grid: Grid, patch: Grid) -> Tensor:
    """Do what `unpatchify` does with patches in which channels come last, as a transformer's head emits them."""
    t, h, w = grid
    pt, ph, pw = patch
    return rearrange(tokens, "b (t h w) (p q r c) -> b c (t p) (h q) (w r)", t=t, h=h, w=w, p=pt, q=ph, r=pw)


@dataclass(frozen=True)
class PackedPatches:
    """Clips of different shapes in one sequence."""

    tokens: Tensor  # `[1,N,C*pt*ph*pw]`, clip after clip
    positions: Tensor  # `[N,3]`, (t, y, x) of each token in its own clip
    clip: Tensor  # `[N]`, the number of the clip that each token belongs to
    grids: tuple[Grid, ...]  # tokens (t, y, x) of each clip
    patch: Grid  # latents (t, y, x) of one token

    @property
    def sizes(self) -> Tensor:
        """Token grid `[N,3]` of the clip that each token belongs to."""
        return torch.tensor(self.grids, device=self.clip.device)[self.clip]

    @property
    def attention_mask(self) -> Tensor:
        """Boolean `[N,N]`, True where two tokens belong to the same clip."""
        return self.clip[:, None] == self.clip[None, :]

    def replace(self, tokens: Tensor) -> PackedPatches:
        """Copy the packing with other token values `[1,N,D]`."""
        return PackedPatches(tokens, self.positions, self.clip, self.grids, self.patch)


def pack(latents: Sequence[Tensor], patch: Grid) -> PackedPatches:
    """Pack latents `[1,C,T,H,W]`, of any shapes and one C, into a sequence.

    Raises SoraError for none, for different C, and for a side that is no multiple of `patch`.
    """
    if not latents:
        raise SoraError("Nothing to pack: give at least one latent.")
    channels = {x.shape[1] for x in latents}
    if len(channels) > 1 or any(x.ndim != 5 or x.shape[0] != 1 for x in latents):
        raise SoraError(f"Clips to pack must be [1,C,T,H,W] with one C; got {[list(x.shape) for x in latents]}.")
    grids = tuple(check_divisible(x.shape, patch) for x in latents)
    tokens = torch.cat([patchify(x, patch) for x in latents], 1)
    positions = torch.cat([grid_positions(*g) for g in grids]).to(tokens.device)
    sizes = torch.tensor([t * h * w for t, h, w in grids])
    clip = torch.repeat_interleave(torch.arange(len(grids)), sizes).to(tokens.device)
    return PackedPatches(tokens, positions, clip, grids, patch)


def unpack(packed: PackedPatches) -> list[Tensor]:
    """Return the latents `[1,C,T,H,W]` that `pack` was given, in order, with the packing's present values."""
    sizes = [t * h * w for t, h, w in packed.grids]
    parts = packed.tokens.split(sizes, 1)
    return [unpatchify(x, g, packed.patch) for x, g in zip(parts, packed.grids, strict=True)]


COORDINATES = 5  # channels that say where a latent lies, see `coordinate_tokens`


def coordinate_tokens(positions: Tensor, sizes: Tensor, patch: Grid) -> Tensor:
    """Return where each latent of each token lies in its clip: `[N,5*pt*ph*pw]`, laid out as `patchify` does.

    positions: `[N,3]`, (t, y, x) of tokens; sizes: `[N,3]`, the token grid of each token's clip.

    CoordConv's idea (arXiv 1807.03247). Rotary attention sees distances only, and in pure noise nothing says where the
    sky is; a small model should not have to find out. Five channels, all within -1..1 at any size: y and x from edge
    to edge, time as t / (t + 4), and the clip's height and width as n / (n + 16), in latents.
    """
    steps = torch.tensor(patch, device=positions.device)
    inner = grid_positions(*patch).to(positions.device)
    t, y, x = (positions[:, None] * steps + inner).float().unbind(-1)  # each [N, pt*ph*pw]
    _, h, w = (sizes * steps).float()[:, None].expand(-1, len(inner), -1).unbind(-1)
    channels = ((2 * y + 1) / h - 1, (2 * x + 1) / w - 1, t / (t + 4), h / (h + 16), w / (w + 16))
    return torch.stack(channels, 1).flatten(1)


@lru_cache(maxsize=32)
def grid_coordinates(grid: Grid, patch: Grid, device: torch.device) -> Tensor:
    """Compute `coordinate_tokens` `[t*h*w,5*pt*ph*pw]` of a whole grid, once per shape and device."""
    positions = grid_positions(*grid)
    return coordinate_tokens(positions, torch.tensor(grid).expand(len(positions), 3), patch).to(device)
