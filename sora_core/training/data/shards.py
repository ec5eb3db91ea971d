"""Training data on disk: one folder per clip shape, memory-mapped, written once and sampled by step number.

    DATA/17x128x128/frames.npy   uint8 [N,T,H,W,3]
                    alpha.npy    uint8 [N,T,H/4,W/4]      how much of the pixel is a subject's
                    labels.npy   uint8 [N,1+k,H/16,W/16]  subject class per token, 0 = none
                    facts.jsonl  one object per clip: what the captions are made of
    LATENTS/17x128x128/latents.npy float16 [N,C,1+k,H/8,W/8], plus labels.npy and facts.jsonl

Which clips make a batch is a pure function of (seed, step, rank): a run resumed at step n sees what the
uninterrupted run would have seen.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import SoraError, expect


def token_labels(labels: np.ndarray, classes: int, cover: float = 0.2) -> np.ndarray:
    """Pixel labels `[T,H,W]` (T = 1+4k) -> the dominant subject of each 16x16 token `[1+k,H/16,W/16]`.

    A token belongs to a subject that covers at least `cover` of its pixels, over the four frames of its group.
    """
    t, h, w = labels.shape
    padded = np.concatenate((np.repeat(labels[:1], 3, 0), labels))
    cells = padded.reshape(-1, 4, h // 16, 16, w // 16, 16).transpose(0, 2, 4, 1, 3, 5).reshape(-1, 4 * 256)
    out = np.zeros(len(cells), np.uint8)
    for i in np.flatnonzero(cells.any(1)):
        counts = np.bincount(cells[i], minlength=classes + 1)
        best = 1 + counts[1:].argmax()
        if counts[best] >= cover * cells.shape[1]:
            out[i] = best
    return out.reshape(-1, h // 16, w // 16)


def shape_name(frames: int, height: int, width: int) -> str:
    return f"{frames}x{height}x{width}"


def _render(job: tuple) -> list[dict]:
    """Worker: render the clips of `seeds` into the arrays of folder `part`, from row `first` on; returns their facts.
    Imported lazily so that only rendering needs OpenCV.
    """
    from ..world import PRESETS, World
    from ..world.split import REDRAWS, shows_held_out

    part, row, preset, sprites, seeds, frames, height, width, excerpts, whole = job
    config = PRESETS[preset]
    world = World(config, sprites)
    # Pixels go into the maps here: through the pool's pipe, one process would carry those of all.
    arrays = {name: np.load(part / f"{name}.npy", mmap_mode="r+") for name in ("frames", "alpha", "labels")}
    facts = []
    for at, first in enumerate(seeds, row):
        cut = frames > 1 and np.random.default_rng([first, 17]).random() < excerpts
        draw = world.excerpt if cut else world.sample
        for seed in (first, *(first + n * REDRAWS for n in range(1, 100))):
            clip = draw(seed, height, width, frames)
            if whole or not shows_held_out(clip.facts):
                break
        arrays["frames"][at], arrays["alpha"][at] = clip.frames, clip.alpha[:, 2::4, 2::4]
        arrays["labels"][at] = token_labels(clip.labels, len(config.subjects))
        facts.append(clip.facts)
    return facts


def render_shards(
    out: Path,
    preset: str,
    sprites: Path | None,
    shapes: dict[tuple[int, int, int], int],
    seed: int = 0,
    workers: int = 1,
    label: str = "",
    excerpts: float = 0.0,
    whole: bool = False,
) -> None:
    """Render `shapes[(frames, height, width)]` clips of the world of `preset` into `out`.

    whole: of the whole world; without it, combinations that are kept for tests (`world.split`) are drawn anew.

    label: ends the folders' names, so that clips of several presets lie side by side. excerpts: share of clips that
    are cut out of longer ones. A shape's folder appears under its final name only when complete.
    """
    from ..world import PRESETS

    expect(preset in PRESETS, f"There is no world {preset!r}. There are: {', '.join(PRESETS)}.")
    for (frames, height, width), count in shapes.items():
        final = out / (shape_name(frames, height, width) + (f"-{label}" if label else ""))
        if final.exists():
            continue
        part = final.with_name(final.name + ".part")
        part.mkdir(parents=True, exist_ok=True)
        k = 1 + (frames - 1) // 4
        open_map = np.lib.format.open_memmap
        for name, shape in (
            ("frames", (count, frames, height, width, 3)),
            ("alpha", (count, frames, height // 4, width // 4)),
            ("labels", (count, k, height // 16, width // 16)),
        ):
            open_map(part / f"{name}.npy", "w+", np.uint8, shape)
        first = (seed * 10_000_000 + frames * 100_000 + height * 1000 + width) * 1000
        how = (frames, height, width, excerpts, whole)
        jobs = [
            (part, i, preset, sprites, [first + n for n in range(i, min(i + 16, count))], *how)
            for i in range(0, count, 16)
        ]
        with (part / "facts.jsonl").open("w") as facts, ProcessPoolExecutor(workers) as pool:
            for chunk in pool.map(_render, jobs):
                for fact in chunk:
                    facts.write(json.dumps(fact, ensure_ascii=False) + "\n")
        os.replace(part, final)


@dataclass
class Bucket:
    """All clips of one shape. `frames`, `alpha`, `labels`, `latents` are memory maps or None."""

    name: str
    facts: list[dict]
    frames: np.ndarray | None = None
    alpha: np.ndarray | None = None
    labels: np.ndarray | None = None
    latents: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.facts)

    @property
    def tokens(self) -> int:
        """Transformer tokens of one clip at patch 1x2x2."""
        _, t, h, w = self.latents.shape[1:]
        return t * (h // 2) * (w // 2)


def open_buckets(root: Path) -> list[Bucket]:
    """Map every complete shape folder under `root`. Raises `SoraError` when there is none."""
    buckets = []
    for folder in sorted(p for p in Path(root).glob("*x*x*") if p.is_dir() and p.suffix != ".part"):
        maps = {p.stem: np.load(p, mmap_mode="r") for p in folder.glob("*.npy")}
        facts = [json.loads(line) for line in (folder / "facts.jsonl").read_text().splitlines()]
        buckets.append(Bucket(folder.name, facts, **maps))
    if not buckets:
        raise SoraError(f"No training shards in {root}. Make them with `sora train data` (and `sora train latents`).")
    return buckets


class BucketSampler:
    """Chooses (bucket, indices) for a step. Every batch has one shape and about `token_budget` tokens.

    With `world_size` ranks each rank takes its own slice of one shared draw, so that n ranks see what one
    process with n times the budget sees.
    """

    def __init__(
        self,
        sizes: list[int],
        batch_sizes: list[int],
        weights: list[float],
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.sizes, self.batch_sizes = sizes, batch_sizes
        self.weights = np.asarray(weights, float) / np.sum(weights)
        self.seed, self.rank, self.world_size = seed, rank, world_size

    def draw(self, step: int) -> tuple[int, np.ndarray]:
        rng = np.random.default_rng([self.seed, step])
        bucket = int(rng.choice(len(self.sizes), p=self.weights))
        n = self.batch_sizes[bucket]
        indices = rng.integers(0, self.sizes[bucket], n * self.world_size)
        return bucket, indices[self.rank * n : (self.rank + 1) * n]
