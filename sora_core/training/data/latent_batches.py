"""Batches of latents with prompts, masks and noise: what the transformer learns from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import SoraError
from ...language import caption
from ...model.layout import UNTOLD
from ...model.text.concepts import UNKNOWN, TextEncoder
from ..loop.draws import Ranks, step_generator
from ..world.facts import shot_facts
from .batch import Batch
from .layouts import layout_of, shaken, tokens_around
from .masks import frame_mask
from .shards import Bucket, BucketSampler, open_buckets

PLACES = 6  # where a subject is and how large: x, y and size in the first frame, and in the last
_HIDDEN_WORDS = 0.02  # share of a prompt's words that are hidden


@dataclass(frozen=True)
class BatchSettings:
    """How batches of latents are drawn."""

    tokens: int = 6400  # the transformer's tokens in a batch, about
    # Shares of the steps by bucket name, which move linearly over the run. Without any, each bucket's is its size.
    weights_start: tuple[tuple[str, float], ...] = ()
    weights_end: tuple[tuple[str, float], ...] = ()
    shift: float = 2.0  # of the noise levels, towards noise
    text_drop: float = 0.1  # share of clips without a prompt, for guidance
    mask_share: float = 0.25  # share of clips of which some latents are kept, see `frame_mask`
    # The most noise in what half of the masked clips keep, of which the model is not told: what it goes on from at run
    # time is its own work, and its small errors must not be gone on with (GameNGen, arXiv 2408.14837).
    context_noise: float = 0.0
    # Share of the clips in several shots whose tokens read the prompt of their own shot; the others read one caption of
    # the whole.
    shot_prompts: float = 0.75
    chinese: float = 0.25  # share of the captions
    lengths: tuple[float, ...] = (0.4, 0.3, 0.3)  # shares of short, medium and long captions
    # Share of the clips whose layout is told, and how far it is off, in sizes of a subject.
    layouts: float = 0.0
    layout_noise: float = 0.03
    # Share of the steps that see `focus_tokens` tokens a clip alone, those around its subjects, and for that more clips
    # (as MaskDiT does, arXiv 2306.09305). Which tokens these are would tell where the subjects are, so all layouts are
    # told then. With shares by bucket name of its own.
    focus: float = 0.0
    focus_tokens: int = 128
    weights_focus: tuple[tuple[str, float], ...] = ()


def shift_noise(sigma: Tensor, shift: float) -> Tensor:
    """Move noise levels 0..1 towards noise: `s sigma / (1 + (s-1) sigma)` (SD3, arXiv 2403.03206, eq. 23)."""
    return shift * sigma / (1 + (shift - 1) * sigma)


def latent_buckets(data: str | Path) -> list[Bucket]:
    """Map the latent shards of a folder. Raises SoraError when there are none."""
    buckets = [b for b in open_buckets(Path(data)) if b.latents is not None]
    if not buckets:
        raise SoraError(f"{data} holds no latents. Make them with `sora train latents`.")
    return buckets


class LatentBatches:
    """Draws a step's batch: a pure function of (settings, seed, step, rank)."""

    def __init__(
        self,
        settings: BatchSettings,
        buckets: Sequence[Bucket],
        text: TextEncoder,  # which reads the prompts
        seed: int,
        steps: int,  # of the run, over which the buckets' shares move
        ranks: Ranks,
    ) -> None:
        self.settings, self.buckets, self.ranks = settings, buckets, ranks
        self.tokenizer, self.length = text.tokenizer, text.config.length
        self.seed, self.steps = seed, steps
        self.batch_sizes = [max(1, settings.tokens // b.tokens) for b in buckets]
        self.focus_sizes = [max(1, settings.tokens // min(settings.focus_tokens, b.tokens)) for b in buckets]
        # A bucket in which clips are cut gives every clip as many prompts as its longest storyboard has.
        self.slots = [max(len(f.get("shots", (0,))) for f in b.facts) for b in buckets]

    def focused(self, step: int) -> bool:
        """Tell whether a step sees the tokens around subjects alone: such steps are spread evenly."""
        return math.floor((step + 1) * self.settings.focus) > math.floor(step * self.settings.focus)

    def sampler(self, step: int) -> BucketSampler:
        """Return the sampler of a step: shares move linearly from `weights_start` to `weights_end` over the run."""
        if self.focused(step):
            named = dict(self.settings.weights_focus)
            weights = [named.get(b.name, 0.0) for b in self.buckets]
            sizes = [len(b) for b in self.buckets]
            return BucketSampler(sizes, self.focus_sizes, weights if any(weights) else sizes, self.seed, self.ranks)
        start, end = dict(self.settings.weights_start), dict(self.settings.weights_end)
        a = min(1.0, step / max(1, self.steps - 1))
        sizes = [len(b) for b in self.buckets]
        weights = [(1 - a) * start.get(b.name, 0.0) + a * end.get(b.name, 0.0) for b in self.buckets]
        return BucketSampler(sizes, self.batch_sizes, weights if any(weights) else sizes, self.seed, self.ranks)

    def bucket_of(self, step: int) -> Bucket:
        """Return the bucket that a step draws from."""
        return self.buckets[self.sampler(step).draw(step)[0]]

    def draw(self, step: int) -> Batch:
        """Draw the batch of a step."""
        cfg = self.settings
        number, indices = self.sampler(step).draw(step)
        bucket, slots = self.buckets[number], self.slots[number]
        latents, labels = bucket.array("latents"), bucket.array("labels")
        frames, whole = latents.shape[2], len(indices) * self.ranks.world_size
        rng = np.random.default_rng([self.seed, step, 2])
        # Drawn for all ranks and sliced, so that n ranks together see one process's batch.
        masks = np.stack([frame_mask(rng, frames, cfg.mask_share) for _ in range(whole)])
        seeds = rng.integers(0, 2**63, whole)
        generator = step_generator(self.seed, step)
        noise = torch.randn(whole, *latents.shape[1:], generator=generator)
        sigma = shift_noise(torch.sigmoid(torch.randn(whole, generator=generator)), cfg.shift)
        context = torch.from_numpy(rng.random(whole) * (rng.random(whole) < 0.5)).float() * cfg.context_noise
        part = slice(self.ranks.rank * len(indices), (self.ranks.rank + 1) * len(indices))
        facts = [bucket.facts[i] for i in indices]
        prompts = [
            self._prompt_ids(f, np.random.default_rng(s), slots, frames)
            for f, s in zip(facts, seeds[part], strict=True)
        ]
        ids = torch.stack([ids for ids, _ in prompts])
        words, places = self._subject_places(facts, ids)
        named = torch.from_numpy(labels[indices].reshape(len(indices), -1).astype(np.int64))
        layout, focus = self._layouts(step, facts, named, latents.shape[2:], seeds[part])
        generate = torch.from_numpy(masks[part])
        return Batch(
            torch.from_numpy(latents[indices].astype(np.float32)),
            named,
            ids,
            torch.tensor([reads for _, reads in prompts]),
            torch.ones_like(generate) if focus.shape[1] else generate,
            context[part],
            self.ranks.slice(noise),
            self.ranks.slice(sigma),
            words,
            places,
            layout,
            focus,
        )

    def _layouts(
        self, step: int, facts: Sequence[dict[str, Any]], labels: Tensor, shape: Sequence[int], seeds: np.ndarray
    ) -> tuple[Tensor, Tensor]:
        """Return layouts and what tokens are seen, see `Batch`.

        labels: `[B,N]`; shape: (T, H, W) of the latents; seeds: one for each clip.
        """
        cfg, (frames, h, w) = self.settings, shape
        layouts, focus = [], []
        for fact, label, seed in zip(facts, labels.numpy(), seeds, strict=True):
            rng = np.random.default_rng([seed, 3])
            layouts.append(shaken(layout_of(fact, frames), rng, cfg.layout_noise))
            if self.focused(step):
                focus.append(tokens_around(label, (frames, h // 2, w // 2), cfg.focus_tokens, rng))
            elif rng.random() >= cfg.layouts:
                layouts[-1][:] = UNTOLD
        seen = np.array(focus, np.int64).reshape(len(facts), -1)
        return torch.from_numpy(np.stack(layouts)), torch.from_numpy(seen)

    def _caption(self, fact: dict[str, Any], rng: np.random.Generator) -> str:
        """Draw a caption: one of a user's own, or one that tells the facts."""
        if "captions" in fact:
            return str(rng.choice(fact["captions"]))
        kind = ("short", "medium", "long")[rng.choice(3, p=self.settings.lengths)]
        return caption(fact, rng, "zh" if rng.random() < self.settings.chinese else "en", kind)

    def _prompt_ids(
        self, fact: dict[str, Any], rng: np.random.Generator, slots: int, latents: int
    ) -> tuple[Tensor, list[int]]:
        """Draw the text tokens `[slots,L]` of a clip of `latents` latents, and which prompt each latent reads."""
        cfg = self.settings
        out = torch.zeros(slots, self.length, dtype=torch.long)
        shots = fact.get("shots", ())
        ends = [1 + (shot["end"] - 1) // 4 for shot in shots] if slots > 1 else [latents]
        reads = [number for number, n in enumerate(np.diff([0, *ends])) for _ in range(n)]
        if rng.random() < cfg.text_drop:
            return out, reads
        if slots > 1 and rng.random() < cfg.shot_prompts:
            texts = [self._caption(shot_facts(fact, i), rng) for i in range(len(shots))]
        else:
            texts = [self._caption(fact, rng)] * len(ends)
        for row, text in zip(out, texts, strict=False):
            ids = np.array(self.tokenizer.ids(text, self.length))
            # A few words are hidden, so that an unknown word at run time is a familiar sight.
            ids[rng.random(len(ids)) < _HIDDEN_WORDS] = UNKNOWN
            row[: len(ids)] = torch.from_numpy(ids)
        return out, reads

    def _subject_places(self, facts: Sequence[dict[str, Any]], ids: Tensor) -> tuple[Tensor, Tensor]:
        """Find the words that name a subject, and where that is: see `Batch`. Of clips of the world in one shot."""
        words, places = [], []
        for clip, fact in enumerate(facts):
            for subject in fact.get("subjects", ()) if len(fact.get("shots", ())) == 1 else ():
                path = np.asarray(subject.get("path", ()), float)
                named = self.tokenizer.ids(subject["name"], 2)
                if len(named) != 1 or path.ndim != 2 or not np.isfinite(path[[0, -1]]).all():
                    continue
                frame = (fact["width"], fact["height"], min(fact["width"], fact["height"]))
                place = (path[[0, -1]] / frame).clip(0, 1).ravel()
                for at in (ids[clip, 0] == named[0]).nonzero().flatten().tolist():
                    words.append((clip, at))
                    places.append(place)
        shape = (len(words), PLACES)
        return torch.tensor(words, dtype=torch.long).view(-1, 2), torch.tensor(np.array(places)).float().view(shape)
