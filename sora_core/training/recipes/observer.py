"""Training of the observer (`sora_core.observer.network`) on clips of the world, half of them through the VAE.

What the model makes has passed a decoder, and what users bring has not: the observer has to be at home with both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import SoraError
from ...observer.network import WINDOW, Observer, ObserverConfig, load_observer, save_observer, shrink
from ...observer.watch import watch_pixels
from ..loop.config import LoopConfig
from ..loop.trainer import Trainer
from ..losses.observer import ObserverLoss
from .observer_clips import ShrinkSettings, ShrunkClips, shrink_clips
from .observer_targets import RELATIONS, Targets, centre_of, describe_targets, mirror, motion_names

_CUT_LENGTHS = (5, 9, 13)  # frames of a clip that is cut shorter


@dataclass(frozen=True)
class ObserverTraining(ShrinkSettings, LoopConfig):
    """Settings of `sora train observer`."""

    preset: str = "stage"  # of the world, whose words the observer knows
    batch: int = 24  # clips
    holdout: int = 48  # the last clips of each shape are for scores
    cut_share: float = 0.2  # share of the batches whose clips are cut shorter
    init: str = ""  # an observer to go on from
    only: str = ""  # the one part of it that is trained, such as "tracker"


def observer_config(preset: str) -> ObserverConfig:
    """Return the vocabulary of a preset of the world."""
    # The world needs OpenCV.
    from ..world import PRESETS
    from ..world.config import CAMERAS, EVENTS, STYLES
    from ..world.scenes import SCENES

    world = PRESETS[preset]
    return ObserverConfig(
        subjects=world.subjects,
        scenes=world.scenes,
        motions=motion_names(),
        cameras=CAMERAS,
        styles=STYLES,
        times=("day", "night", "dawn", "dusk"),
        weathers=tuple(dict.fromkeys(w for scene in SCENES.values() for w in scene.weathers)),
        relations=RELATIONS,
        events=EVENTS[1:],
        most_subjects=max(int(count) for count, _ in world.n_subjects),
    )


class ObserverTrainer(Trainer[Observer]):
    """Trains an observer, or one part of it.

    Raises SoraError for an observer of other words, a part that it has not, and what `shrink_clips` refuses.
    """

    adam_names = ("stem", "head")
    config: ObserverTraining

    def __init__(self, config: ObserverTraining) -> None:
        self.vocabulary = observer_config(config.preset)
        super().__init__(config)
        self.buckets = shrink_clips(Path(config.data), self.out, config, self.device, config.bf16)
        self.targets = [
            [describe_targets(fact, labels, self.vocabulary) for fact, labels in zip(b.facts, b.labels, strict=False)]
            for b in self.buckets
        ]
        self.objective = ObserverLoss(self.wrapped, self.vocabulary.heads(), self.autocast)

    def build(self) -> Observer:
        """Make a new observer, or that of `init`; with `only`, the rest of it is frozen."""
        observer = Observer(self.vocabulary)
        if self.config.init:
            given = load_observer(self.config.init)
            if given.config != self.vocabulary:
                raise SoraError(f"init = {self.config.init!r} has other words than preset = {self.config.preset!r}.")
            observer.load_state_dict(given.state_dict())
        if self.config.only:
            part = dict(observer.named_children()).get(self.config.only)
            if part is None:
                names = ", ".join(name for name, _ in observer.named_children())
                raise SoraError(f"only = {self.config.only!r} is no part of an observer: give one of {names}.")
            observer.requires_grad_(False)
            part.requires_grad_(True)
        return observer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it

    def draw(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Draw pixels `[B,T,3,64,64]` in -1..1 and targets: a pure function of (seed, step, rank)."""
        cfg = self.config
        rng = np.random.default_rng([cfg.seed, step, 5])
        frames = int(rng.choice(_CUT_LENGTHS)) if rng.random() < cfg.cut_share else WINDOW
        frames = min(frames, *(b.frames.shape[1] for b in self.buckets))
        sizes = np.array([max(len(b) - cfg.holdout, 1) for b in self.buckets], float)
        videos, targets = [], []
        for n in range(cfg.batch * self.ranks.world_size):
            b = int(rng.choice(len(sizes), p=sizes / sizes.sum()))
            i = int(rng.integers(sizes[b]))
            total = self.buckets[b].frames.shape[1]
            start = 4 * int(rng.integers((total - frames) // 4 + 1))
            flip, light, noise = rng.random() < 0.5, rng.uniform(0.92, 1.08), rng.uniform(0, 0.06)
            seed = int(rng.integers(2**31))
            # Every rank draws for all, and renders its own: n ranks see what one process would.
            if n // cfg.batch != self.ranks.rank:
                continue
            pixels = torch.from_numpy(self.buckets[b].frames[i, start : start + frames].astype(np.float32))
            video = pixels.permute(0, 3, 1, 2) / 127.5 - 1
            video = video * light + noise * torch.randn(video.shape, generator=torch.Generator().manual_seed(seed))
            target = self.targets[b][i].part(start, frames)
            if flip:
                video, target = video.flip(-1), mirror(target, self.vocabulary)
            videos.append(video)
            targets.append(target)
        return torch.stack(videos), Targets.stack(targets)

    # -- evaluation ----------------------------------------------------------------------------------------
    def averaged(self) -> Observer:
        """Return the observer with the weights of the moving average, frozen."""
        observer = Observer(self.vocabulary)
        observer.load_state_dict(self.ema.state)
        return observer.to(self.device).eval().requires_grad_(False)

    def sheet(self, step: int) -> None:
        """Score the held-out clips: how often each fact is right, as they are and through the VAE."""
        scores = evaluate(self.averaged(), self.buckets, self.config.holdout)
        line = "  ".join(f"{name} {value:.3f}" for name, value in scores.items())
        print(f"step {step}  held out: {line}", flush=True)
        path = self.out / "held_out.csv"
        fresh = not path.exists()
        with path.open("a") as file:
            if fresh:
                file.write("step,seconds," + ",".join(scores) + "\n")
            file.write(f"{step},{self.seconds:.0f}," + ",".join(f"{v:.4f}" for v in scores.values()) + "\n")

    def export(self, path: Path) -> None:
        """Write the observer with the weights of the moving average."""
        save_observer(path, self.averaged())


def evaluate(observer: Observer, buckets: Sequence[ShrunkClips], holdout: int) -> dict[str, float]:
    """Score an observer on the last `holdout` clips of each bucket.

    Of each fact the share of clips of which it is right, those through the VAE under its name with "_vae". Of "centre",
    how far a lone subject is from where it is seen, as a fraction of the frame.
    """
    rows: dict[str, list[float]] = {}
    for bucket in buckets:
        for i in range(max(0, len(bucket) - holdout), len(bucket)):
            frames = torch.from_numpy(np.array(bucket.frames[i])).float() / 255
            sight = watch_pixels(shrink(frames), observer)
            scores: dict[str, float] = dict(compare(sight.facts, bucket.facts[i]))
            off = np.linalg.norm(sight.tracks["centre"] - centre_of(bucket.facts[i]), axis=1)
            if np.isfinite(off).any():
                scores["centre"] = float(np.nanmean(off))
            for name, value in scores.items():
                rows.setdefault(name + ("_vae" if bucket.decoded[i] else ""), []).append(value)
    return {name: float(np.mean(rows[name])) for name in sorted(rows)}


def compare(seen: dict[str, Any], fact: dict[str, Any]) -> dict[str, bool]:
    """Return which facts of a clip were seen right. A fact that the clip has no truth for is left out."""
    first = fact["shots"][0]
    out = {
        "subjects": {s["name"] for s in seen["subjects"]} == {s["name"] for s in fact["subjects"]},
        "scene": [s["scene"] for s in seen["shots"]] == [s["scene"] for s in fact["shots"]],
        "camera": seen["camera"] == fact["camera"],
        "style": seen["style"] == fact["style"],
        "time": seen["time_of_day"] == fact["time_of_day"],
        "weather": seen["weather"] == fact["weather"],
        "cuts": [s["start"] for s in seen["shots"]] == [s["start"] for s in fact["shots"]],
        "event": [e["kind"] for e in seen["events"]] == [e["kind"] for e in fact["events"]],
    }
    if len(fact["subjects"]) == 1 and not fact["events"]:
        out["motion"] = seen["shots"][0]["motions"][0] == first["motions"][0]
    return out
