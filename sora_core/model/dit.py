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

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import SoraError
from .patch import COORDINATES, Grid, check_divisible, coordinate_tokens, grid_coordinates, patchify
from .rope import apply_rope, grid_table, rope_table


@dataclass(frozen=True)
class DiTConfig:
    """Sizes of a `DiT`. The defaults that Wan shares stand here; `sora_core.model.registry` names the models."""

    dim: int
    ffn_dim: int
    num_heads: int
    num_layers: int
    in_dim: int = 16
    out_dim: int = 16
    text_dim: int = 4096
    text_len: int = 512
    freq_dim: int = 256
    patch_size: Grid = (1, 2, 2)
    eps: float = 1e-6
    # Tell every token where in the clip it lies, in extra channels of the patch embedding. Wan does without.
    coordinates: bool = False

    @property
    def head_dim(self) -> int:
        return self.dim // self.num_heads


def timestep_embedding(t: Tensor, dim: int) -> Tensor:
    """`[...]` in 0..1000 -> `[..., dim]`: cosines, then sines, of geometrically spaced rates (arXiv 1706.03762)."""
    half = dim // 2
    rates = torch.exp(-math.log(10_000) * torch.arange(half, dtype=torch.float64, device=t.device) / half)
    angle = t[..., None].double() * rates
    return torch.cat((angle.cos(), angle.sin()), -1).float()


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Softmax attention over `[B,N,heads,head_dim]`; `mask` is boolean, True = attend."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    if q.device.type == "cpu" and torch.is_grad_enabled() and q.shape[2] <= 1024:
        # The fused CPU kernel's backward pass costs more than the whole of plain attention at these lengths.
        weights = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
        if mask is not None:
            weights = weights.masked_fill(~mask, -torch.inf)
        weights = torch.softmax(weights, -1, dtype=torch.float32)
        out = weights.to(v.dtype) @ v
    else:
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return out.transpose(1, 2).flatten(2)


class RMSNorm(nn.Module):
    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        y = x.float()
        return (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight).to(x.dtype)


