"""Keep/generate masks on the latent grid and on tokens. 1 (True) = generate, 0 (False) = keep."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import SoraError, expect

Patch = tuple[int, int, int]  # latents (t, y, x) of one token


def to_latent_grid(mask: Tensor, shape: Sequence[int], frames_of: int | Sequence[int] = 4) -> Tensor:
    """Turn a `noise_mask` into bool `[B,1,T,H,W]` for a latent of `shape` `[B,C,T,H,W]`.

    mask: `[B,C or 1,T,H,W]`, or what core nodes make: `[H,W]`, `[T,H,W]`, `[T,1,H,W]` with T the number of latents, of
        video frames, or 1 for all of them. H and W may be pixels. Above 0.5 is generate. A latent is generated if any
        part of what it covers is.
    frames_of: video frames of each latent; or of each but the first, which is one frame.

    Raises SoraError when the number of frames or the batch does not fit.
    """
    batch, _, frames, height, width = shape
    mask = torch.as_tensor(mask)
    expect(2 <= mask.ndim <= 5, f"The noise mask has shape {tuple(mask.shape)}. Use [B,1,T,H,W] or [T,H,W].")
    if mask.ndim < 5:
        mask = mask.reshape(1, 1, -1, *mask.shape[-2:])
    expect(
        mask.shape[0] in (1, batch),
        f"The noise mask is for a batch of {mask.shape[0]}, the latent is a batch of {batch}. Use one mask for each.",
    )
    mask = (mask > 0.5).float().amax(dim=1, keepdim=True)
    length = mask.shape[2]
    if length not in (1, frames):
        counts = [1] + [frames_of] * (frames - 1) if isinstance(frames_of, int) else list(frames_of)
        pixels = sum(counts)
        if length != pixels:
            raise SoraError(
                f"The noise mask covers {length} frames, the latent {frames} ({pixels} video frames). "
                "Make the mask and the latent for the same length."
            )
        mask = torch.stack([part.amax(dim=2) for part in mask.split(counts, dim=2)], dim=2)
    # A mask in pixels shrinks to the cells, and a still's or a smaller one grows: the maximum serves for both.
    mask = F.adaptive_max_pool3d(mask, (mask.shape[2], height, width))
    return mask.bool().expand(batch, 1, frames, height, width)


def token_mask(mask: Tensor, patch: Patch) -> Tensor:
    """Turn bool `[B,1,T,H,W]` into bool tokens `[B,N]` in (t, y, x) order: kept only where all latents are kept."""
    return F.max_pool3d(mask.float(), patch).bool().flatten(1)


def spread_tokens(tokens: Tensor, shape: Sequence[int], patch: Patch) -> Tensor:
    """Turn bool tokens `[B,N]` into bool `[B,1,T,H,W]`, each token's value on all of its latents.

    shape: of the latent, `[...,T,H,W]`.
    """
    grid = [n // p for n, p in zip(shape[-3:], patch, strict=True)]
    mask = tokens.unflatten(1, grid).unsqueeze(1)
    for dim, p in enumerate(patch, start=2):
        mask = mask.repeat_interleave(p, dim=dim)
    return mask


def runs_of(mask: Tensor) -> list[tuple[int, int]]:
    """List the runs of True in a bool `[n]` as (first, end)."""
    edges = F.pad(mask.int(), (1, 1)).diff().nonzero().flatten().tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))
