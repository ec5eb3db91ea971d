"""A storyboard of one window that is sampled again with some shots changed: the others are kept from the earlier one.

What was sampled stays in memory, a few results of this process, and not on disk: no policy has seen its frames yet. It
is found by what made it: model, sampler, noise levels, seed, size and each shot's prompt, see `tasks.long.spans`. A
shot that is marked as kept comes from the newest result that has it, whatever sampler and seed made that. All hosts of
a process share the results: whose they are does not change what is made, and each judges the frames itself.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..diffusion.prompts import SHOTS
from ..loading.fingerprint import fingerprint
from ..tasks.long.spans import Reuse, Span, keep, lost
from ..tasks.shots import KEEP, SHOT
from .conditioning import VAE
from .engine import Conditioning, Engine, Latent

LIMIT = 128 * 2**20  # bytes of all results
# Latents at the end of a shot that are made again when another one follows. None: all is sampled at once, so they would
# be from noise, and what came before a cut need not change. The first one after a new cut is made, see `spans`.
JOIN = 0

Key = tuple[str, str, tuple[Span, ...]]  # what model and size made a result, all settings, its shots
_results: OrderedDict[Key, tuple[Tensor, bool]] = OrderedDict()  # the newest last
_lock = threading.Lock()  # of `_results`: hosts run in threads of their own


def sample_shots(
    sample: Callable[[Latent], Latent],
    engine: Engine,
    model: Any,
    latent: Latent,
    positive: Conditioning,
    settings: Any,
    note: Callable[[str], None],
) -> Latent:
    """Sample a LATENT, and keep those shots of it that an earlier result of the same settings has.

    sample: samples a LATENT. settings: all that decides the result besides model, latent and positive prompt. note:
    called with what was kept.
    """
    shots, options = _shots_of(positive)
    spans = _spans_of(latent, shots)
    locked = latent.get(KEEP, ())
    latent = {key: value for key, value in latent.items() if key != KEEP}
    if spans is None or engine.latent_space(model=model).masks == "none":
        return sample(latent)
    # A VAE decides how a model is told of what is kept, and nothing of what is made from nothing.
    rest = {key: value for key, value in latent.items() if key not in ("samples", VAE)}
    size = [*latent["samples"].shape[3:]]
    kind = fingerprint([engine.fingerprint(model), size, rest, options], whole=True)
    family = fingerprint([kind, settings], whole=True)
    reuse = _find_locked(kind, family, spans, locked) if locked else _find(family, spans)
    if gone := lost(reuse, spans, locked):
        note(gone)
    if reuse is None:
        made = sample(latent)
    else:
        note(reuse.note())
        made = _keeping(sample, latent, reuse)
    samples = made["samples"]
    # Not what a model has put sound beside.
    if isinstance(samples, Tensor) and samples.shape[2] == spans[-1].end:
        _remember((kind, family, spans), samples, reuse is not None)
    return made


def forget() -> None:
    """Forget all results."""
    with _lock:
        _results.clear()


def _shots_of(positive: Conditioning) -> tuple[list[tuple[int, Any]], dict[str, Any]]:
    """Read the shots of a storyboard in either form, see `tasks.shots`: (latents, prompt) each, and what all share.

    There are none where the conditioning is no storyboard's.
    """
    if len(positive) == 1 and SHOTS in positive[0][1]:
        (context, options), counts = positive[0], positive[0][1][SHOTS]
        if context.shape[1] % len(counts):
            return [], {}
        # Prompts are padded to the longest one, which may have changed.
        parts = [_unpadded(part) for part in context.chunk(len(counts), 1)]
        shared = {key: value for key, value in options.items() if key != SHOTS}
        return list(zip(counts, parts, strict=True)), shared
    prompts: dict[tuple[int, int, int], list[Any]] = {}
    for context, options in positive:
        if SHOT not in options:
            return [], {}
        own = {key: value for key, value in options.items() if key not in (SHOT, "mask")}
        prompts.setdefault(options[SHOT], []).append([context, own])
    return [(count, prompt) for (_, count, _), prompt in sorted(prompts.items(), key=lambda item: item[0])], {}


def _spans_of(latent: Latent, shots: list[tuple[int, Any]]) -> tuple[Span, ...] | None:
    """Tell where the shots of a storyboard lie; None for what is none, or does not start from an empty latent."""
    samples = latent["samples"]
    if len(shots) < 2 or not isinstance(samples, Tensor) or samples.ndim != 5 or samples.shape[0] != 1:
        return None
    if "noise_mask" in latent or sum(count for count, _ in shots) != samples.shape[2] or bool(samples.any()):
        return None
    spans, begin = [], 0
    for count, prompt in shots:
        spans.append(Span(fingerprint([prompt, count], whole=True), begin, begin + count))
        begin += count
    return tuple(spans)


def _unpadded(context: Tensor) -> Tensor:
    """Cut the empty end off a context `[1,L,D]`."""
    used = context.any(2).any(0).nonzero()
    return context[:, : int(used.max()) + 1] if len(used) else context[:, :0]


def _find(family: str, spans: tuple[Span, ...]) -> Reuse | None:
    """Find the result that most can be kept of, the newest of several; None where there is none."""
    with _lock:
        results = dict(_results)
    own = [result for (_, other, earlier), result in results.items() if (other, earlier) == (family, spans)]
    if own:
        # Made as it was: from nothing, or else from the same latents.
        return keep(own[0][0], spans, spans, JOIN) if own[0][1] else None
    best = None
    for (_, other, earlier), (latents, _) in reversed(results.items()):
        found = keep(latents, earlier, spans, JOIN) if other == family else None
        if found is not None and (best is None or int(found.kept.sum()) > int(best.kept.sum())):
            best = found
    return best


def _find_locked(kind: str, family: str, spans: tuple[Span, ...], locked: Sequence[int]) -> Reuse | None:
    """Find the newest result that has the locked shots, or most of them. One of the same settings leaves more."""
    with _lock:
        results = dict(_results)
    best, count, settings = None, 0, ""
    for (other, made_by, earlier), (latents, _) in reversed(results.items()):
        found = keep(latents, earlier, spans, JOIN, locked) if other == kind else None
        has = 0 if found is None else sum(found.has(spans[number]) for number in locked)
        if has > count:
            best, count, settings = found, has, made_by
    if settings != family:
        return best
    own = results.get((kind, family, spans))
    return keep(own[0], spans, spans, JOIN) if own is not None else _find(family, spans) or best


def _keeping(sample: Callable[[Latent], Latent], latent: Latent, reuse: Reuse) -> Latent:
    """Sample what is not kept; the rest comes back bit by bit."""
    kept = reuse.kept.view(1, 1, -1, 1, 1)
    clean = torch.where(kept, reuse.latents, 0)
    if bool(reuse.kept.all()):
        return {**latent, "samples": clean}
    mask = (~kept).float().expand(1, 1, *clean.shape[2:]).contiguous()
    made = sample({**latent, "samples": clean, "noise_mask": mask})
    samples = made["samples"]
    made = {key: value for key, value in made.items() if key != "noise_mask"}
    return {**made, "samples": torch.where(kept.to(samples.device), clean.to(samples), samples)}


def _remember(key: Key, samples: Tensor, patched: bool) -> None:
    """Keep a result, and as many of those before as there is room for. patched: it is from an earlier one."""
    copy = samples.detach().cpu().clone()
    with _lock:
        _results[key] = copy, patched
        _results.move_to_end(key)
        left = LIMIT
        for other in reversed(list(_results)):
            left -= _results[other][0].nbytes
            if left < 0:
                del _results[other]
