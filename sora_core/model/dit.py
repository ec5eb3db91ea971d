"""The diffusion transformer: Wan's layers, key names and arithmetic, with one timestep per token.

DiT (arXiv 2212.09748) with adaLN modulation shared across blocks plus a learned offset per block
(PixArt-alpha, arXiv 2310.00426), cross-attention to text, QK norm over all heads together, and 3-D RoPE. The
module tree reproduces the key layout of the published Wan 2.1 / 2.2 text-to-video checkpoints.

Tokens are ordered t, y, x. A timestep belongs to a *group* of consecutive tokens: one group for the whole clip,
one per latent frame, or one per token; all three run through the same code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import SoraError
from .attention import attention
from .detail import Detailer
from .layers import Layers, RMSNorm, is_compiled
from .modulation import Groups, Modulation, add_gated, modulated_norm, timestep_embedding
from .patch import (
    COORDINATES,
    Grid,
    check_divisible,
    coordinate_tokens,
    grid_coordinates,
    lay_out,
    patchify,
    unpatchify,
)
from .products import feed_forward, inferring, linear, product
from .reading import TextKeys, merge_padding, read_text
from .rope import grid_table, rope_table
from .shards import Shard, Tokens


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


class DiT(nn.Module):
    """The velocity `eps - x0` of a noised latent. ComfyUI passes layers of its own as `ops`.

    Raises SoraError when the heads do not divide the width.
    """

    shares_clips = True  # one clip with several texts need not be repeated, see `run`

    def __init__(self, config: DiTConfig, ops: Layers = nn) -> None:
        super().__init__()
        if config.dim % config.num_heads or config.head_dim % 2:
            raise SoraError(f"dim {config.dim} does not split into {config.num_heads} heads of even size.")
        self.config = config
        dim, patch = config.dim, config.patch_size
        channels = config.in_dim + (COORDINATES if config.coordinates else 0)
        self.patch_embedding = ops.Conv3d(channels, dim, kernel_size=patch, stride=patch)
        self.text_embedding = nn.Sequential(
            ops.Linear(config.text_dim, dim), nn.GELU(approximate="tanh"), ops.Linear(dim, dim)
        )
        self.time_embedding = nn.Sequential(ops.Linear(config.freq_dim, dim), nn.SiLU(), ops.Linear(dim, dim))
        self.time_projection = nn.Sequential(nn.SiLU(), ops.Linear(dim, dim * 6))
        self.blocks = nn.ModuleList(Block(config, ops) for _ in range(config.num_layers))
        self.head = Head(config, ops)
        self.detail = Detailer(config, ops) if config.detail else None

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.patch_embedding.weight.dtype

    @property
    def compute_dtype(self) -> torch.dtype:
        """Precision of activations; a host that casts weights as they are used overrides it."""
        return self.dtype

    # -- pieces that do not change over the steps of a run ---------------------------------------------------
    def text_keys(self, context: Tensor, merge: bool = True) -> list[TextKeys]:
        """Compute every block's cross-attention keys and values for `context` `[B,L,text_dim]`, L <= text_len.

        Shorter contexts are padded with zeros to text_len and attended without a mask, as Wan does. merge: the padding
        may be made one token where that is faster. Raises SoraError for another width, and for a longer context.
        """
        cfg = self.config
        if context.ndim != 3 or context.shape[2] != cfg.text_dim:
            raise SoraError(
                f"The conditioning has shape {list(context.shape)}; this model reads [B,L,{cfg.text_dim}]. "
                "Encode the prompt with the text encoder that belongs to the model."
            )
        if context.shape[1] > cfg.text_len:
            raise SoraError(f"The conditioning has {context.shape[1]} tokens; this model reads {cfg.text_len}.")
        bias, silent = None, None
        if merge and inferring(context):
            silent = ~(context != 0).flatten(1).any(1)
            context, bias = merge_padding(context, cfg.text_len)
        else:
            context = F.pad(context, (0, 0, 0, cfg.text_len - context.shape[1]))
        first, _, second = self.text_embedding
        embedded = linear(second, linear(first, context.to(self.compute_dtype), gelu=True))
        # A ModuleList knows its entries as modules only.
        return [read_text(cast(Block, block).cross_attn, embedded, bias, silent) for block in self.blocks]

    def time_vectors(self, t: Tensor) -> tuple[Modulation, Modulation]:
        """Embed timesteps `[B,G]` in 0..1000: the head's vector `[K,1,D]` and the blocks' `[K,6,D]`."""
        # Few distinct values however many groups: embed each once.
        if t.numel() > 64 or inferring(t):
            levels, index = torch.unique(t, return_inverse=True)
            groups = Groups(index, in_order=False)
        else:
            levels = t.flatten()
            groups = Groups(torch.arange(len(levels), device=t.device).view(t.shape), in_order=True)
        e = self.time_embedding(timestep_embedding(levels, self.config.freq_dim).to(self.compute_dtype))
        e6 = self.time_projection(e).unflatten(-1, (6, -1))
        return Modulation(e.unsqueeze(1), groups), Modulation(e6, groups)

    # -- forward ---------------------------------------------------------------------------------------------
    _shard: Shard | None = None

    def share(self, shard: Shard | None) -> None:
        """Run `forward` on this process's tokens alone, which `shard` exchanges with others; None: on all tokens.

        Raises SoraError where the blocks are compiled: they hold no exchange.
        """
        if shard is not None and any(map(is_compiled, self.blocks)):
            raise SoraError("A compiled model runs on one device: share it among several without compiling.")
        self._shard = shard
        for block in self.blocks:
            cast(Block, block).self_attn._shard = shard

    def embed(self, tokens: Tensor, coordinates: Tensor) -> Tensor:
        """Embed patches `[B,N,C*pt*ph*pw]` as tokens `[B,N,dim]`.

        `coordinates` `[N,5*pt*ph*pw]` join the patches where the config has them.
        """
        if self.config.coordinates:
            tokens = torch.cat((tokens, coordinates.to(tokens.dtype).expand(len(tokens), -1, -1)), -1)
        return self.project(tokens)

    def project(self, tokens: Tensor) -> Tensor:
        """Project patches `[B,N,...]` to `[B,N,dim]`; a host that fetches weights as they are used overrides it."""
        # A convolution whose stride is its kernel is a matrix product, and so works on packed clips of any shapes.
        w, b = self.patch_embedding.weight, self.patch_embedding.bias
        return product(tokens.to(w.dtype), w.flatten(1), b)

    def run(
        self,
        x: Tensor,
        t: Tensor,
        rope: Tensor,
        text: list[TextKeys],
        mask: Tensor | None = None,
        text_mask: Tensor | None = None,
        taps: tuple[int, ...] = (),
    ) -> tuple[Tensor, list[Tensor]]:
        """Run blocks and head on embedded tokens `[B,N,dim]`: what the head gives `[B,N,pt*ph*pw*C]`, and features.

        With a detailer, what it is told of the tokens follows in more channels.

        text: of B clips, or of n times B: then each clip is run with n texts, all clips with the first text first.
        taps: numbers of blocks, from 1, after which the tokens are such features.
        """
        e, e6 = self.time_vectors(t)
        features = []
        for number, (block, keys) in enumerate(zip(self.blocks, text, strict=True), 1):
            count = len(x)
            plain = not inferring(x) or is_compiled(block)
            x = block(x, e6.spread() if plain else e6, rope, keys, mask, text_mask)
            if len(x) > count:
                e, e6 = e.repeat(len(x) // count), e6.repeat(len(x) // count)
            if number in taps:
                features.append(x)
        return self.head(x, e, None if self.detail is None else self.detail.tokens), features

    def groups(self, t: Tensor, batch: int, tokens: int) -> Tensor:
        """Expand timesteps `[B]`, `[1,G]` or `[B,G]` to `[B,G]`. Raises SoraError unless G divides the tokens."""
        t = t[:, None] if t.ndim == 1 else t
        if t.ndim != 2 or t.shape[0] not in (1, batch) or tokens % t.shape[1]:
            raise SoraError(f"Timesteps {list(t.shape)} do not fit {batch} clips of {tokens} tokens: use [B] or [B,N].")
        return t.expand(batch, -1)

    def forward_tokens(
        self,
        tokens: Tensor,
        positions: Tensor,
        sizes: Tensor,
        t: Tensor,
        context: Tensor,
        attn_mask: Tensor | None = None,
        text_mask: Tensor | None = None,
    ) -> Tensor:
        """Compute the velocity of patches `[B,N,C*pt*ph*pw]`, laid out as `patchify` does.

        positions: `[N,3]`, of each token in its clip; sizes: `[N,3]`, the token grid of its clip
        (`PackedPatches.sizes`). t: as in `forward`. context: `[B,L,text_dim]`. attn_mask: bool `[N,N]`, and text_mask:
        bool `[N,L]`, True = attend, keep packed clips to themselves and to their prompts. Raises SoraError for tokens
        that are not whole clips.
        """
        x = self.embed(tokens, coordinate_tokens(positions, sizes, self.config.patch_size))
        rope = rope_table(positions, self.config.head_dim).to(x.device)
        mask = text_mask[None, None] if text_mask is not None else None
        out, _ = self.run(
            x, self.groups(t, *tokens.shape[:2]), rope, self.text_keys(context, text_mask is None), attn_mask, mask
        )
        # Clips follow each other, and each begins with its first token.
        firsts = (positions == 0).all(1).nonzero().flatten().tolist()
        if firsts[:1] != [0]:
            raise SoraError("The first token is none that a clip begins with: give whole clips, one after the other.")
        made = []
        for first, end in zip(firsts, [*firsts[1:], len(positions)], strict=True):
            grid = cast(Grid, tuple(sizes[first].tolist()))
            x = unpatchify(tokens[:, first:end], grid, self.config.patch_size)
            made.append(patchify(self.joined(out[:, first:end], x, grid), self.config.patch_size))
        return torch.cat(made, 1)

    def joined(self, out: Tensor, x: Tensor, grid: Grid) -> Tensor:
        """Make the velocity `[B,C,T,H,W]` of what `run` gives `[B,N,...]`; x: the latent, grid: its tokens."""
        patch = self.config.patch_size
        if self.detail is None:
            return lay_out(out, grid, patch)
        split = self.config.out_dim * math.prod(patch)
        v, plan = lay_out(out[..., :split], grid, patch), lay_out(out[..., split:], grid, patch)
        return v + self.detail(x.repeat(len(v) // len(x), 1, 1, 1, 1), plan)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        context: Tensor | None = None,
        text: list[TextKeys] | None = None,
        taps: tuple[int, ...] = (),
        text_mask: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Compute the velocity `[B,C,T,H,W]` of a noised latent `[B,C,T,H,W]`; with `taps` also features, see `run`.

        t: timesteps in 0..1000, `[B]`, `[B,T]` or `[B,N]`. Text comes as `context` `[B,L,text_dim]`, or as `text` from
        `text_keys` to reuse its work. With n times B texts each latent is run with n of them, see `run`. text_mask:
        bool `[N,L]` or `[B,N,L]`, True = attend, lets tokens read parts of it. Raises SoraError when shapes do not fit
        the model.
        """
        cfg = self.config
        if x.ndim != 5 or x.shape[1] != cfg.in_dim:
            raise SoraError(f"The latent has shape {list(x.shape)}; this model denoises [B,{cfg.in_dim},T,H,W].")
        grid = check_divisible(x.shape, cfg.patch_size)
        patches, where = patchify(x, cfg.patch_size), grid_coordinates(grid, cfg.patch_size, x.device)
        if text is None:
            if context is None:
                raise SoraError("The model was given no text: pass context, or text from text_keys.")
            # Who masks the text counts its tokens.
            text = self.text_keys(context) if text_mask is None else self.text_keys(context, merge=False)
        rope = grid_table(*grid, cfg.head_dim, x.device)
        mask = text_mask
        if mask is not None:
            mask = mask[:, None] if mask.ndim == 3 else mask[None, None]
        texts = len(text[0].keys) if text else len(x)
        if texts % len(x) and texts > 1:
            raise SoraError(f"{texts} texts do not fit {len(x)} latents: use one for all, or the same number for each.")
        times = self.groups(t, *patches.shape[:2])
        if self._shard is not None:
            patches, where, rope, times, mask = self._shard.part(Tokens(patches, where, rope, times, mask))
        out, features = self.run(self.embed(patches, where), times, rope, text, text_mask=mask, taps=taps)
        if self._shard is not None:
            out, *features = self._shard.whole(out, *features)
        v = self.joined(out, x, grid)
        return (v, features) if taps else v
