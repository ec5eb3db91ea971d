"""CONDITIONING (`[[context [B, L, D], {options}], ...]`, ComfyUI's layout) as what the denoiser evaluates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import SoraError, expect

# What `read_conditioning` reads: entries `[context, options]`, or a bare context `[B,L,D]`.
Conditioning = Tensor | Sequence[Any]

# Option of a conditioning: its context holds the prompts of several shots, for so many latents each.
SHOTS = "sora_shots"
# Options of a conditioning that change the picture and that only ComfyUI's own sampling understands.
_UNSUPPORTED = ("area", "mask", "control", "gligen", "hooks", "concat_latent_image")


@dataclass(frozen=True)
class Prompt:
    """One encoded prompt."""

    context: Tensor  # `[b,L,D]`
    strength: float = 1.0  # its weight among the prompts that are on at the same time
    sigma_start: float = 1.0  # it is on from this sigma down
    sigma_end: float = 0.0  # to this one, both included
    shots: tuple[int, ...] | None = None  # latents of each shot, whose prompts stand one after the other in the context
    layout: Tensor | None = None  # `[B,T,...]`, where subjects are in the run's clips, see `layouts`

    def active(self, sigma: float) -> bool:
        """Return whether the prompt is on at `sigma`."""
        return self.sigma_end <= sigma <= self.sigma_start


def read_conditioning(
    conditioning: Conditioning, percent_to_sigma: Callable[[float], float], what: str
) -> list[Prompt]:
    """Read the prompts of a CONDITIONING, or of a bare context `[B,L,D]`. `what` names it in errors ("positive").

    Combined conditionings are averaged by "strength"; "start_percent" and "end_percent" limit the steps.
    Raises SoraError for what is no conditioning, or asks for what is not supported here.
    """
    if isinstance(conditioning, Tensor):
        conditioning = [[conditioning, {}]]
    if not isinstance(conditioning, Sequence) or isinstance(conditioning, str) or not conditioning:
        raise SoraError(f"The {what} prompt is {type(conditioning).__name__}, not a conditioning. Encode a text.")
    prompts = []
    for entry in conditioning:
        context, options = entry[0], entry[1] if len(entry) > 1 else {}
        expect(
            isinstance(context, Tensor) and context.ndim == 3,
            f"The {what} prompt has no embedding of shape [B,L,D]. Encode a text with the model's text encoder.",
        )
        # Refused, not ignored: the picture would silently be another than the same graph makes in ComfyUI.
        for key in _UNSUPPORTED:
            expect(options.get(key) is None, f"The {what} prompt has {key!r}, which works in ComfyUI only. Remove it.")
        shots = options.get(SHOTS)
        expect(
            shots is None or (len(shots) > 0 and context.shape[1] % len(shots) == 0),
            f"The {what} prompt of {shots and len(shots)} shots is {context.shape[1]} long. Encode it again.",
        )
        prompts.append(
            Prompt(
                context,
                float(options.get("strength", 1.0)),
                percent_to_sigma(float(options.get("start_percent", 0.0))),
                percent_to_sigma(float(options.get("end_percent", 1.0))),
                None if shots is None else tuple(shots),
            )
        )
    return prompts


def match_batch(context: Tensor, batch: int) -> Tensor:
    """Repeat a context `[b,L,D]` in turn for a batch of `batch`. Raises SoraError if prompts would be lost."""
    count = context.shape[0]
    if count == batch:
        return context
    expect(
        batch % count == 0,
        f"There are {count} prompts for a batch of {batch} latents. Use one prompt, or one for each latent.",
    )
    return context.repeat(batch // count, 1, 1)


def stack_contexts(contexts: list[Tensor], batch: int) -> Tensor:
    """Stack contexts `[b,L_i,D]` as `[len*batch,max L,D]`.

    Shorter ones are padded with zeros at the end, which is how the text encoders here pad to their fixed
    length.
    """
    length = max(c.shape[1] for c in contexts)
    return torch.cat([F.pad(match_batch(c, batch), (0, 0, 0, length - c.shape[1])) for c in contexts])


def shared_shots(prompts: Sequence[Prompt], frames: int) -> tuple[int, ...] | None:
    """Find the latents of each shot where any of `prompts` is of several shots, else None.

    Raises SoraError when they disagree, or do not fill a latent of `frames` frames.
    """
    found = {p.shots for p in prompts if p.shots is not None}
    if not found:
        return None
    expect(len(found) == 1, "Two storyboards with different cuts are mixed. Use one, or equal cuts.")
    (shots,) = found
    expect(
        sum(shots) == frames,
        f"The storyboard is for {sum(shots)} latents, the latent has {frames}. Use the latent that came with it.",
    )
    return shots


def stack_shots(prompts: Sequence[Prompt], shots: int, batch: int) -> Tensor:
    """Stack contexts of `prompts` by shot, `[len(prompts)*batch*shots,L,D]`; a plain prompt is every shot's."""
    length = max(p.context.shape[1] // (shots if p.shots else 1) for p in prompts)
    parts = []
    for p in prompts:
        context = match_batch(p.context, batch)
        by_shot = context.unflatten(1, (shots, -1)) if p.shots else context[:, None].expand(-1, shots, -1, -1)
        parts.append(F.pad(by_shot, (0, 0, 0, length - by_shot.shape[2])).flatten(0, 1))
    return torch.cat(parts)
