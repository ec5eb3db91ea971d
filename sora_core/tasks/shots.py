"""The prompts of several shots as one CONDITIONING, in the form that a model reads.

*attention*: our transformer reads one context, the prompts one after the other, with the option SHOTS: how many latents
each is for. *masks*: any other model reads one prompt at a time, so each shot is a condition of its own, with a mask in
time; the sampler runs the model once for each and takes from each the latents of its shot. *none*: it reads no prompt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..diffusion.prompts import SHOTS
from ..errors import SoraError, expect

Form = Literal["attention", "masks", "none"]
Conditioning = list[Any]  # [[context [B,L,D], options], ...]
# Option of a condition: which shot it is for, as (its first latent, how many it has, how many there are in all).
SHOT = "sora_shot"
# Entry of a storyboard's LATENT: the numbers, from 0, of shots that are to stay as an earlier render has them.
KEEP = "sora_keep"


@dataclass(frozen=True)
class Streams:
    """What a model samples in one go: a video, and perhaps sound."""

    shapes: tuple[tuple[int, ...], ...]  # the video's [B,C,T,h,w] first
    times: tuple[int, ...] = (2,)  # the axis of time of each
    along: tuple[int, int] = (0, 0)  # latents in front of the video and behind it that are no part of it

    @property
    def latents(self) -> int:
        """Count the latents of the video."""
        return self.shapes[0][2] - sum(self.along)


def shots_conditioning(
    contexts: Sequence[Tensor], latents: Sequence[int], options: dict[str, Any] | None = None
) -> Conditioning:
    """Make the CONDITIONING of a storyboard for our transformer, from the shots' contexts `[1,L,D]`.

    latents: how many each is for. options: of the conditioning, besides those. Raises SoraError unless there is one
    number for each context.
    """
    _check_count(contexts, latents)
    # What reads them cuts the joined context into equal parts again, so all are padded to one length.
    shapes = {tuple(c.shape) for c in contexts}
    if len(shapes) > 1:
        length = max(c.shape[1] for c in contexts)
        contexts = [F.pad(c, (0, 0, 0, length - c.shape[1])) for c in contexts]
    return [[torch.cat(list(contexts), 1), {**(options or {}), SHOTS: tuple(int(n) for n in latents)}]]


def join_prompts(prompts: Sequence[Conditioning], latents: Sequence[int]) -> Conditioning:
    """Make the CONDITIONING of a storyboard for our transformer, from the shots' own; see `shots_conditioning`."""
    _check_count(prompts, latents)
    (first, options), *_ = prompts[0]
    # Our transformer reads no prompt as a whole.
    options = {key: value for key, value in options.items() if key != "pooled_output"}
    if len(prompts) == 1:
        return [[first, options]]
    return shots_conditioning([prompt[0][0] for prompt in prompts], latents, options)


def mask_prompts(prompts: Sequence[Conditioning], latents: Sequence[int], streams: Streams) -> Conditioning:
    """Make the CONDITIONING of a storyboard for a model that reads one prompt at a time.

    Each shot's conditions keep all options of their own: pooled outputs, attention masks, guidance. latents: how many
    each prompt is for. Raises SoraError unless there is one number for each prompt.
    """
    _check_count(prompts, latents)
    if len(prompts) == 1:
        return list(prompts[0])
    made, done, total = [], 0, sum(latents)
    for prompt, count in zip(prompts, latents, strict=True):
        made += [[context, _masked(options, (done, count, total), streams)] for context, options in prompt]
        done += count
    return made


def join_shots(
    prompts: Sequence[Conditioning], latents: Sequence[int], form: Form, streams: Streams, who: str
) -> Conditioning:
    """Make one CONDITIONING of the prompts of several shots, for so many latents each. who: the model, for messages.

    Raises SoraError for a model that reads no prompt.
    """
    if form == "none":
        raise SoraError(f"{who} reads no prompt, so it cannot follow a storyboard. Use another model.")
    return join_prompts(prompts, latents) if form == "attention" else mask_prompts(prompts, latents, streams)


