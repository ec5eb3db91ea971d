"""Weights in a prompt, in the notation that ComfyUI's users write: `(a red cat:1.3)`, `(cat)` = 1.1,
`[cat]` as is.

A token's embedding is scaled by its weight; the embedding of an empty prompt is zero here, so scaling
moves it away from, or towards, saying nothing.
"""

from __future__ import annotations

import re

import torch

from ...errors import SoraError

_WEIGHT = re.compile(r"^(.*):\s*([+-]?\d*\.?\d+)\s*$", re.S)
_STEP = 1.1


def split_weights(prompt: str) -> list[tuple[str, float]]:
    """`prompt` as (text, weight) pieces, in order. `\\(` and `\\)` are plain brackets; a lone one is text."""
    return [
        (t.replace("\0", "(").replace("\1", ")"), w)
        for t, w in _split(prompt.replace("\\(", "\0").replace("\\)", "\1"), 1.0)
        if t
    ]


def _split(text: str, weight: float) -> list[tuple[str, float]]:
    pieces, plain, i = [], "", 0
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
    depth = 0
    for i in range(start, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if depth == 0:
            return i
    return -1


def plain_text(prompt: str) -> str:
    """The prompt without its weights."""
    return "".join(text for text, _ in split_weights(prompt))


def weighted_ids(tokenizer, prompt: str, length: int) -> list[tuple[int, float]]:
    """(token id, weight) pairs of a prompt, at most `length`. Raises SoraError for a longer one."""
    pieces = split_weights(prompt)
    if all(weight == 1.0 for _, weight in pieces):
        return [(token, 1.0) for token in tokenizer.ids(plain_text(prompt), length)]
    pairs = [(token, weight) for text, weight in pieces for token in tokenizer.ids(text, length)]
    if len(pairs) > length:
        raise SoraError(f"The prompt has {len(pairs)} words; with weights at most {length} are read. Shorten it.")
    return pairs


def encode_ids(encoder, pairs: list[tuple[int, float]]) -> torch.Tensor:
    """Context `[1, length, dim]` of (token id, weight) pairs, by a `model.text.TextEncoder`."""
    device, length = encoder.position.device, encoder.config.length
    ids = torch.zeros(1, length, dtype=torch.long, device=device)
    scale = torch.ones(length, 1, device=device)
    for i, (token, weight) in enumerate(pairs):
        ids[0, i], scale[i] = token, weight
    context = encoder(ids)
    return context * scale.to(context.dtype)


def encode_prompt(encoder, prompt: str) -> torch.Tensor:
    """Context `[1, length, dim]` of a prompt with weights. Raises SoraError when it is too long."""
    return encode_ids(encoder, weighted_ids(encoder.tokenizer, prompt, encoder.config.length))
