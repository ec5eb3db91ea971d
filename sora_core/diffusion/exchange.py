"""Attention over tokens that lie on several devices: heads and tokens change places, and back.

DeepSpeed-Ulysses (arXiv 2309.14509): each process embeds and transforms its own run of tokens. For attention it gives
away all heads but its own, and gets its own heads of all tokens; afterwards the reverse. A process sends
4 (S - 1) / S^2 of the tokens' values a block, so the more processes S there are, the less each of them sends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from ..errors import SoraError, expect, is_out_of_memory
from ..model.shards import Attend, Tokens

Made = TypeVar("Made")


class LostError(SoraError):
    """Another process of the run has ended, or does not answer."""


def check_heads(heads: int, size: int) -> None:
    """Raise SoraError where `size` processes cannot share the attention of so many heads."""
    expect(
        size <= heads,
        f"{size} processes cannot share the tokens of a clip: the model has {heads} heads, and each process needs one. "
        f"Start fewer, or let guidance take a half of them (--split 2x{max(1, min(heads, size // 2))}).",
    )


def check_sharing(network: Any) -> None:
    """Raise SoraError for a network that knows nothing of sharing."""
    expect(
        hasattr(network, "share"),
        "This model cannot share the tokens of a clip: start 2 processes for its two prompts (--split 2x1), or one.",
    )


def talk(call: Callable[..., Made], *args: Any, **options: Any) -> Made:
    """Call what talks to the other processes. Raises LostError where one of them is gone or silent."""
    try:
        return call(*args, **options)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        silent = "timed out" in str(error).lower() or "timeout" in str(error).lower()
        what = "does not answer" if silent else "has ended"
        raise LostError(f"Another process of this run {what}: this one stops too. Start the run again.") from error


class Ulysses:
    """This process's part of the tokens, among the processes of `group`. A `model.shards.Shard`."""

    def __init__(self, group: dist.ProcessGroup, size: int, index: int) -> None:
        """Share tokens with `size` processes, of which this is number `index`."""
        self.group, self.size, self.index = group, size, index
        self.sent = 0  # bytes that left this process, for other ones
        self._tokens: int | None = None  # of the whole clip, while its blocks run

    def part(self, tokens: Tokens) -> Tokens:
        """Return this process's run of the tokens, see `model.shards.Shard`.

        What does not divide is padded at the end. No token attends to the padding, and nobody gets to see it.
        """
        count = tokens.patches.shape[1]
        self._tokens, each = count, -(-count // self.size)

        def cut(values: Tensor, axis: int, fill: float = 0.0) -> Tensor:
            axis %= values.ndim
            begin = min(self.index * each, count)
            own = values.narrow(axis, begin, min(each, count - begin))
            missing = each - own.shape[axis]
            # `F.pad` counts axes from the last.
            return F.pad(own, [0, 0] * (values.ndim - 1 - axis) + [0, missing], value=fill) if missing else own

        times, mask = tokens.times, tokens.text_mask
        if times.shape[1] > 1:
            times = cut(times.repeat_interleave(count // times.shape[1], 1), 1)
        if mask is not None:
            # A token that may read nothing would get NaN.
            mask = cut(mask.to(torch.uint8), -2, 1).bool()
        told = None if tokens.told is None else cut(tokens.told, 1)
        return Tokens(cut(tokens.patches, 1), cut(tokens.where, 0), cut(tokens.rope, 0), times, mask, told)

    def attend(self, attention: Attend, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Attend from this process's tokens to those of all; mask: of all tokens."""
        if self._tokens is None:
            return attention(q, k, v, mask)
        batch, each, heads, dim = q.shape
        per = -(-heads // self.size)
        qkv = F.pad(torch.stack((q, k, v)), (0, 0, 0, per * self.size - heads))
        # [3,B,n,S*per,dim]: to each process its heads of these tokens, from each these heads of its tokens.
        mine = self._exchange(qkv.unflatten(3, (self.size, per)).movedim(3, 0))
        q, k, v = mine.permute(1, 2, 0, 3, 4, 5).flatten(2, 3)[:, :, : self._tokens]
        # Heads that were added so that their number divides are not worked on.
        real = max(0, min(per, heads - self.index * per))
        out = q.new_zeros(batch, each * self.size, per, dim)
        if real:
            done = attention(q[:, :, :real], k[:, :, :real], v[:, :, :real], mask)
            out[:, : self._tokens, :real] = done.unflatten(2, (real, dim))
        back = self._exchange(out.unflatten(1, (self.size, each)).movedim(1, 0))
        return back.permute(1, 2, 0, 3, 4).flatten(2, 3)[:, :, :heads].flatten(2)

    def whole(self, *made: Tensor) -> list[Tensor]:
        """Return the tokens of all processes for each of what this one has made of its own."""
        count, self._tokens = self._tokens, None
        found = []
        for part in made:
            all_parts = part.new_empty(self.size, *part.shape)
            talk(dist.all_gather, list(all_parts.unbind(0)), part.contiguous(), group=self.group)
            self.sent += (self.size - 1) * part.numel() * part.element_size()
            found.append(all_parts.movedim(0, 1).flatten(1, 2)[:, :count])
        return found

    def _exchange(self, parts: Tensor) -> Tensor:
        """Send `parts[i]` to process i, and return what each of them sent here, in their order."""
        parts = parts.contiguous()
        got = torch.empty_like(parts)
        talk(dist.all_to_all_single, got, parts, group=self.group)
        self.sent += parts[0].numel() * parts.element_size() * (self.size - 1)
        return got


@contextmanager
def shared_by(shard: Ulysses | None, *networks: Any) -> Iterator[None]:
    """Have `networks` share their tokens by `shard` within the block; None: nobody shares."""
    if shard is None or shard.size == 1:
        yield
        return
    shard._tokens = None  # where a call before was stopped
    try:
        for network in networks:
            network.share(shard)
        yield
    finally:
        for network in networks:
            network.share(None)


def exchanged(tokens: int, config: Any, size: int, value: int, prompts: int = 1, clips: int = 1) -> int:
    """Count the bytes that each of `size` processes sends to the others in one model call, see `Ulysses`.

    tokens: of a clip. config: a `DiTConfig`. value: bytes of one number. prompts: that each of `clips` is evaluated
    with; until the first block reads them they are one.
    """
    each, per = -(-tokens // size), -(-config.num_heads // size)
    # Of queries, keys, values and what attention makes of them, each process keeps one part in `size`.
    block = 4 * each * per * config.head_dim * (size - 1)
    last = each * (config.out_dim + config.detail) * math.prod(config.patch_size) * (size - 1)
    return clips * value * ((1 + prompts * (config.num_layers - 1)) * block + prompts * last)
