"""What the transformer asks of whoever shares the tokens of a clip out among devices.

`diffusion.exchange` implements it; `DiT.share` takes it. Here stands only what the two have to agree on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from torch import Tensor

# Queries `[B,N,heads,head_dim]`, keys and values alike, and a mask as `dit.attention` takes it, to
# `[B,N,heads*head_dim]`.
Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]


class Tokens(NamedTuple):
    """All that the transformer knows token by token when its blocks begin."""

    patches: Tensor  # [B,N,...]
    where: Tensor  # [N,...]: coordinates
    rope: Tensor  # [N,head_dim/2,2]
    times: Tensor  # [B,G]: one for each of G groups of consecutive tokens
    text_mask: Tensor | None = None  # bool [...,N,L], what each token reads of the text
    told: Tensor | None = None  # [B,N,dim], what each token is told of a layout


class Shard(Protocol):
    """One process's part of the tokens of each model call."""

    def part(self, tokens: Tokens) -> Tokens:
        """Return the tokens of this process; until `whole`, the blocks run on them alone."""

    def attend(self, attention: Attend, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Attend from this process's tokens to those of all, by `attention`, in shape as that is.

        mask: of all tokens.
        """

    def whole(self, *made: Tensor) -> list[Tensor]:
        """Return the tokens of all processes, `[B,N,...]`, for each of what this one has made of its own."""