def fit_prompts(conditioning: Conditioning, form: Form, streams: Streams, which: str, who: str) -> Conditioning:
    """Fit the conditions of a storyboard to a model and to what it is to sample; all others stay as they are.

    A storyboard in the form of our transformer is taken apart for a model that reads one prompt at a time. which: of a
    node's inputs, for messages; who: the model. Raises SoraError for a model without prompts, and for a storyboard of
    another length than the latent has.
    """
    made = []
    for context, options in conditioning:
        shots, shot = options.get(SHOTS), options.get(SHOT)
        if shots is None and shot is None:
            made.append([context, options])
            continue
        expect(form != "none", f"{which}: {who} reads no prompt, so it cannot follow a storyboard. Use another model.")
        total = sum(shots) if shots is not None else shot[2]
        expect(
            total == streams.latents,
            f"{which}: the storyboard is for {total} latents, the latent has {streams.latents}. Use the latent that "
            "came with it.",
        )
        if shots is None:
            made.append([context, _masked(options, shot, streams)])
        elif form == "attention":
            made.append([context, options])
        else:
            made += mask_prompts(_taken_apart(context, options, which), shots, streams)
    return made


def _taken_apart(context: Tensor, options: dict[str, Any], which: str) -> list[Conditioning]:
    """Cut a joined context into the prompts of its shots."""
    count = len(options[SHOTS])
    if context.shape[1] % count:
        raise SoraError(f"{which}: the prompt of {count} shots is {context.shape[1]} long. Encode it again.")
    # The joined form has no prompt as a whole. ComfyUI's text encoders say so where there is none.
    rest = {"pooled_output": None} | {key: value for key, value in options.items() if key != SHOTS}
    return [[[part, dict(rest)]] for part in context.unflatten(1, (count, -1)).unbind(1)]


def _masked(options: dict[str, Any], shot: tuple[int, int, int], streams: Streams) -> dict[str, Any]:
    """Copy the options of a condition, with the mask of its shot."""
    region = options.get("mask")
    # Ours have the axis of time, or are packed; one that was painted is of the picture, and goes on counting.
    painted = region if isinstance(region, Tensor) and region.ndim == 3 else None
    shown = {"strength": 1.0, "mask_strength": 1.0, **options, "set_area_to_bounds": False}
    return {**shown, "mask": shot_mask(shot, streams, painted), SHOT: shot}


def shot_mask(shot: tuple[int, int, int], streams: Streams, painted: Tensor | None = None) -> Tensor:
    """Make the mask of a shot: `[1,T,h,w]`, and of several streams `[1,N]` over all their values, one after the other.

    shot: its first latent, how many it has, and how many there are in all. painted: `[1,H,W]`, a region of the picture.
    What is sampled along and is no part of the video belongs to every shot.
    """
    first, count, total = shot
    masks = []
    for shape, axis, (front, behind) in zip(
        streams.shapes, streams.times, [streams.along] + [(0, 0)] * (len(streams.shapes) - 1), strict=True
    ):
        mask = torch.zeros(1, *shape[1:])
        length = shape[axis] - front - behind
        begin, end = (math.floor(at * length / total + 0.5) for at in (first, first + count))
        for start, stop in ((0, front), (front + begin, front + end), (front + length, shape[axis])):
            mask.narrow(axis, start, stop - start).fill_(1)
        masks.append(mask)
    if painted is not None:
        masks[0] = masks[0] * F.interpolate(painted[:1, None].float(), masks[0].shape[-2:], mode="bilinear")[:, :, None]
    return masks[0][:, 0] if len(masks) == 1 else torch.cat([mask.reshape(1, -1) for mask in masks], 1)


def _check_count(prompts: Sequence[Any], latents: Sequence[int]) -> None:
    expect(len(prompts) == len(latents) > 0, f"{len(prompts)} prompts for {len(latents)} shots: give one for each.")
