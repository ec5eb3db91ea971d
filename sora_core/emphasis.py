"""Weights in a prompt, in the notation that ComfyUI's users write: `(a red cat:1.3)`, `(cat)` = 1.1,
`[cat]` as is.

A token's embedding is scaled by its weight; the embedding of an empty prompt is zero here, so scaling
moves it away from, or towards, saying nothing.
"""

from __future__ import annotations

import re

import torch

from .errors import SoraError

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


def encode_prompt(encoder, prompt: str) -> torch.Tensor:
    """Context `[1, length, dim]` of a prompt with weights, by a `model.text.TextEncoder`.

    Raises SoraError when the prompt is longer than the encoder reads.
    """
    pieces = split_weights(prompt)
    context = encoder.encode([plain_text(prompt)])
    if all(weight == 1.0 for _, weight in pieces):
        return context
    length = encoder.config.length
    weights = [weight for text, weight in pieces for _ in encoder.tokenizer.match(text)]
    if len(weights) > length:
        raise SoraError(
            f"The prompt has {len(weights)} words; with weights at most {length} are read. Shorten it."
        )
    scale = torch.ones(length, dtype=context.dtype, device=context.device)
    scale[: len(weights)] = torch.tensor(weights, dtype=context.dtype)
    return context * scale[:, None]
