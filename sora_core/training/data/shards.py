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
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from ...errors import SoraError, expect
from ..loop.draws import Ranks

ONE_PROCESS = Ranks(0, 1)
_CHUNK = 16  # clips that one job renders


def token_labels(labels: np.ndarray, classes: int, cover: float = 0.2) -> np.ndarray:
    """Name the dominant subject of each 16x16 token `[1+k,H/16,W/16]` from pixel labels `[T,H,W]`, T = 1+4k.

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
    """Name the folder of a clip shape."""
    return f"{frames}x{height}x{width}"


class _Job(NamedTuple):
    """Clips that one worker renders."""

    part: Path  # the folder whose arrays they go into
    row: int  # of the first in the arrays
    preset: str
    sprites: Path | None
    seeds: list[int]
    frames: int
    height: int
    width: int
    excerpts: float
    whole: bool


def _render(job: _Job) -> list[dict[str, Any]]:
    """Render a job's clips into the arrays of its folder; returns their facts. A worker runs it."""
    # Only rendering needs OpenCV.
    from ..world import PRESETS, World
    from ..world.split import REDRAWS, shows_held_out

    config = PRESETS[job.preset]
    world = World(config, job.sprites)
    # Pixels go into the maps here: through the pool's pipe, one process would carry those of all.
    arrays = {name: np.load(job.part / f"{name}.npy", mmap_mode="r+") for name in ("frames", "alpha", "labels")}
    facts = []
    for at, first in enumerate(job.seeds, job.row):
        cut = job.frames > 1 and np.random.default_rng([first, 17]).random() < job.excerpts
        draw = world.excerpt if cut else world.sample
        for seed in (first, *(first + n * REDRAWS for n in range(1, 100))):
            clip = draw(seed, job.height, job.width, job.frames)
            if job.whole or not shows_held_out(clip.facts):
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

    sprites: folder of the subjects' pictures, None for drawn ones. label: ends the folders' names, so that clips of
    several presets lie side by side. excerpts: share of clips that are cut out of longer ones. whole: of the whole
    world; without it, combinations that are kept for tests (`world.split`) are drawn anew.

    A shape's folder appears under its final name only when complete; one that is there is kept. Raises SoraError for an
    unknown preset.
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
        for name, shape in (
            ("frames", (count, frames, height, width, 3)),
            ("alpha", (count, frames, height // 4, width // 4)),
            ("labels", (count, k, height // 16, width // 16)),
        ):
            np.lib.format.open_memmap(part / f"{name}.npy", "w+", np.uint8, shape)
        # Far apart, so that clips of different shapes and seeds are different clips.
        first = (seed * 10_000_000 + frames * 100_000 + height * 1000 + width) * 1000
        jobs = [
            _Job(
                part,
                i,
                preset,
                sprites,
                [first + n for n in range(i, min(i + _CHUNK, count))],
                frames,
                height,
                width,
                excerpts,
                whole,
            )
            for i in range(0, count, _CHUNK)
        ]
        with (part / "facts.jsonl").open("w") as facts, ProcessPoolExecutor(workers) as pool:
            for chunk in pool.map(_render, jobs):
                for fact in chunk:
                    facts.write(json.dumps(fact, ensure_ascii=False) + "\n")
        os.replace(part, final)


@dataclass
class Bucket:
    """All clips of one shape. The arrays are memory maps, None where the folder has no such file."""

    name: str
    facts: list[dict[str, Any]]
    frames: np.ndarray | None = None
    alpha: np.ndarray | None = None
    labels: np.ndarray | None = None
    latents: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.facts)

    def array(self, name: Literal["frames", "alpha", "labels", "latents"]) -> np.ndarray:
        """Return one of the arrays. Raises SoraError where the bucket has none of that name."""
        array: np.ndarray | None = getattr(self, name)
        if array is None:
            raise SoraError(f"The training shards {self.name} hold no {name}. Make them with `sora train`.")
        return array

    @property
    def tokens(self) -> int:
        """Transformer tokens of one clip at patch 1x2x2."""
        _, t, h, w = self.array("latents").shape[1:]
        return t * (h // 2) * (w // 2)


def open_buckets(root: Path) -> list[Bucket]:
    """Map every complete shape folder under `root`. Raises SoraError when there is none."""
    buckets = []
    for folder in sorted(p for p in Path(root).glob("*x*x*") if p.is_dir() and p.suffix != ".part"):
        maps = {p.stem: np.load(p, mmap_mode="r") for p in folder.glob("*.npy")}
        facts = [json.loads(line) for line in (folder / "facts.jsonl").read_text().splitlines()]
        buckets.append(Bucket(folder.name, facts, **maps))
    if not buckets:
        raise SoraError(f"No training shards in {root}. Make them with `sora train data` (and `sora train latents`).")
    return buckets


class BucketSampler:
    """Chooses the bucket and the clips of a step, so that every batch has one shape.

    With several ranks each takes its own slice of one shared draw: n ranks see what one process with n times the batch
    sees.
    """

    def __init__(
        self,
        sizes: Sequence[int],  # clips of each bucket
        batch_sizes: Sequence[int],  # clips of a batch of each
        weights: Sequence[float],  # how often each is drawn
        seed: int,
        ranks: Ranks = ONE_PROCESS,
    ) -> None:
        self.sizes, self.batch_sizes = sizes, batch_sizes
        self.weights = np.asarray(weights, float) / np.sum(weights)
        self.seed, self.ranks = seed, ranks

    def draw(self, step: int) -> tuple[int, np.ndarray]:
        """Draw the number of a bucket and the numbers of this rank's clips in it."""
        rng = np.random.default_rng([self.seed, step])
        bucket = int(rng.choice(len(self.sizes), p=self.weights))
        n, (rank, world_size) = self.batch_sizes[bucket], self.ranks
        indices = rng.integers(0, self.sizes[bucket], n * world_size)
        return bucket, indices[rank * n : (rank + 1) * n]