class Attention(nn.Module):
    """Self-attention with `rope`, or cross-attention to `context`."""

    def __init__(self, cfg: DiTConfig, ops=nn) -> None:
        super().__init__()
        self.num_heads = cfg.num_heads
        self.q, self.k, self.v, self.o = (ops.Linear(cfg.dim, cfg.dim) for _ in range(4))
        self.norm_q, self.norm_k = RMSNorm(cfg.dim, cfg.eps), RMSNorm(cfg.dim, cfg.eps)

    def heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.num_heads, -1))

    def keys(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of a text context: constant over the steps of a run, so callers keep them."""
        return self.heads(self.norm_k(self.k(context))), self.heads(self.v(context))

    def forward(
        self,
        x: Tensor,
        rope: Tensor | None = None,
        keys: tuple[Tensor, Tensor] | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        q = self.heads(self.norm_q(self.q(x)))
        k, v = keys if keys is not None else self.keys(x)
        if rope is not None:
            q, k = apply_rope(q, rope), apply_rope(k, rope)
        return self.o(attention(q, k, v, mask))


def grouped(x: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
    """View tokens `[B,N,D]` as `[B,G,N/G,D]` and modulation `[B,G,D]` as `[B,G,1,D]`."""
    return x.unflatten(1, (e.shape[1], -1)), e.unsqueeze(2)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    y, scale = grouped(x, scale)
    return (y * (1 + scale) + shift.unsqueeze(2)).flatten(1, 2)


def gate(x: Tensor, g: Tensor) -> Tensor:
    y, g = grouped(x, g)
    return (y * g).flatten(1, 2)


class Block(nn.Module):
    def __init__(self, cfg: DiTConfig, ops=nn) -> None:
        super().__init__()
        self.eps = cfg.eps
        self.self_attn = Attention(cfg, ops)
        self.norm3 = ops.LayerNorm(cfg.dim, eps=cfg.eps)
        self.cross_attn = Attention(cfg, ops)
        self.ffn = nn.Sequential(
            ops.Linear(cfg.dim, cfg.ffn_dim), nn.GELU(approximate="tanh"), ops.Linear(cfg.ffn_dim, cfg.dim)
        )
        self.modulation = nn.Parameter(torch.randn(1, 6, cfg.dim) / cfg.dim**0.5)

    def norm(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.float(), x.shape[-1:], eps=self.eps)

    def forward(
        self,
        x: Tensor,
        e: Tensor,
        rope: Tensor,
        text: tuple[Tensor, Tensor],
        mask: Tensor | None,
        text_mask: Tensor | None,
    ) -> Tensor:
        """X `[B,N,D]`; e `[B,G,6,D]`; text: this block's cross-attention keys and values."""
        shift1, scale1, gate1, shift2, scale2, gate2 = (e.float() + self.modulation.float()).unbind(2)
        y = self.self_attn(modulate(self.norm(x), shift1, scale1).to(x.dtype), rope, mask=mask)
        x = x + gate(y, gate1).to(x.dtype)
        x = x + self.cross_attn(self.norm3(x), keys=text, mask=text_mask)
        y = self.ffn(modulate(self.norm(x), shift2, scale2).to(x.dtype))
        return x + gate(y, gate2).to(x.dtype)


class Head(nn.Module):
    def __init__(self, cfg: DiTConfig, ops=nn) -> None:
        super().__init__()
        self.eps = cfg.eps
        self.head = ops.Linear(cfg.dim, cfg.out_dim * math.prod(cfg.patch_size))
        self.modulation = nn.Parameter(torch.randn(1, 2, cfg.dim) / cfg.dim**0.5)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        shift, scale = (e.float().unsqueeze(2) + self.modulation.float()).unbind(2)
        y = F.layer_norm(x.float(), x.shape[-1:], eps=self.eps)
        return self.head(modulate(y, shift, scale).to(x.dtype))


class DiT(nn.Module):
    """Velocity `eps - x0` of a noised latent. `ops` supplies Linear and LayerNorm (ComfyUI passes its own)."""

    def __init__(self, config: DiTConfig, ops=nn) -> None:
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

    @property
    def dtype(self) -> torch.dtype:
        return self.patch_embedding.weight.dtype

    @property
    def compute_dtype(self) -> torch.dtype:
        """What activations are computed in; a host that casts weights as they are used overrides it."""
        return self.dtype

    # -- pieces that do not change over the steps of a run ---------------------------------------------------
    def text_keys(self, context: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Cross-attention keys and values of every block for `context` `[B,L,text_dim]`, L <= text_len.

        Shorter contexts are padded with zeros to text_len and attended without a mask, as Wan does.
        """
        cfg = self.config
        if context.ndim != 3 or context.shape[2] != cfg.text_dim:
            raise SoraError(
                f"The conditioning has shape {list(context.shape)}; this model reads [B,L,{cfg.text_dim}]. "
                "Encode the prompt with the text encoder that belongs to the model."
            )
        if context.shape[1] > cfg.text_len:
            raise SoraError(f"The conditioning has {context.shape[1]} tokens; this model reads {cfg.text_len}.")
        context = F.pad(context, (0, 0, 0, cfg.text_len - context.shape[1]))
        embedded = self.text_embedding(context.to(self.compute_dtype))
        return [block.cross_attn.keys(embedded) for block in self.blocks]

    def time_vectors(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Timesteps `[B,G]` in 0..1000 -> head vector `[B,G,D]` and block vectors `[B,G,6,D]`."""
        # Few distinct values however many groups: embed each once.
        levels, index = torch.unique(t, return_inverse=True) if t.numel() > 64 else (t, None)
        e = self.time_embedding(timestep_embedding(levels, self.config.freq_dim).to(self.compute_dtype))
        e6 = self.time_projection(e).unflatten(-1, (6, -1))
        return (e, e6) if index is None else (e[index], e6[index])

    # -- forward ---------------------------------------------------------------------------------------------
    def embed(self, tokens: Tensor, coordinates: Tensor) -> Tensor:
        """Patch tokens `[B,N,C*pt*ph*pw]` -> `[B,N,dim]`; the patch convolution as a matrix product.

        `coordinates` `[N, 5*pt*ph*pw]` join the tokens where the config has them.
        """
        if self.config.coordinates:
            tokens = torch.cat((tokens, coordinates.to(tokens.dtype).expand(len(tokens), -1, -1)), -1)
        return self.project(tokens)

    def project(self, tokens: Tensor) -> Tensor:
        """The patch convolution as a matrix product; a host that fetches weights as they are used overrides it."""
        w, b = self.patch_embedding.weight, self.patch_embedding.bias
        return F.linear(tokens.to(w.dtype), w.flatten(1), b)

    def run(
        self,
        x: Tensor,
        t: Tensor,
        rope: Tensor,
        text: list,
        mask: Tensor | None = None,
        text_mask: Tensor | None = None,
        taps: tuple[int, ...] = (),
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Blocks and head on embedded tokens `[B,N,dim]`; with `taps` also the features after those blocks (from 1)."""
        e, e6 = self.time_vectors(t)
        features = []
        for number, (block, keys) in enumerate(zip(self.blocks, text, strict=True), 1):
            x = block(x, e6, rope, keys, mask, text_mask)
            if number in taps:
                features.append(x)
        out = self.head(x, e)
        return (out, features) if taps else out

    def groups(self, t: Tensor, batch: int, tokens: int) -> Tensor:
        """Check timesteps `[B]` or `[B,G]` and return `[B,G]`."""
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
        """Tokens `[B,N,C*pt*ph*pw]` at `positions` `[N,3]` -> velocity tokens, laid out as `patchify`.

        `sizes` `[N,3]` is the token grid of each token's clip (`PackedPatches.sizes`).
        `attn_mask` `[N,N]` and `text_mask` `[N,L]` (True = attend) keep packed clips to themselves and their prompts.
        """
        x = self.embed(tokens, coordinate_tokens(positions, sizes, self.config.patch_size))
        rope = rope_table(positions, self.config.head_dim).to(x.device)
        mask = text_mask[None, None] if text_mask is not None else None
        out = self.run(x, self.groups(t, *tokens.shape[:2]), rope, self.text_keys(context), attn_mask, mask)
        return self.from_head(out)

    def from_head(self, out: Tensor) -> Tensor:
        """The head emits (patch, channel); `patchify` orders (channel, patch)."""
        return out.unflatten(-1, (-1, self.config.out_dim)).transpose(-1, -2).flatten(-2)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        context: Tensor | None = None,
        text: list | None = None,
        taps: tuple[int, ...] = (),
        text_mask: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        """Noised latent `[B,C,T,H,W]`, timesteps `[B]`, `[B,T]` or `[B,N]`, text -> velocity `[B,C,T,H,W]`.

        Pass `context` `[B,L,text_dim]`, or `text` from `text_keys` to reuse its work; `text_mask` bool `[N,L]` or
        `[B,N,L]` (True = attend) lets tokens read parts of it; `taps` as in `run`. Raises `SoraError` when
        shapes do not fit the model.
        """
        cfg = self.config
        if x.ndim != 5 or x.shape[1] != cfg.in_dim:
            raise SoraError(f"The latent has shape {list(x.shape)}; this model denoises [B,{cfg.in_dim},T,H,W].")
        grid = check_divisible(x.shape, cfg.patch_size)
        where = grid_coordinates(grid, cfg.patch_size, x.device)
        tokens = self.embed(patchify(x, cfg.patch_size), where)
        text = text if text is not None else self.text_keys(context)
        rope = grid_table(*grid, cfg.head_dim, x.device)
        mask = text_mask
        if mask is not None:
            mask = mask[:, None] if mask.ndim == 3 else mask[None, None]
        out = self.run(tokens, self.groups(t, *tokens.shape[:2]), rope, text, text_mask=mask, taps=taps)
        out, features = out if taps else (out, [])
        gt, gh, gw = grid
        pt, ph, pw = cfg.patch_size
        v = out.view(-1, gt, gh, gw, pt, ph, pw, cfg.out_dim).permute(0, 7, 1, 4, 2, 5, 3, 6)
        v = v.reshape(x.shape[0], cfg.out_dim, *x.shape[2:])
        return (v, features) if taps else v
