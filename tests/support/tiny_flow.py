"""A tiny velocity model of one's own: per-token time, text, and neighbours that matter; nothing is mocked."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import nn

CHANNELS, WIDTH, PATCH = 4, 6, (1, 2, 2)


class TinyFlow(nn.Module):
    """Velocity from the latent, each token's time, and the mean of the text. Records what it was given."""

    def __init__(self, seed: int = 0):
        super().__init__()
        self.config = SimpleNamespace(in_dim=CHANNELS, out_dim=CHANNELS, patch_size=PATCH, text_dim=WIDTH)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.mix = nn.Conv3d(CHANNELS, CHANNELS, 3, padding=1)
            self.text = nn.Linear(WIDTH, CHANNELS)
        self.seen: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def forward(self, x, t, context):
        self.seen.append((x.clone(), t.clone(), context.clone()))
        if t.ndim == 2:
            grid = [n // p for n, p in zip(x.shape[2:], PATCH, strict=True)]
            t = t.unflatten(1, grid)[:, None]
            for dim, p in enumerate(PATCH, start=2):
                t = t.repeat_interleave(p, dim=dim)
        else:
            t = t.view(-1, 1, 1, 1, 1)
        drive = self.text(context.mean(dim=1))[..., None, None, None]
        return torch.tanh(self.mix(x)) * (0.5 + t / 1000) + drive + 0.3 * x


def latent(seed: int = 0, batch: int = 2, frames: int = 3, size: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, CHANNELS, frames, size, size, generator=generator)


def conditioning(seed: int, length: int = 5, width: int = WIDTH, batch: int = 1, **options) -> list:
    generator = torch.Generator().manual_seed(100 + seed)
    return [[torch.randn(batch, length, width, generator=generator), options]]
