"""Weights in a prompt, in the notation that ComfyUI's users write.

`(a red cat:1.3)` weighs 1.3 and `(cat)` 1.1; brackets multiply, and `[cat]` is plain text. A token's embedding is
scaled by its weight. The embedding of an empty prompt is zero here, so scaling moves a word away from, or towards,
saying nothing.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from ...errors import SoraError
from .concepts import TextEncoder, Tokenizer

_WEIGHT = re.compile(r"^(.*):\s*([+-]?\d*\.?\d+)\s*$", re.S)
_STEP = 1.1  # what a pair of brackets without a number weighs, in ComfyUI and everywhere else


def split_weights(prompt: str) -> list[tuple[str, float]]:
    """Split a prompt into (text, weight) pieces, in order. `\\(` and `\\)` are plain brackets; a lone one is text."""
    # Escaped brackets hide behind characters that no prompt has while the others are matched.
    return [
        (t.replace("\0", "(").replace("\1", ")"), w)
        for t, w in _split(prompt.replace("\\(", "\0").replace("\\)", "\1"), 1.0)
        if t
    ]


def _split(text: str, weight: float) -> list[tuple[str, float]]:
    pieces: list[tuple[str, float]] = []
    plain, i = "", 0
    while i < len(text):
        end = _closing(text, i) if text[i] == "(" else -1
        if end < 0:
            plain, i = plain + text[i], i + 1
            continue
        inner, factor = text[i + 1 : end], _STEP
        if match := _WEIGHT.match(inner):
            inner, factor = match.group(1), float(match.group(2))
        pieces += [(plain, weight), *_split(inner, weight * factor)]
        plain, i = "", end + 1
    return [*pieces, (plain, weight)]


def _closing(text: str, start: int) -> int:
    """Find the bracket that closes the one at `start`, or -1."""
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if depth == 0:
            return i
    return -1


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
