"""What a transformer reads when each shot of a video has its own prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import expect
from ..model.reading import TextKeys


def read_shots(dit: Any, contexts: Tensor, shots: Sequence[int], shape: Sequence[int]) -> dict[str, Any]:
    """Make the arguments `text` and `text_mask` of `dit`, a velocity network, for a storyboard.

    contexts: `[n*len(shots),L,D]`, the shots of a clip one after the other. shots: latents of each. shape: of the
    latent, `[...,T,H,W]`. A token attends to its own shot's keys and to no other's, so it reads exactly what it would
    read if that prompt were the only one. Raises SoraError for a network that takes one prompt at a time, and for a
    shot that ends within a token.
    """
    expect(hasattr(dit, "text_keys"), "This model reads one prompt at a time: it cannot follow a storyboard.")
    pt, ph, pw = dit.config.patch_size
    expect(all(n % pt == 0 for n in shots), f"Each shot needs a multiple of {pt} latents; they are {list(shots)}.")
    count, device = len(shots), contexts.device
    # Tokens are ordered by time, so a shot is a run of them, and its prompt a run of the text.
    numbers = torch.arange(count, device=device)
    per_latent = shape[-2] // ph * (shape[-1] // pw)
    of_token = numbers.repeat_interleave(torch.tensor(shots, device=device) // pt * per_latent)
    text = join_shots(dit.text_keys(contexts), count)
    return {"text": text, "text_mask": own_shot(of_token, count, text[0][0].shape[1])}


def join_shots(text: Sequence[TextKeys], count: int) -> list[TextKeys]:
    """Join keys and values of `count` prompts a clip, `[B*count,L,...]`, one after the other: `[B,count*L,...]`."""

    def join(part: Tensor) -> Tensor:
        return part.unflatten(0, (-1, count)).flatten(1, 2)

    return [
        TextKeys(join(one.keys), join(one.values), None if one.bias is None else one.bias.repeat(count)) for one in text
    ]


def own_shot(of_token: Tensor, count: int, length: int) -> Tensor:
    """Make the mask, bool `[...,N,length]`, by which tokens read their own part of `count` joined prompts.

    of_token: `[...,N]`, the shot of each token. length: of the joined prompts, in tokens of text.
    """
    of_text = torch.arange(count, device=of_token.device).repeat_interleave(length // count)
    return of_token[..., :, None] == of_text
