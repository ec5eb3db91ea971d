"""A storyboard of one window that is sampled again with some shots changed: the others are kept from the earlier one.

What was sampled stays in memory, a few results of this process, and not on disk: no policy has seen its frames yet. It
is found by what made it: model, sampler, noise levels, seed, size and each shot's prompt, see `tasks.long.spans`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..diffusion.prompts import SHOTS
from ..loading.identity import identity
from ..tasks.long.spans import Again, Span, keep
from .engine import Conditioning, Engine, Latent

LIMIT = 128 * 2**20  # bytes of all results
# Latents at the end of a shot that are made again when another one follows. None: all is sampled at once, so they would
# be from noise, and what came before a cut need not change. The first one after a new cut is made, see `spans`.
JOIN = 0

_results: OrderedDict[tuple[str, tuple[Span, ...]], tuple[Tensor, bool]] = OrderedDict()  # the newest last


def sample_shots(
    sample: Callable[[Latent], Latent],
    engine: Engine,
    model: Any,
    latent: Latent,
    positive: Conditioning,
    settings: Any,
    tell: Callable[[str], None],
) -> Latent:
    """Sample a LATENT, and keep those shots of it that an earlier result of the same settings has.

    sample: samples a LATENT. settings: all that decides the result besides model, latent and positive prompt. tell:
    called with what was kept.
    """
    spans = _spans_of(latent, positive)
    if spans is None or engine.latent_space(model=model).masks == "none":
        return sample(latent)
    options = {key: value for key, value in positive[0][1].items() if key != SHOTS}
    rest = {key: value for key, value in latent.items() if key != "samples"}
    family = identity([engine.identity(model), [*latent["samples"].shape[3:]], rest, options, settings], whole=True)
    again = _find(family, spans)
    if again is None:
        made = sample(latent)
    else:
        tell(again.told())
        made = _keeping(sample, latent, again)
    if made["samples"].shape[2] == spans[-1].end:
        _remember(family, spans, made["samples"], again is not None)
    return made


def forget() -> None:
    """Forget all results."""
    _results.clear()


def _spans_of(latent: Latent, positive: Conditioning) -> tuple[Span, ...] | None:
    """Read where the shots of a storyboard lie; None for what is none, or does not start from an empty latent."""
    samples = latent["samples"]
    counts = positive[0][1].get(SHOTS) if len(positive) == 1 else None
    if counts is None or len(counts) < 2 or samples.ndim != 5 or samples.shape[0] != 1 or "noise_mask" in latent:
        return None
    context = positive[0][0]
    if sum(counts) != samples.shape[2] or context.shape[1] % len(counts) or bool(samples.any()):
        return None
    spans, begin = [], 0
    for count, part in zip(counts, context.chunk(len(counts), 1), strict=True):
        # Prompts are padded to the longest one, which may have changed.
        spans.append(Span(identity([_unpadded(part), count], whole=True), begin, begin + count))
        begin += count
    return tuple(spans)


def _unpadded(context: Tensor) -> Tensor:
    """Cut the empty end off a context `[1,L,D]`."""
    used = context.any(2).any(0).nonzero()
    return context[:, : int(used.max()) + 1] if len(used) else context[:, :0]


def _find(family: str, spans: tuple[Span, ...]) -> Again | None:
    own = _results.get((family, spans))
    if own is not None:
        # Made as it was: from nothing, or else from the same latents.
        return keep(own[0], spans, spans, JOIN) if own[1] else None
    found = None
    for (other, earlier), (latents, _) in reversed(_results.items()):
        again = keep(latents, earlier, spans, JOIN) if other == family else None
        if again is not None and (found is None or int(again.kept.sum()) > int(found.kept.sum())):
            found = again
    return found


def _keeping(sample: Callable[[Latent], Latent], latent: Latent, again: Again) -> Latent:
    """Sample what is not kept; the rest comes back bit by bit."""
    kept = again.kept.view(1, 1, -1, 1, 1)
    clean = torch.where(kept, again.latents, 0)
    if bool(again.kept.all()):
        return {**latent, "samples": clean}
    mask = (~kept).float().expand(1, 1, *clean.shape[2:]).contiguous()
    made = sample({**latent, "samples": clean, "noise_mask": mask})
    samples = made["samples"]
    made = {key: value for key, value in made.items() if key != "noise_mask"}
    return {**made, "samples": torch.where(kept.to(samples.device), clean.to(samples), samples)}


def _remember(family: str, spans: tuple[Span, ...], samples: Tensor, patched: bool) -> None:
    _results[family, spans] = samples.detach().cpu().clone(), patched
    _results.move_to_end((family, spans))
    left = LIMIT
    for key in reversed(list(_results)):
        left -= _results[key][0].nbytes
        if left < 0:
            del _results[key]
