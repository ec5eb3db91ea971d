"""Runs of the abilities: cases, the truth through the VAE, what the model makes of them, and how both are judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...diffusion.sampling import sample
from ...latents.decoding import decode, encode_stream
from ...observer.network import Observer, shrink
from ...observer.watch import Sight, watch_batch
from ...pipeline.make import Sampling
from ...pipeline.pipeline import Pipeline
from ...safety.gate import check_text
from ...tasks.shots import shots_conditioning
from .cases import ABILITIES, FIRST_SEED, Case, Draw
from .clues import Watch
from .judge import closely, judge, look_closely
from .measures import proportion, speed
from .viewer import Eyes

REFINE = 24  # steps of the VAE's measurement, beside that of the encoder alone
BATCH = 25  # clips that are sampled together
SIDE, FRAMES = 128, 17  # of a clip
# In per cent, for a guess that knows the classes; None where a guess has nothing to hit.
CHANCE = {"scene": 10.0, "motion": 25.0, "camera": 6.7, "relation": 25.0}
BY_VIEWER = "named by a viewer"  # what `Eyes` says, beside the verdicts of `judge`
SHOWN = 6  # clips an ability that are kept to look at


@dataclass
class Shown:
    """A clip to look at, and how it was judged."""

    case: Case
    model: np.ndarray  # uint8 [T,H,W,3], what the model made
    truth: np.ndarray  # uint8 [T,H,W,3], the world's clip through the VAE
    verdict: dict[str, bool]


@dataclass
class Result:
    """What came of an ability."""

    # By measure: "model" and "truth" as `proportion` gives them, and "chance" in per cent or None.
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)  # that are no shares
    shown: list[Shown] = field(default_factory=list)
    seconds: float = 0.0


class Maker:
    """Samples cases in batches, as clips of `side`x`side` pixels.

    Each begins with the noise of its own seed; a stochastic sampler's later noise is the batch's.
    """

    def __init__(
        self,
        pipe: Pipeline,
        steps: int,
        cfg: float,
        sampler: str,
        scheduler: str,
        side: int = SIDE,
        cache: float = 0.0,
        gate: float = 0.0,
    ) -> None:
        self.model = Sampling(cache=cache, gate=gate).patched(pipe.engine, pipe.model)
        self.pipe, self.steps, self.cfg, self.side = pipe, steps, cfg, side
        self.sampler, self.scheduler = sampler, scheduler

    def make(self, cases: list[Case]) -> np.ndarray:
        """Make clips of cases of one layout of shots: float `[B,T,H,W,3]` 0..1."""
        return self.shown(self.latents(cases))

    @torch.no_grad()
    def shown(self, latents: Tensor) -> np.ndarray:
        """Decode latents `[B,C,T,h,w]` to float `[B,T,H,W,3]` 0..1."""
        return decode(self.pipe.vae, latents).numpy()

    @torch.no_grad()
    def latents(self, cases: list[Case]) -> Tensor:
        """Sample the latents `[B,C,T,h,w]` of cases of one layout of shots."""
        pipe, vae = self.pipe, self.pipe.vae
        cell = vae.config.spatial_ratio
        shape = (vae.config.latent_channels, vae.latent_frames(FRAMES), self.side // cell, self.side // cell)
        noise = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(c.seed)) for c in cases])
        for case in cases:
            for prompt in case.prompts:
                check_text(prompt)
        contexts = [pipe.text.encode([c.prompts[k] for c in cases]) for k in range(len(cases[0].prompts))]
        latents = cases[0].latents
        positive: Any = shots_conditioning(contexts, latents) if len(contexts) > 1 else contexts[0]
        return sample(
            self.model,
            {"samples": torch.zeros_like(noise)},
            positive,
            pipe.text.encode([""] * len(cases)) if self.cfg != 1 else None,
            seed=cases[0].seed,
            sampler=self.sampler,
            sigmas=pipe.engine.make_sigmas(self.model, self.scheduler, self.steps, 1.0, self.sampler),
            cfg=self.cfg,
            noise=noise,
        )["samples"]

    @torch.no_grad()
    def through(self, clips: np.ndarray, refine: int = 0, corrections: int | None = 0) -> np.ndarray:
        """Send the world's clips float `[B,T,H,W,3]` 0..1 through the VAE and back.

        By default from the encoder's latents as they are, for such the model learned to make; refine, corrections: as
        `latents.decoding.encode_stream` has them.
        """
        video = torch.from_numpy(clips).movedim(-1, 1)
        latents = torch.cat(list(encode_stream(self.pipe.vae, video, refine, corrections=corrections)), 2)
        return self.shown(latents.float())


def batches(cases: list[Case], size: int = BATCH) -> Iterator[list[Case]]:
    """Yield cases of one layout of shots together, at most `size`."""
    by_layout: dict[tuple[int, ...], list[Case]] = {}
    for case in cases:
        by_layout.setdefault(case.latents, []).append(case)
    for same in by_layout.values():
        yield from (same[i : i + size] for i in range(0, len(same), size))


def run_ability(
    name: str, draw: Draw, maker: Maker, observer: Observer, clips: int, progress: Callable[[str], None]
) -> Result:
    """Make and judge `clips` clips of an ability (or all there are); `progress` is told how far it is."""
    start, result = time.monotonic(), Result()
    # Without the pictures that the model learned there is nothing to hold its shapes against.
    eyes = Eyes(draw, watching(observer), observer.config) if draw.sprites else None
    rows: dict[str, dict[str, list[bool]]] = {"model": {}, "truth": {}}
    motion: dict[str, list[float]] = {"model": [], "truth": []}
    cases = ABILITIES[name](draw, clips)
    done = 0
    for part in batches(cases):
        truth = maker.through(np.stack([draw.truth(case) for case in part]))
        for source, videos in (("truth", truth), ("model", maker.make(part))):
            verdicts = [verdict_of(name, *seen) for seen in zip(part, judged(part, videos, observer), strict=True)]
            for verdict, named in zip(
                verdicts, eyes.named(part, list(videos)) if eyes else [None] * len(part), strict=True
            ):
                if named is not None:
                    verdict[BY_VIEWER] = named
                for key, right in verdict.items():
                    rows[source].setdefault(key, []).append(right)
            motion[source] += [speed(video) for video in videos]
        for i in range(min(SHOWN - len(result.shown), len(part))):
            result.shown.append(Shown(part[i], _bytes(videos[i]), _bytes(truth[i]), verdicts[i]))
        done += len(part)
        progress(f"{name}: {done} of {len(cases)} clips, {time.monotonic() - start:.0f} s")
    chance = CHANCE | {"subject": 100 / len(draw.subjects), "subject kept": 100 / len(draw.subjects)}
    if name == "motions":
        chance["motion"] = 20.0
    for key in rows["model"]:
        result.scores[key] = {
            "model": proportion(rows["model"][key]),
            "truth": proportion(rows["truth"][key]),
            "chance": None if name == "free" or key not in chance else round(chance[key], 1),
        }
    result.figures["motion, model over truth"] = round(sum(motion["model"]) / max(sum(motion["truth"]), 1e-9), 3)
    if name == "chinese":
        english, chinese = (result.scores[f"all, {key}"]["model"]["percent"] for key in ("English", "Chinese"))
        result.figures["points that Chinese is behind English"] = round(english - chinese, 1)
    result.seconds = round(time.monotonic() - start, 1)
    return result


def watching(observer: Observer) -> Watch:
    """Return a function that shows videos float `[T,H,W,3]` of one length to an observer."""

    def watch(clips: list[np.ndarray]) -> list[Sight]:
        return watch_batch(torch.stack([shrink(torch.from_numpy(clip)) for clip in clips]), observer)

    return watch


def judged(cases: list[Case], videos: np.ndarray, observer: Observer) -> list[dict[str, bool]]:
    """Tell which facts of each case its video shows; videos float `[B,T,H,W,3]` 0..1."""

    watch = watching(observer)
    return [
        judge(case.must, video, sight, observer.config, look_closely(video, watch) if closely(case.must) else None)
        for case, video, sight in zip(cases, videos, watch(list(videos)), strict=True)
    ]


def verdict_of(ability: str, case: Case, seen: dict[str, bool]) -> dict[str, bool]:
    """Return what goes into the table: each fact, and "all" where a prompt names several that are told apart."""
    if ability == "chinese":
        return {f"all, {'English' if case.must['language'] == 'en' else 'Chinese'}": all(seen.values())}
    return {**seen, "all": all(seen.values())} if ability in ("words", "company", "free") else seen


def reconstruction(draw: Draw, maker: Maker, clips: int) -> Result:
    """Measure the PSNR of the VAE on clips that nobody trained on.

    Of the whole, of the subject (alpha over one half) and of the first frame; with all corrections that the VAE has
    learned, with as many as are usual, by its encoder alone, and with its latents refined after all corrections.
    """
    start, result, most = time.monotonic(), Result(), maker.pipe.vae.config.corrections
    ways: dict[str, tuple[int, int | None]] = {
        "": (0, most),
        ", as usual": (0, None),
        ", encoder alone": (0, 0),
        f", refined in {REFINE} steps": (REFINE, most),
    }
    rows = []
    for i in range(clips):
        clip = draw.worlds[draw.preset].sample(FIRST_SEED - 1 - i)
        frames, subject = clip.frames / np.float32(255), clip.alpha > 127
        row = []
        for refine, corrections in ways.values():
            error = (maker.through(frames[None], refine, corrections)[0] - frames) ** 2
            row += [error.mean(), error[subject].mean() if subject.any() else np.nan, error[0].mean()]
        rows.append(row)
    scores = -10 * np.log10(np.asarray(rows))
    names = [f"{part}{way}" for way in ways for part in ("whole", "subject", "first frame")]
    for name, column in zip(names, scores.T, strict=True):
        spread = 1.96 * np.nanstd(column) / np.sqrt(max(len(column), 1))
        result.figures[f"PSNR, {name} (dB)"] = round(float(np.nanmean(column)), 2)
        result.figures[f"PSNR, {name}, 95% interval +-"] = round(float(spread), 2)
    result.figures["clips"] = clips
    result.seconds = round(time.monotonic() - start, 1)
    return result


def _bytes(frames: np.ndarray | Tensor) -> np.ndarray:
    return (np.asarray(frames) * 255).round().astype(np.uint8)


def evaluate(
    pipe: Pipeline,
    observer: Observer,
    *,
    only: tuple[str, ...],
    clips: int,
    steps: int,
    cfg: float,
    sampler: str,
    scheduler: str = "simple",
    cache: float = 0.0,
    gate: float = 0.0,
    sprites: Path | None = None,
    preset: str = "cast",
    progress: Callable[[str], None] = print,
) -> dict[str, Result]:
    """Run the abilities `only`; returns results by ability, in the order of NAMES.

    clips: of each ability; sprites: folder of the subjects' pictures, None for drawn ones. cache, gate: as of
    `diffusion.caches`; what is left out is decided for a batch of clips together.
    """
    draw, maker = Draw(sprites, preset), Maker(pipe, steps, cfg, sampler, scheduler, cache=cache, gate=gate)
    results = {}
    for name in NAMES:
        if name in only:
            results[name] = (
                reconstruction(draw, maker, clips)
                if name == "vae"
                else run_ability(name, draw, maker, observer, clips, progress)
            )
    return results


NAMES = ("vae", *ABILITIES)
