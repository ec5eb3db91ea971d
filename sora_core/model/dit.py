"""The diffusion transformer: Wan's layers, key names and arithmetic, with one timestep per token.

DiT (arXiv 2212.09748) with adaLN modulation shared across blocks plus a learned offset per block
(PixArt-alpha, arXiv 2310.00426), cross-attention to text, QK norm over all heads together, and 3-D RoPE. The
module tree reproduces the key layout of the published Wan 2.1 / 2.2 text-to-video checkpoints.

Tokens are ordered t, y, x. A timestep belongs to a *group* of consecutive tokens: one group for the whole clip,
one per latent frame, or one per token; all three run through the same code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import SoraError
from .block import Block, DiTConfig, Head
from .detail import Detailer
from .layers import Layers, is_compiled
from .layout import FIGURES, LONGEST, SLOTS, UNTOLD, Layout, stays
from .modulation import Groups, Modulation, timestep_embedding
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
from .products import inferring, linear, product
from .reading import TextKeys, merge_padding, read_text
from .rope import grid_table, rope_table
from .shards import Shard, Tokens

__all__ = ["Block", "DiT", "DiTConfig"]


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
        self.layout = Layout(config, ops) if config.planner else None

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

    def plan(self, noise: Tensor, contexts: Sequence[Tensor], lengths: Sequence[int]) -> Tensor | None:
        """Plan where subjects are in clips that begin as unit noise `[B,C,T,H,W]`: a layout `[B,T,SLOTS,FIGURES]`.

        contexts: `[b,L,text_dim]`, b of 1 or B, of the prompt of each shot; lengths: its latents. The plan follows from
        the noise, as all of a run does. None: this model plans nothing, or not that many latents at once.
        """
        if self.layout is None or max(lengths) > LONGEST:
            return None
        drawn = noise.movedim(1, 2).flatten(2)[..., : SLOTS * FIGURES]
        if drawn.shape[-1] < SLOTS * FIGURES:
            return None
        aspect, shots = noise.shape[-1] / noise.shape[-2], drawn.to(self.compute_dtype).split(list(lengths), 1)
        texts = (text.to(noise.device, self.compute_dtype).expand(len(noise), -1, -1) for text in contexts)
        plan = self.layout.planner.plan
        plans = [plan(one, text, aspect) for one, text in zip(shots, texts, strict=True)]
        still = torch.stack([stays(part) for part in plans]).all(0)
        return torch.where(still.view(-1, 1, 1, 1), UNTOLD, torch.cat(plans, 1))

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

    def embed(self, tokens: Tensor, coordinates: Tensor, told: Tensor | None = None) -> Tensor:
        """Embed patches `[B,N,C*pt*ph*pw]` as tokens `[B,N,dim]`.

        `coordinates` `[N or B,N,5*pt*ph*pw]` join the patches where the config has them. told: `[B,N,dim]`, what the
        tokens are told of a layout.
        """
        if self.config.coordinates:
            tokens = torch.cat((tokens, coordinates.to(tokens.dtype).expand(len(tokens), -1, -1)), -1)
        x = self.project(tokens)
        return x if told is None else x + told.to(x.dtype)

    def told(self, layout: Tensor | None, grid: Grid, clips: int) -> Tensor | None:
        """Return what tokens are told of a layout `[b,T,SLOTS,FIGURES]`: `[clips,N,dim]`; None for none.

        Raises SoraError for a layout of another clip.
        """
        if layout is None or self.layout is None:
            return None
        if layout.shape[1] != grid[0] or clips % len(layout):
            raise SoraError(f"A layout of {list(layout.shape[:2])} does not fit {clips} clips of {grid[0]} latents.")
        told: Tensor = self.layout.embedding(layout.to(self.compute_dtype), grid)
        return told.repeat(clips // len(layout), 1, 1)

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
        layout: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Compute the velocity `[B,C,T,H,W]` of a noised latent `[B,C,T,H,W]`; with `taps` also features, see `run`.

        t: timesteps in 0..1000, `[B]`, `[B,T]` or `[B,N]`. Text comes as `context` `[B,L,text_dim]`, or as `text` from
        `text_keys` to reuse its work. With n times B texts each latent is run with n of them, see `run`. text_mask:
        bool `[N,L]` or `[B,N,L]`, True = attend, lets tokens read parts of it. layout: of the clips, see `layout`; None
        leaves places to the tokens. Raises SoraError when shapes do not fit the model.
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
        times, told = self.groups(t, *patches.shape[:2]), self.told(layout, grid, len(x))
        if self._shard is not None:
            patches, where, rope, times, mask, told = self._shard.part(Tokens(patches, where, rope, times, mask, told))
        out, features = self.run(self.embed(patches, where, told), times, rope, text, text_mask=mask, taps=taps)
        if self._shard is not None:
            out, *features = self._shard.whole(out, *features)
        v = self.joined(out, x, grid)
        return (v, features) if taps else v
