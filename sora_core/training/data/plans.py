"""Batches of layouts with prompts: what the planner of layouts learns from. No picture is needed for that."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...language import caption
from ...model.layout import LONGEST
from ...model.text.concepts import Tokenizer
from ..loop.draws import Ranks, step_generator
from ..world.facts import shot_facts
from .batch import TensorFields
from .layouts import layout_of

_FIRST_SEED = 600_000_000_000  # of clips that are told and never rendered, far from those of the shards
_CHUNK = 250  # clips that one job tells


@dataclass(frozen=True)
class PlanSettings:
    """How batches of layouts are drawn."""

    batch: int = 192  # clips
    draws: int = 3  # of noise for each: prompts are dear, layouts cheap
    # Further clips of the world that are not rendered: (preset, frames, height, width, how many).
    worlds: tuple[tuple[str, int, int, int, int], ...] = ()
    shorter: float = 0.3  # share of the batches whose clips end sooner
    text_drop: float = 0.05  # share of clips without a prompt
    sparse: float = (
        0.25  # share of prompts of which all words but the subjects' may be missing, as users leave them out
    )
    chinese: float = 0.25  # share of the captions
    lengths: tuple[float, ...] = (0.4, 0.3, 0.3)  # shares of short, medium and long captions


@dataclass
class PlanBatch(TensorFields):
    """Layouts of clips of one shape, with their prompts and noise."""

    layout: Tensor  # [B,T,SLOTS,FIGURES]
    ids: Tensor  # [B,L] text tokens
    noise: Tensor  # [draws*B,T,SLOTS*FIGURES], all clips with the first noise first
    level: Tensor  # [draws*B] of the noise, 0..1
    aspect: float  # width over height


def tell_clips(preset: str, frames: int, height: int, width: int, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """List the facts of clips of a world that no test asks for, in which nothing befalls a subject."""
    from ..world import PRESETS, World
    from ..world.split import REDRAWS, shows_held_out

    world, found = World(PRESETS[preset]), []
    for first in seeds:
        for seed in (first, *(first + n * REDRAWS for n in range(1, 100))):
            facts = world.facts(seed, height, width, frames)
            # How much is seen of what is hidden, popped or eaten is known once it is rendered.
            if not shows_held_out(facts) and not facts["events"]:
                found.append(facts)
                break
    return found


def told_worlds(settings: PlanSettings) -> list[list[dict[str, Any]]]:
    """Return the facts of the clips of each of `settings.worlds`."""
    made = []
    with ProcessPoolExecutor() as pool:
        for number, (preset, frames, height, width, count) in enumerate(settings.worlds):
            first = _FIRST_SEED + 10_000_000 * number
            chunks = [range(first + at, first + min(at + _CHUNK, count)) for at in range(0, count, _CHUNK)]
            jobs = [pool.submit(tell_clips, preset, frames, height, width, chunk) for chunk in chunks]
            made.append([fact for job in jobs for fact in job.result()])
    return made


class PlanBatches:
    """Draws a step's batch: a pure function of (settings, seed, step, rank)."""

    def __init__(
        self,
        settings: PlanSettings,
        clips: Sequence[Sequence[dict[str, Any]]],  # facts of clips of one shape each
        tokenizer: Tokenizer,
        length: int,  # of a prompt, in tokens
        seed: int,
        ranks: Ranks,
    ) -> None:
        self.settings, self.clips = settings, [each for each in clips if each and _latents(each[0]) <= LONGEST]
        self.tokenizer, self.length, self.seed, self.ranks = tokenizer, length, seed, ranks
        # By the roots of their sizes: what is rare has the most to learn from.
        sizes = np.sqrt([len(each) for each in self.clips])
        self.shares = sizes / sizes.sum()

    def draw(self, step: int) -> PlanBatch:
        """Draw the batch of a step."""
        cfg = self.settings
        rng = np.random.default_rng([self.seed, step])
        clips = self.clips[int(rng.choice(len(self.clips), p=self.shares))]
        picks = rng.integers(0, len(clips), cfg.batch * self.ranks.world_size)
        part = slice(self.ranks.rank * cfg.batch, (self.ranks.rank + 1) * cfg.batch)
        rng = np.random.default_rng([self.seed, step, 1, self.ranks.rank])
        shots = [_one_shot(clips[i], rng) for i in picks[part]]
        length = min(len(layout) for _, layout in shots)
        if rng.random() < cfg.shorter:
            length = int(rng.integers(1, length + 1))
        layout = torch.from_numpy(np.stack([layout[:length] for _, layout in shots]))
        generator = step_generator(self.seed, step * self.ranks.world_size + self.ranks.rank)
        return PlanBatch(
            layout,
            torch.stack([self._ids(fact, rng) for fact, _ in shots]),
            torch.randn(cfg.draws * len(layout), length, layout[0, 0].numel(), generator=generator),
            torch.rand(cfg.draws * len(layout), generator=generator),
            clips[0]["width"] / clips[0]["height"],
        )

    def _ids(self, fact: dict[str, Any], rng: np.random.Generator) -> Tensor:
        cfg, out = self.settings, torch.zeros(self.length, dtype=torch.long)
        if rng.random() < cfg.text_drop:
            return out
        kind = ("short", "medium", "long")[rng.choice(3, p=cfg.lengths)]
        ids = self.tokenizer.ids(caption(fact, rng, "zh" if rng.random() < cfg.chinese else "en", kind), self.length)
        if rng.random() < cfg.sparse:
            names = {i for s in fact["subjects"] for i in self.tokenizer.ids(s["name"], self.length)}
            kept = rng.random(len(ids)) < rng.random()
            ids = [i for i, keep in zip(ids, kept, strict=True) if keep or i in names]
        out[: len(ids)] = torch.tensor(ids, dtype=torch.long)
        return out


def _latents(fact: dict[str, Any]) -> int:
    return 1 + (fact["frames"] - 1) // 4


def _one_shot(fact: dict[str, Any], rng: np.random.Generator) -> tuple[dict[str, Any], np.ndarray]:
    """Draw one of a clip's shots: its facts, and the layout of its latents."""
    layout, shots = layout_of(fact, _latents(fact)), fact.get("shots", ())
    if len(shots) < 2:
        return fact, layout
    number = int(rng.integers(len(shots)))
    ends = [0, *(1 + (shot["end"] - 1) // 4 for shot in shots)]
    return shot_facts(fact, number), layout[ends[number] : ends[number + 1]]
