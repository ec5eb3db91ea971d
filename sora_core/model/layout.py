"""Where subjects are, decided before the first step: a layout that is planned from the prompt, and told to the tokens.

In pure noise every token has to guess where the subject will be, and a small transformer's tokens do not all guess
alike: shapes tear. So the place is decided first, by a network of its own that is far smaller, as systems that plan
layouts by a language model do (LLM-grounded Video Diffusion, arXiv 2309.17444). Each token is then told which part of
which subject it shows, GLIGEN's grounding (arXiv 2301.07093) with positions in the place of words.

A layout is `[B,T,SLOTS,FIGURES]`: for each latent and each of the subjects, in the order in which a prompt names them,
x and y of its middle (0..1 of the frame), its size (of the frame's shorter side), which way it faces (-1 left, 1
right), its way a frame (x, y, of its own size), how much of it is seen (0..1) and whether it is there (0 or 1).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layers import Layers
from .modulation import timestep_embedding
from .patch import Grid

if TYPE_CHECKING:
    from .dit import DiTConfig

SLOTS = 2  # subjects that a layout has room for
FIGURES = 8  # of each: x, y, size, facing, way x, way y, seen, there
UNTOLD = -1.0  # all figures of a latent whose places are left to the tokens
LONGEST = 9  # latents that the planner learned to plan at once
_WAVES = (1, 2)  # half turns of the waves that tell a part of a subject from another, over its size
_CHANNELS = 3 + 4 * len(_WAVES) + 5  # that a token is told of each subject
_EDGE, _SOFT = 0.8, 12.0  # where a subject's surroundings end, in its sizes, and how sharply
_SMALLEST = 0.05

# What the planner sees: figures times scale plus shift are about -2..2.
_SCALES = (4.0, 4.0, 6.0, 1.0, 8.0, 8.0, 2.0, 2.0)
_SHIFTS = (-2.0, -2.0, -2.4, 0.0, 0.0, 0.0, -1.0, -1.0)
_STEPS = 5  # of the planner's flow
# Share of the first latent's noise in the variance of the others': a subject's size and side are decided once, and its
# way is smooth (mixed noise of PYoCo, arXiv 2305.10474, eq. 4).
_SHARED = 0.95
_STILL = 0.12  # of the frame, what a subject that stays may move in a plan, or change in size
_EMBEDDED = 64  # channels of its sinusoids


class LayoutEmbedding(nn.Module):
    """Tells tokens of a layout: what is added to their embedding."""

    def __init__(self, dim: int, ops: Layers = nn) -> None:
        super().__init__()
        self.stem, self.head = ops.Linear(1 + SLOTS * _CHANNELS, dim), ops.Linear(dim, dim)

    def forward(self, layout: Tensor, grid: Grid) -> Tensor:
        """Embed a layout `[B,T,SLOTS,FIGURES]` for a grid of (T, h, w) tokens: `[B,T*h*w,dim]`."""
        told = token_channels(layout, grid)
        told = torch.cat((torch.ones_like(told[..., :1]), told), -1).to(layout.dtype)
        made: Tensor = self.head(F.silu(self.stem(told)))
        untold = (layout == UNTOLD).flatten(2).all(2)
        return made * (~untold).to(made.dtype).repeat_interleave(grid[1] * grid[2], 1)[..., None]


def token_channels(layout: Tensor, grid: Grid) -> Tensor:
    """Compute what each token is told of each subject, `[B,T*h*w,SLOTS*channels]`; nothing far away from it.

    That is, the part of the subject that it shows as waves over the subject's size, and the subject's own figures.
    """
    _, h, w = grid
    layout = layout.float()
    x, y, size, facing, way_x, way_y, seen, there = layout[:, :, None, None].unbind(-1)
    size = size.clamp(min=_SMALLEST)
    side, device = min(h, w), layout.device
    across = ((torch.arange(w, device=device) + 0.5) / w).view(1, 1, 1, w, 1)
    down = ((torch.arange(h, device=device) + 0.5) / h).view(1, 1, h, 1, 1)
    u, v = torch.broadcast_tensors((across - x) * (w / side) / size, (down - y) * (h / side) / size)
    near = torch.sigmoid((_EDGE - torch.maximum(u.abs(), v.abs())) * _SOFT) * there
    channels = [torch.ones_like(u), u, v]
    for turns in _WAVES:
        for place in (u, v):
            channels += [torch.sin(math.pi * turns * place), torch.cos(math.pi * turns * place)]
    channels += [figure.expand_as(u) for figure in (size, facing, 4 * way_x, 4 * way_y, seen)]
    return (torch.stack(channels, -1) * near[..., None]).flatten(4).flatten(1, 3)


def _norm(x: Tensor) -> Tensor:
    """Normalise the last axis, without weights."""
    return F.layer_norm(x, x.shape[-1:])


class _PlannerBlock(nn.Module):
    """Attention among the latents, attention to the prompt, and a feed-forward part."""

    def __init__(self, dim: int, heads: int, text_dim: int, ops: Layers) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = ops.Linear(dim, 3 * dim), ops.Linear(dim, dim)
        self.query, self.text, self.read = ops.Linear(dim, dim), ops.Linear(text_dim, 2 * dim), ops.Linear(dim, dim)
        self.wide, self.narrow = ops.Linear(dim, 4 * dim), ops.Linear(4 * dim, dim)

    def forward(self, x: Tensor, told: Tensor, text: Tensor, words: Tensor) -> Tensor:
        """Run the block on `[B,T,dim]`.

        told: added before each part. text: `[B,L,2*dim]`, keys and values of the prompt; words: bool `[B,1,1,L]`, True
        = attend.
        """
        q, k, v = self.qkv(_norm(x) + told).chunk(3, -1)
        x = x + self.out(self._attend(q, k, v, None))
        k, v = text.chunk(2, -1)
        x = x + self.read(self._attend(self.query(_norm(x) + told), k, v, words))
        return x + self.narrow(F.gelu(self.wide(_norm(x) + told), approximate="tanh"))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


class LayoutPlanner(nn.Module):
    """Plans layouts from prompts: rectified flow (arXiv 2209.03003) over a layout's figures."""

    def __init__(self, dim: int, blocks: int, text_dim: int, ops: Layers = nn) -> None:
        super().__init__()
        self.dim = dim
        self.stem = ops.Linear(SLOTS * FIGURES, dim)
        # Of the noise level, the time, the length and the shape of the frame.
        self.time = nn.Sequential(ops.Linear(4 * _EMBEDDED, dim), nn.SiLU(), ops.Linear(dim, dim))
        self.blocks = nn.ModuleList(_PlannerBlock(dim, max(1, dim // 32), text_dim, ops) for _ in range(blocks))
        self.head = ops.Linear(dim, SLOTS * FIGURES)

    def read(self, context: Tensor) -> tuple[list[Tensor], Tensor]:
        """Read a prompt `[B,L,text_dim]`, zero behind its end: each block's keys and values, and which are words."""
        words = (context != 0).any(-1)
        length = max(1, int(words.any(0).nonzero().max()) + 1) if bool(words.any()) else 1
        context, words = context[:, :length], words[:, :length]
        words = (words | ~words.any(-1, keepdim=True))[:, None, None]  # without any, what stands for none is read
        return [block.text(context) for block in self._blocks()], words

    def _blocks(self) -> list[_PlannerBlock]:
        # A ModuleList knows its entries as modules only.
        return [cast(_PlannerBlock, block) for block in self.blocks]

    def forward(self, x: Tensor, level: Tensor, context: Tensor, aspect: float) -> Tensor:
        """Predict the velocity `[B,T,SLOTS*FIGURES]` of noised figures.

        level: `[B]` in 0..1. context: `[B,L,text_dim]`, zero behind its end. aspect: width over height.
        """
        return self.step(x, level, *self.read(context), aspect)

    def step(self, x: Tensor, level: Tensor, texts: list[Tensor], words: Tensor, aspect: float) -> Tensor:
        """Do what `forward` does with a prompt that `read` has read."""
        length = x.shape[1]
        clock = torch.arange(length, device=x.device) / LONGEST
        shape = x.new_tensor((length / LONGEST, (math.log2(aspect) + 2) / 4)).expand(length, 2)
        told = torch.cat((clock[:, None].to(x.dtype), shape), 1).expand(len(x), -1, -1)
        told = torch.cat((level.view(-1, 1, 1).expand(-1, length, 1).to(x.dtype), told), -1)
        told = self.time(timestep_embedding(1000 * told, _EMBEDDED).flatten(2).to(x.dtype))
        y = self.stem(x)
        for block, text in zip(self._blocks(), texts, strict=True):
            y = block(y, told, text, words)
        made: Tensor = self.head(_norm(y))
        return made

    @torch.no_grad()
    def plan(self, noise: Tensor, context: Tensor, aspect: float) -> Tensor:
        """Make layouts `[B,T,SLOTS,FIGURES]` of unit noise `[B,T,SLOTS*FIGURES]` by Euler's method.

        Who is there follows from the prompt alone, and so from what is expected of pure noise: few steps of a small
        network would leave the two values of a draw between each other.
        """
        x, read = mixed_noise(noise), self.read(context)
        for step in range(_STEPS):
            level = x.new_full((len(x),), 1 - step / _STEPS)
            v = self.step(x, level, *read, aspect)
            if step == 0:
                there = (x - v).unflatten(-1, (SLOTS, FIGURES))[..., -1:]
            x = x - v / _STEPS
        return read_figures(torch.cat((x.unflatten(-1, (SLOTS, FIGURES))[..., :-1], there), -1))


def stays(layout: Tensor) -> Tensor:
    """Tell of which clips of layouts `[B,T,SLOTS,FIGURES]` the one subject stays where it is, and as large: bool `[B]`.

    Tokens place such a one well by themselves, and what befalls it (a bite, a fall) is not foreseen by a plan.
    """
    lone = layout[:, :, 1:, -1].flatten(1).sum(1) == 0
    first = layout[:, :, 0, :3]
    moves = (first.amax(1) - first.amin(1)).amax(-1)
    return lone & (moves < _STILL)


def mixed_noise(noise: Tensor) -> Tensor:
    """Turn unit noise `[B,T,C]` into what the planner begins with, whose latents are alike for the most part."""
    first, others = noise[:, :1], noise[:, 1:]
    return torch.cat((first, _SHARED**0.5 * first + (1 - _SHARED) ** 0.5 * others), 1)


def write_figures(layout: Tensor) -> Tensor:
    """Turn layouts `[...,SLOTS,FIGURES]` into what the planner's flow ends in, `[...,SLOTS*FIGURES]`."""
    return (layout * layout.new_tensor(_SCALES) + layout.new_tensor(_SHIFTS)).flatten(-2)


def read_figures(x: Tensor) -> Tensor:
    """Turn figures `[...,SLOTS,FIGURES]` of the flow's end into a layout that can be."""
    layout = (x - x.new_tensor(_SHIFTS)) / x.new_tensor(_SCALES)
    place, size, facing, way, seen, there = layout.split((2, 1, 1, 2, 1, 1), -1)
    return torch.cat(
        (place, size.clamp(_SMALLEST, 1.5), facing.clamp(-1, 1).round(), way, seen.clamp(0, 1), (there > 0.5).to(x)), -1
    )


class Layout(nn.Module):
    """What a transformer knows of layouts: how to plan them, and how to tell its tokens."""

    def __init__(self, cfg: DiTConfig, ops: Layers = nn) -> None:
        super().__init__()
        self.embedding = LayoutEmbedding(cfg.dim, ops)
        self.planner = LayoutPlanner(cfg.planner, cfg.planner_blocks, cfg.text_dim, ops)
