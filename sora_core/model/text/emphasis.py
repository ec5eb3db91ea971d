"""Weights in a prompt, in the notation that ComfyUI's users write.

`(a red cat:1.3)` weighs 1.3 and `(cat)` 1.1; brackets multiply, and `[cat]` is plain text. A token's embedding is
scaled by its weight. The embedding of an empty prompt is zero here, so scaling moves a word away from, or towards,
saying nothing.
"""

from __future__ import annotations

import math
import re

import torch
from torch import Tensor

from ...errors import SoraError
from ...words import short
from .concepts import MAX_CHARACTERS, TextEncoder, Tokenizer

_NUMBER = re.compile(r"\s*([+-]?(?:\d+(?:\.\d+)?|\.\d+))\s*")
_STEP = 1.1  # what a pair of brackets without a number weighs, in ComfyUI and everywhere else
MAX_WEIGHTED = 4 * MAX_CHARACTERS  # of a prompt with its brackets and weights
MOST = 1000.0  # a word may weigh: what is scaled by more is noise, or no number at all


def split_weights(prompt: str) -> list[tuple[str, float]]:
    """Split a prompt into (text, weight) pieces, in order. `\\(` and `\\)` are plain brackets; a lone one is text.

    Takes time in proportion to the prompt's length. Raises SoraError for a weight of more than 1000, either way, and
    see `check_length`.
    """
    check_length(prompt)
    closing = _pairs(prompt)
    ends = {end: cut for _, (end, cut, _) in closing.items()}
    pieces: list[tuple[str, float]] = []
    weights, i = [1.0], 0
    plain: list[str] = []
    # Where the text of each open bracket ends: at its weight, or at the bracket that closes it.
    cuts: list[tuple[int, int]] = []
    while i < len(prompt):
        if cuts and i == cuts[-1][0]:
            i = cuts.pop()[1]
        if i in closing or i in ends:
            pieces.append(("".join(plain), weights[-1]))
            plain = []
            if i in closing:
                end, cut, factor = closing[i]
                weights.append(_within(weights[-1] * factor, prompt, i))
                cuts.append((cut, end))
            else:
                weights.pop()
        else:
            i += _escapes(prompt, i)
            plain.append(prompt[i])
        i += 1
    pieces.append(("".join(plain), 1.0))
    return [(text, weight) for text, weight in pieces if text]


def check_length(prompt: str) -> None:
    """Raise SoraError for a prompt of more than 16,000 characters, which nobody has written: call it before others."""
    if len(prompt) > MAX_WEIGHTED:
        raise SoraError(
            f"The prompt has {len(prompt)} characters; with brackets at most {MAX_WEIGHTED} are read, without them "
            f"{MAX_CHARACTERS}. Shorten it."
        )


def _pairs(prompt: str) -> dict[int, tuple[int, int, float]]:
    """Match brackets: place of each that opens -> place of the one that closes it, where its text ends, its factor."""
    pairs: dict[int, tuple[int, int, float]] = {}
    waiting: list[int] = []
    colon, i = -1, 0  # colon: the last one since a bracket, behind which a weight may stand
    while i < len(prompt):
        if _escapes(prompt, i):
            # An escaped bracket is a letter, and no number has one.
            colon, i = -1, i + 1
        elif prompt[i] == ":":
            colon = i
        elif prompt[i] == "(":
            waiting.append(i)
            colon = -1
        elif prompt[i] == ")":
            if waiting:
                number = _NUMBER.fullmatch(prompt, colon + 1, i) if colon >= 0 else None
                pairs[waiting.pop()] = (i, colon, float(number[1])) if number else (i, i, _STEP)
            colon = -1
        i += 1
    return pairs


def _escapes(prompt: str, place: int) -> bool:
    return prompt[place] == "\\" and prompt[place + 1 : place + 2] in ("(", ")")


def _within(weight: float, prompt: str, place: int) -> float:
    """Return the weight that begins at `place`, if numbers can be scaled by it. Raises SoraError for a larger one."""
    if not abs(weight) <= MOST:
        said = f"{weight:.3g}" if math.isfinite(weight) else "endless"
        where = short(prompt[place : place + 60])
        raise SoraError(f"The weight of {where} is {said}: use at most {MOST:g}. Brackets multiply.")
    return weight


def plain_text(prompt: str) -> str:
    """Return the prompt without its weights."""
    return "".join(text for text, _ in split_weights(prompt))


def weighted_ids(tokenizer: Tokenizer, prompt: str, length: int) -> list[tuple[int, float]]:
    """Turn a prompt into (token id, weight) pairs, at most `length`. Raises SoraError for a longer one."""
    pieces = split_weights(prompt)
    # Without weights as one text: matched piece by piece, a surface of several words could be cut in two.
    if all(weight == 1.0 for _, weight in pieces):
        return [(token, 1.0) for token in tokenizer.ids(plain_text(prompt), length)]
    pairs = [(token, weight) for text, weight in pieces for token in tokenizer.ids(text, length)]
    if len(pairs) > length:
        raise SoraError(f"The prompt has {len(pairs)} words; with weights at most {length} are read. Shorten it.")
    return pairs


def encode_ids(encoder: TextEncoder, pairs: list[tuple[int, float]]) -> Tensor:
    """Encode (token id, weight) pairs as a context `[1,length,dim]`."""
    device, length = encoder.position.device, encoder.config.length
    ids = torch.zeros(1, length, dtype=torch.long, device=device)
    scale = torch.ones(length, 1, device=device)
    for i, (token, weight) in enumerate(pairs):
        ids[0, i], scale[i] = token, weight
    context = encoder(ids)
    return context * scale.to(context.dtype)


def encode_prompt(encoder: TextEncoder, prompt: str) -> Tensor:
    """Encode a prompt with weights as a context `[1,length,dim]`. Raises SoraError when it is too long."""
    return encode_ids(encoder, weighted_ids(encoder.tokenizer, prompt, encoder.config.length))
