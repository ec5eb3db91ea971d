"""Training of the observer (`sora_core.observer.network`) on clips of the world, half of them through the VAE.

What the model makes has passed a decoder, and what users bring has not: the observer has to be at home with both. The
clips are shrunk once, to 64x64, and kept in the run's folder.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import SoraError
from ...loading.checkpoint import load_parts
from ...observer.network import SIZE, WINDOW, Observer, ObserverConfig, load_observer, save_observer, shrink
from ...observer.watch import watch_pixels
from ..data.latents import to_video
from ..data.shards import Bucket, open_buckets
from ..loop.loop import LoopConfig, Trainer
from .observer_targets import RELATIONS, Targets, centre_of, describe_targets, mirror, motion_names


@dataclass(frozen=True)
class ObserverTraining(LoopConfig):
    """`vae_share` of the clips pass through the VAE in `vae`, with noise of up to `latent_noise` on their latents, as
    what a transformer makes is never quite on the manifold. `latents`: folder of `sora train latents`, which saves the
    encoding. `per_bucket`: clips of each shape at most. The last `holdout` clips of each shape are for scores.
    `init`: an observer to go on from. `only`: the one part of it that is trained, such as "tracker".
    """

    preset: str = "stage"
    vae: str = ""
    latents: str = ""
    vae_share: float = 0.5
    latent_noise: float = 0.3
    per_bucket: int = 4000
    batch: int = 24
    holdout: int = 48
    cut_share: float = 0.2
    init: str = ""
    only: str = ""


def observer_config(preset: str) -> ObserverConfig:
    """The vocabulary of a preset of the world."""
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


@torch.no_grad()
def shrink_clips(data: Path, out: Path, config: ObserverTraining, device: torch.device) -> list[Bucket]:
    """Every clip of two frames or more at 64x64: buckets whose `frames` are uint8 `[N,T,64,64,3]`, and which clips
    passed through the VAE in `alpha` (uint8 `[N]`). Resumes at the first unfinished bucket.
    """
    vae = load_parts(config.vae, device=str(device))[0].get("vae") if config.vae else None
    if vae is None and config.vae_share > 0:
        raise SoraError(f"vae = {config.vae!r} holds no VAE. Give the model.safetensors of a VAE run, or vae_share=0.")
    encoded = {b.name: b for b in open_buckets(Path(config.latents))} if config.latents else {}
    buckets = []
    for bucket in open_buckets(data):
        if bucket.frames is None or bucket.frames.shape[1] < 5:
            continue
        count = min(len(bucket), config.per_bucket)
        folder = out / "pixels" / bucket.name
        if not folder.exists():
            part = folder.with_name(folder.name + ".part")
            part.mkdir(parents=True, exist_ok=True)
            shape = (count, bucket.frames.shape[1], SIZE, SIZE, 3)
            small = np.lib.format.open_memmap(part / "frames.npy", "w+", np.uint8, shape)
            through = (np.random.default_rng(len(bucket)).random(count) < config.vae_share).astype(np.uint8)
            for i in range(count):
                video = to_video(bucket.frames[i], device)
                if through[i]:
                    video = _through(vae, video, encoded.get(bucket.name), i, config)
                pixels = (shrink((video[0].movedim(0, -1) + 1) / 2) + 1) * 127.5
                small[i] = pixels.movedim(1, -1).round().clamp(0, 255).byte().cpu().numpy()
            small.flush()
            np.save(part / "through.npy", through)
            os.replace(part, folder)
            print(f"{bucket.name}: {count} clips at {SIZE}x{SIZE}", flush=True)
        pixels, through = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("frames", "through"))
        if len(pixels) != count:
            raise SoraError(f"{folder} holds {len(pixels)} clips of {count}: it is of other data. Use another `out`.")
        buckets.append(Bucket(bucket.name, bucket.facts[:count], pixels, through, bucket.labels))
    if not buckets:
        raise SoraError(f"{data} holds no clips of five frames or more. Render some: --shape 17x96x96=4000.")
    return buckets


def _through(vae: nn.Module, video: Tensor, encoded: Bucket | None, i: int, config: ObserverTraining) -> Tensor:
    """A clip as the decoder gives it back, from latents that are a little off."""
    generator = torch.Generator().manual_seed(i)
    with torch.autocast(video.device.type, torch.bfloat16, enabled=config.bf16):
        if encoded is None:
            z = vae.encode(video)
        else:
            z = torch.from_numpy(np.array(encoded.latents[i : i + 1])).to(video.device)
        amount = config.latent_noise * float(torch.rand((), generator=generator))
        noise = torch.randn(z.shape, generator=generator).to(z.device)
        return vae.decode(z.float() + amount * noise).float().clamp(-1, 1)


class ObserverTrainer(Trainer):
    adam_names = ("stem", "head")
    config: ObserverTraining

    def __init__(self, config: ObserverTraining) -> None:
        self.vocabulary = observer_config(config.preset)
        super().__init__(config)
        self.buckets = shrink_clips(Path(config.data), self.out, config, self.device)
        self.targets = [
            [describe_targets(fact, labels, self.vocabulary) for fact, labels in zip(b.facts, b.labels, strict=False)]
            for b in self.buckets
        ]

    def build(self) -> nn.Module:
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
        return observer.to(memory_format=torch.channels_last)

    def draw(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Pixels `[B,T,3,64,64]` in -1..1 and targets, a pure function of (seed, step, rank)."""
        cfg = self.config
        rng = np.random.default_rng([cfg.seed, step, 5])
        frames = int(rng.choice((5, 9, 13))) if rng.random() < cfg.cut_share else WINDOW
        frames = min(frames, *(b.frames.shape[1] for b in self.buckets))
        sizes = np.array([max(len(b) - cfg.holdout, 1) for b in self.buckets], float)
        videos, targets = [], []
        for n in range(cfg.batch * self.world_size):
            b = int(rng.choice(len(sizes), p=sizes / sizes.sum()))
            i = int(rng.integers(sizes[b]))
            total = self.buckets[b].frames.shape[1]
            start = 4 * int(rng.integers((total - frames) // 4 + 1))
            flip, light, noise = rng.random() < 0.5, rng.uniform(0.92, 1.08), rng.uniform(0, 0.06)
            seed = int(rng.integers(2**31))
            if n // cfg.batch != self.rank:
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

    def loss(self, step: int) -> tuple[Tensor, dict[str, float]]:
        video, target = self.batch(step)
        with self.autocast():
            out = self.wrapped(video)
        # Most cells show no subject: weigh that class down, or naming nothing is a good guess.
        classes = torch.ones(out["subjects"].shape[2], device=self.device)
        classes[0] = 0.15
        parts = {
            "subjects": 2 * entropy(out["subjects"].movedim(2, -1), target["subjects"], classes),
            "motions": entropy(out["motions"].movedim(2, -1), target["motions"]),
            "cut": F.binary_cross_entropy_with_logits(
                out["cut"], target["cut"], pos_weight=torch.tensor(4.0, device=self.device)
            ),
            "states": F.binary_cross_entropy_with_logits(
                out["states"], target["states"], pos_weight=torch.tensor(4.0, device=self.device)
            ),
        }
        for name in self.vocabulary.heads():
            parts[name] = 0.5 * entropy(out[name], target[name])
        known = torch.isfinite(target["centre"])
        off = F.smooth_l1_loss(out["centre"][known], target["centre"][known], beta=0.01, reduction="sum")
        parts["centre"] = 5 * off / known.sum().clamp_min(1)
        return sum(parts.values()), {name: float(value.detach()) for name, value in parts.items()}

    # -- evaluation --------------------------------------------------------------------------------------------
    def averaged(self) -> Observer:
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
        save_observer(path, self.averaged())


def entropy(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy over all that has a target (-1 = none); zero where nothing has."""
    kept = target >= 0
    if not bool(kept.any()):
        return logits.sum() * 0
    return F.cross_entropy(logits[kept].float(), target[kept], weight)


def evaluate(observer: Observer, buckets: list[Bucket], holdout: int) -> dict[str, float]:
    """Share of held-out clips of which the decoded fact is right, by fact, through the VAE ("_vae") and not; of
    "centre", how far a lone subject is from where it is seen, as a fraction of the frame.
    """
    rows: dict[str, list[float]] = {}
    for bucket in buckets:
        for i in range(max(0, len(bucket) - holdout), len(bucket)):
            frames = torch.from_numpy(np.array(bucket.frames[i])).float() / 255
            sight = watch_pixels(shrink(frames), observer)
            said: dict[str, float] = dict(compare(sight.facts, bucket.facts[i]))
            off = np.linalg.norm(sight.tracks["centre"] - centre_of(bucket.facts[i]), axis=1)
            if np.isfinite(off).any():
                said["centre"] = float(np.nanmean(off))
            for name, value in said.items():
                rows.setdefault(name + ("_vae" if bucket.alpha[i] else ""), []).append(value)
    return {name: float(np.mean(rows[name])) for name in sorted(rows)}


def compare(seen: dict[str, Any], fact: dict[str, Any]) -> dict[str, bool]:
    """Which facts of a clip were seen right. A fact that the clip has no truth for is left out."""
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
