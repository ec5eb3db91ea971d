"""The blocks of the diffusion transformer, and its sizes: Wan's layers and key names."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from .attention import attention
from .layers import Layers, RMSNorm
from .modulation import Modulation, add_gated, modulated_norm
from .patch import Grid
from .products import feed_forward, inferring, linear
from .reading import TextKeys
from .shards import Shard


@dataclass(frozen=True)
class DiTConfig:
    """Sizes of a `DiT`. The defaults that Wan shares stand here; `sora_core.model.registry` names the models."""

    dim: int  # of a token between blocks
    ffn_dim: int  # inside a block's feed-forward part
    num_heads: int
    num_layers: int  # blocks
    in_dim: int = 16  # channels of a latent
    out_dim: int = 16
    text_dim: int = 4096  # of a token of text
    text_len: int = 512  # tokens of text, to which shorter prompts are padded
    freq_dim: int = 256  # of the sinusoidal embedding of a timestep
    patch_size: Grid = (1, 2, 2)  # latents (t, y, x) of one token
    eps: float = 1e-6
    # Tell every token where in the clip it lies, in extra channels of the patch embedding. Wan does without.
    coordinates: bool = False
    # Channels and blocks of the convolutions behind the transformer, see `detail`. Wan does without.
    detail: int = 0
    detail_blocks: int = 4
    # Width and blocks of the planner of layouts, see `layout`. Wan does without.
    planner: int = 0
    planner_blocks: int = 4

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.dim // self.num_heads


class Attention(nn.Module):
    """Self-attention, or cross-attention to keys and values that are given."""

    # Set by `DiT.share`. Private, so that a model has one fingerprint however many devices share it.
    _shard: Shard | None = None

    def __init__(self, cfg: DiTConfig, ops: Layers = nn) -> None:
        super().__init__()
        self.num_heads = cfg.num_heads
        self.q, self.k, self.v, self.o = (ops.Linear(cfg.dim, cfg.dim) for _ in range(4))
        # Over all heads together, not one by one: Wan's checkpoints hold one gain of `dim` values.
        self.norm_q, self.norm_k = RMSNorm(cfg.dim, cfg.eps), RMSNorm(cfg.dim, cfg.eps)

    def keys(self, context: Tensor, rope: Tensor | None = None) -> TextKeys:
        """Compute keys and values of a context `[B,L,dim]`. Those of a text serve a whole run, so callers keep them."""
        k = self.norm_k.heads(linear(self.k, context), self.num_heads, rope)
        return TextKeys(k, linear(self.v, context).unflatten(-1, (self.num_heads, -1)))

    def forward(
        self,
        x: Tensor,
        rope: Tensor | None = None,
        keys: TextKeys | None = None,
        mask: Tensor | None = None,
        add: Tensor | None = None,
    ) -> Tensor:
        """Attend from tokens `[B,N,dim]` to `keys`, or to themselves at the places of `rope` (see `rope_table`).

        add: `[B,N,dim]`, what the result is added to.
        """
        # Where queries go through a pass of our own they are scaled in it, before they are rounded.
        own, scale = inferring(x), (x.shape[-1] // self.num_heads) ** -0.5
        q = self.norm_q.heads(linear(self.q, x), self.num_heads, rope, scale if own else 1.0)
        k, v, bias, _ = keys if keys is not None else self.keys(x, rope)
        scale = 1.0 if own else scale
        if self._shard is not None:
            made = self._shard.attend(partial(attention, scale=scale), q, k, v, mask)
        else:
            made = attention(q, k, v, mask, scale, bias)
        return linear(self.o, made, add=add)


class Block(nn.Module):
    """Self-attention, cross-attention to text, and a feed-forward part; the timestep modulates the first and the last.

    The norms before those two have no weights of their own: adaLN (arXiv 2212.09748) gives them scale and shift.
    """

    def __init__(self, cfg: DiTConfig, ops: Layers = nn) -> None:
        super().__init__()
        self.eps = cfg.eps
        self.self_attn = Attention(cfg, ops)
        self.norm3 = ops.LayerNorm(cfg.dim, eps=cfg.eps)
        self.cross_attn = Attention(cfg, ops)
        self.ffn = nn.Sequential(
            ops.Linear(cfg.dim, cfg.ffn_dim), nn.GELU(approximate="tanh"), ops.Linear(cfg.ffn_dim, cfg.dim)
        )
        self.modulation = nn.Parameter(torch.randn(1, 6, cfg.dim) / cfg.dim**0.5)

    def forward(
        self,
        x: Tensor,
        e: Modulation | Tensor,
        rope: Tensor,
        text: TextKeys,
        mask: Tensor | None,
        text_mask: Tensor | None,
    ) -> Tensor:
        """Run the block on tokens `x` `[B,N,D]`.

        e: `[K,6,D]`, shift, scale and gate of self-attention, then of the feed-forward part, for each noise level; or
        a tensor `[B,G,6,D]`, for a compiler. text: this block's keys and values; those of n times B texts give n times
        as many clips. Masks as in `attention`.
        """
        e = (Modulation.of(e) if isinstance(e, Tensor) else e).plus(self.modulation)
        y = self.self_attn(modulated_norm(x, e, 0, 1, self.eps), rope, mask=mask)
        x = add_gated(x, y, e, 2)
        if len(text.keys) > len(x):
            # Until here no text was read, so clips that differ in nothing else were one.
            copies = len(text.keys) // len(x)
            x, e = x.repeat(copies, 1, 1), e.repeat(copies)
        if text.digest is not None and text_mask is None and text.digest.suits(x):
            x = text.digest.read(x, self.norm3, self.cross_attn.q)
        else:
            x = self.cross_attn(self.norm3(x), keys=text, mask=text_mask, add=x)
        y = feed_forward(self.ffn, modulated_norm(x, e, 3, 4, self.eps))
        return add_gated(x, y, e, 5, inplace=True)


class Head(nn.Module):
    """Tokens to the velocity of their patch; the timestep modulates it."""

    def __init__(self, cfg: DiTConfig, ops: Layers = nn) -> None:
        super().__init__()
        self.eps = cfg.eps
        self.head = ops.Linear(cfg.dim, cfg.out_dim * math.prod(cfg.patch_size))
        self.modulation = nn.Parameter(torch.randn(1, 2, cfg.dim) / cfg.dim**0.5)

    def forward(self, x: Tensor, e: Modulation, beside: nn.Linear | None = None) -> Tensor:
        """Project tokens `[B,N,D]` to `[B,N,pt*ph*pw*C]`; e: the timestep's vector `[K,1,D]`.

        beside: another projection, whose channels follow.
        """
        x = modulated_norm(x, e.plus(self.modulation), 0, 1, self.eps)
        made = linear(self.head, x)
        return made if beside is None else torch.cat((made, linear(beside, x)), -1)
