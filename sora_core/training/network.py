"""The transformer as it is trained: with its text encoder, and with heads that the world's truth supervises.

The world knows what every clip shows, which makes two heads possible that speed learning up. One, on the features of a
middle block, must name the subject of each token and tell which part of it the token shows. That asks of the features
what REPA (arXiv 2410.06940) takes from a pretrained encoder. Without the second half, tokens agree on what they show
and not on who shows which end of it: textures are right, shapes are not.

The other, on the text encoder, must tell at a subject's word where that subject is at the start and at the end. Without
it, "a tiger on the left of a koala" makes a tiger and a koala, and who stands where is a matter of chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from ..diffusion.shots import join_shots, own_shot
from ..model.dit import Block, DiT
from ..model.patch import check_divisible, grid_coordinates, patchify
from ..model.rope import grid_table
from ..model.text.concepts import TextEncoder
from .data.batch import take_tokens
from .data.latent_batches import PLACES

# First and last layers of transformer, text encoder and heads, see `loop.optim.build_optimizers`.
ADAM_NAMES = ("embedding", "head", "labels", "places", "position", "modulation", "time_", "stem")
PARTS = 4  # figures that say which part of its subject a token shows, see `losses.flow.box_positions`


@dataclass(frozen=True)
class HeadSettings:
    """The heads of a `DiTWithHeads`. State files hold them, so every run of the transformer has these settings."""

    label_block: int = 3  # the block, from 1, after which tokens name their subjects
    classes: int = 128  # subjects that can be named


class DiTWithHeads(nn.Module):
    """DiT, text encoder and heads in one forward, so that DDP and the optimisers see one module."""

    def __init__(self, dit: DiT, text: TextEncoder, classes: int, label_block: int) -> None:
        super().__init__()
        self.dit, self.text = dit, text
        self.label_block = min(label_block, len(dit.blocks))
        dim = dit.config.dim
        self.labels = nn.Sequential(nn.Linear(dim, dim), nn.SiLU(), nn.Linear(dim, classes + PARTS))
        self.places = nn.Linear(text.config.dim, PLACES)

    def forward(
        self, x: Tensor, t: Tensor, ids: Tensor, shot: Tensor, layout: Tensor | None = None, focus: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return velocity, labels and places of noised latents `[B,C,T,H,W]`.

        t: timesteps `[B,T]` in 0..1000; ids: text tokens `[B,S,L]`; shot: `[B,T]`, which of the prompts a latent reads;
        layout: `[B,T,...]`, see `model.layout`; focus: `[B,K]`, the tokens that are seen, see `focused`.
        labels: of every token logits of the classes and its part, `[B,N,classes+PARTS]`. places: of every word of the
        first prompt, were it a subject's, where that subject is, `[B,L,PLACES]`.
        """
        if focus is not None and focus.shape[1]:
            return self.focused(x, t, ids, layout, focus)
        v, (features,), words = self.tapped(x, t, ids, shot, (self.label_block,), layout)
        return v, self.labels(features), self.places(words.unflatten(0, (-1, ids.shape[1]))[:, 0])

    def tapped(
        self, x: Tensor, t: Tensor, ids: Tensor, shot: Tensor, taps: tuple[int, ...], layout: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor], Tensor]:
        """Return velocity, the features `[B,N,D]` after each block of `taps`, and the words of all prompts `[B*S,L,D]`.

        Arguments as in `forward`.
        """
        count = ids.shape[1]
        words = self.text(ids.flatten(0, 1))
        text, mask = self.dit.text_keys(words), None
        if count > 1:
            text = join_shots(text, count)
            tokens = shot.repeat_interleave(x.shape[-2] * x.shape[-1] // 4, 1)
            mask = own_shot(tokens, count, text[0][0].shape[1])
        v, features = self.dit(x, t, text=text, text_mask=mask, taps=taps, layout=layout)
        return v, features, words

    def focused(
        self, x: Tensor, t: Tensor, ids: Tensor, layout: Tensor | None, focus: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Do what `forward` does for the tokens `focus` `[B,K]` alone, of clips in one shot at one noise level each.

        The velocity is that of their patches, `[B,K,C*pt*ph*pw]` as `patchify` lays them out; the detailer, which works
        on whole frames, has no part in it.
        """
        dit, patch = self.dit, self.dit.config.patch_size
        grid = check_divisible(x.shape, patch)
        told = dit.told(layout, grid, len(x))
        where = grid_coordinates(grid, patch, x.device).expand(len(x), -1, -1)
        rope = grid_table(*grid, dit.config.head_dim, x.device).expand(len(x), -1, -1, -1)
        patches, where, rope = (take_tokens(part, focus) for part in (patchify(x, patch), where, rope))
        tokens = dit.embed(patches, where, None if told is None else take_tokens(told, focus))
        words = self.text(ids[:, 0])
        out, (features,) = dit.run(tokens, t[:, :1], rope, dit.text_keys(words), taps=(self.label_block,))
        channels = dit.config.out_dim
        v = out[..., : channels * math.prod(patch)].unflatten(-1, (-1, channels)).transpose(-1, -2).flatten(-2)
        return v, self.labels(features), self.places(words)


def blocks_of(dit: DiT) -> Iterator[Block]:
    """Iterate over a transformer's blocks."""
    for block in dit.blocks:
        assert isinstance(block, Block)
        yield block


def output_layers(block: Block) -> Iterator[nn.Linear]:
    """Iterate over the last layers of a block's branches: with these at zero, the block is an identity."""
    for layer in (block.self_attn.o, block.cross_attn.o, block.ffn[2]):
        assert isinstance(layer, nn.Linear)
        yield layer


def initialize(dit: DiT) -> None:
    """Draw Xavier weights; the branches' last layers and the head start at zero, so blocks start as identities."""
    for module in dit.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    for block in blocks_of(dit):
        for layer in output_layers(block):
            nn.init.zeros_(layer.weight)
    nn.init.zeros_(dit.head.head.weight)
    modulation = dit.time_projection[1]
    assert isinstance(modulation, nn.Linear)
    nn.init.zeros_(modulation.weight)
    nn.init.xavier_uniform_(dit.patch_embedding.weight.flatten(1))
    zero_detail(dit)
    zero_layout(dit)


@torch.no_grad()
def zero_layout(dit: DiT) -> None:
    """Let layouts, if there is a planner of them, tell tokens nothing at first."""
    if dit.layout is not None:
        nn.init.zeros_(dit.layout.embedding.head.weight)
        nn.init.zeros_(dit.layout.embedding.head.bias)


@torch.no_grad()
def zero_detail(dit: DiT) -> None:
    """Let the detailer, if there is one, begin with corrections of zero."""
    if dit.detail is not None:
        nn.init.zeros_(dit.detail.head.weight)
        nn.init.zeros_(cast(Tensor, dit.detail.head.bias))


@torch.no_grad()
def zero_branches(block: Block) -> None:
    """Make a block an identity that can learn to be none."""
    for layer in output_layers(block):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
