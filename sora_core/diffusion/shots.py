"""What a transformer reads when each shot of a video has its own prompt."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import expect


def read_shots(dit, contexts: Tensor, shots: Sequence[int], shape: Sequence[int]) -> dict:
    """Arguments `text` and `text_mask` of `dit` for a storyboard.

    contexts: `[n * len(shots), L, D]`, the shots of a clip one after the other; shots: latents of each; shape:
    of the latent, `[..., T, H, W]`. A token attends to its own shot's keys and to no other's, so it reads exactly
    what it would read if that prompt were the only one.
    """
    expect(hasattr(dit, "text_keys"), "This model reads one prompt at a time: it cannot follow a storyboard.")
    pt, ph, pw = dit.config.patch_size
    expect(all(n % pt == 0 for n in shots), f"Each shot needs a multiple of {pt} latents; they are {list(shots)}.")
    count, device = len(shots), contexts.device
    text = [
        tuple(part.unflatten(0, (-1, count)).flatten(1, 2) for part in block) for block in dit.text_keys(contexts)
    ]
    # Tokens are ordered by time, so a shot is a run of them, and its prompt a run of the text.
    numbers = torch.arange(count, device=device)
    per_latent = shape[-2] // ph * (shape[-1] // pw)
    of_token = numbers.repeat_interleave(torch.tensor(shots, device=device) // pt * per_latent)
    of_text = numbers.repeat_interleave(text[0][0].shape[1] // count)
    return {"text": text, "text_mask": of_token[:, None] == of_text[None, :]}
