"""Every way to make and change a video, measured against the world's truth.

    python tests/benchmarks/tasks.py [--json] [--only seams,infill] [--clips 20] [--steps 25] [--sprites FOLDER]

seams: kept pixels and latents, and the frame difference across every join over the clip's median, by task.
infill: frames 5-12 hidden, PSNR and the subject's path error against a linear cross-fade. long: ten extensions of a
static scene, each of the whole video that the one before gave: drift, sharpness, motion, memory, time. rolled: a minute
of the same scene in one render, with and without holding colours. kill: kill -9 at random moments. story: same subject
and right scene in each of three shots. permanence: the subject before and after it passes behind something.

Evaluators are plain measurements, but for who and where, which the observer of `sora eval` names; it is scored on truth
through the VAE beside. What a model makes of its prompts is for `sora eval`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import _paths  # noqa: F401 (for its effect on sys.path)
import av
import numpy as np
import torch
from adherence import PLACES, score

import sora_core
from sora_core import tasks
from sora_core.language import caption
from sora_core.latents.masks import to_latent_grid
from sora_core.media.video import read_video
from sora_core.observer.network import load_observer
from sora_core.observer.watch import watch
from sora_core.training.evaluate.cases import Case
from sora_core.training.evaluate.measures import proportion
from sora_core.training.evaluate.run import judged
from sora_core.training.world import PRESETS, World

MOTIONS = {  # of which a cross-fade is right about those on the spot but for what spins or grows
    "psnr_gain_db_straight": ("left", "right", "up", "down"),
    "psnr_gain_db_falling": ("fall", "bounce"),
    "psnr_gain_db_on_the_spot": ("still", "spin", "grow", "shrink"),
}


class Bench:
    def __init__(self, model: str, observer: str, clips: int, how: dict, sprites: Path | None) -> None:
        self.pipe, self.observer = sora_core.load(model), load_observer(observer)
        plain = {"n_subjects": (("1", 1.0),), "styles": (("plain", 1.0),), "times": 0.0, "weathers": 0.0}
        self.preset = replace(PRESETS["cast"], **plain)
        self.world = World(self.preset, sprites)
        self.model, self.clips, self.how = model, clips, how

    def clip(self, seed: int, frames: int = 17, **fixed) -> tuple[torch.Tensor, str, dict]:
        """A true clip `[T,H,W,3]`, its caption and its facts."""
        made = self.world.sample(seed, frames=frames, fixed={"camera": "static", "event": "none", **fixed})
        text = caption(made.facts, np.random.default_rng(seed), "en", "medium")
        return torch.from_numpy(made.frames).float() / 255, text, made.facts

    # -- seams ----------------------------------------------------------------------------------------------
    def seams(self) -> dict:
        found: dict[str, list[float]] = {}
        raw: dict[str, list[float]] = {}
        worst_pixel = worst_latent = 0.0
        for i in range(self.clips):
            frames, text, _ = self.clip(70_000 + i, motion=("left", "right", "up", "down")[i % 4])
            other, _, _ = self.clip(71_000 + i)
            codec = self.pipe.codec
            edits = {
                "animate": tasks.animate(codec, {0: frames[0]}, 17),
                "forwards": tasks.extend(codec, frames, 8),
                "backwards": tasks.extend(codec, frames, 8, "backwards"),
                "infill": tasks.infill(codec, frames, range(5, 13)),
                "connect": tasks.connect(codec, frames, other, 8),
                "loop": tasks.loop(codec, frames, 8),
            }
            for name, latent in edits.items():
                made = self.pipe.make(latent, text, seed=i, **self.how)
                splice = latent[tasks.SPLICE]
                kept = ~to_latent_grid(latent["noise_mask"], latent["samples"].shape).expand_as(latent["samples"])
                worst_latent = max(worst_latent, float((made.latent - latent["samples"])[kept].abs().max()))
                worst_pixel = max(worst_pixel, float((made.frames - splice.frames)[splice.keep].abs().max()))
                found.setdefault(name, []).extend(joins(made.frames, splice.keep, name == "loop"))
                plain = splice.frames.clone()
                decoded = torch.cat([self.pipe.decode(part) for part in made.latent.split(1)])
                place = splice.places[0]
                fresh = (place >= 0) & ~splice.keep[place.clamp_min(0)]
                plain[place[fresh]] = decoded[fresh]
                raw.setdefault(name, []).extend(joins(plain, splice.keep, name == "loop"))
        rows = {name: {**spread(values), "without_residual": spread(raw[name])} for name, values in found.items()}
        return {"kept_pixels": worst_pixel, "kept_latents": worst_latent, "joins": rows}

    # -- infill ---------------------------------------------------------------------------------------------
    def infill(self) -> dict:
        gains, ours, fades, motions = [], [], [], []
        for i in range(self.clips):
            frames, text, facts = self.clip(80_000 + i)
            made = self.pipe.infill(frames, text, hidden=range(5, 13), seed=i, **self.how).frames
            weight = torch.linspace(0, 1, 10)[1:-1].view(-1, 1, 1, 1)
            fade = frames.clone()
            fade[5:13] = (1 - weight) * frames[4] + weight * frames[13]
            gains.append(psnr(made[5:13], frames[5:13]) - psnr(fade[5:13], frames[5:13]))
            motions.append(facts["subjects"][0]["motion"])
            still = frames[[*range(5), *range(13, 17)]].median(0).values
            truth = path(frames[5:13], still)
            for video, errors in ((made, ours), (fade, fades)):
                errors.append(float(np.nanmean(np.abs(path(video[5:13], still) - truth))))
        return {
            "clips": self.clips,
            "psnr_gain_db": spread(gains),
            **{
                name: spread(some)
                for name, kinds in MOTIONS.items()
                if (some := [gain for gain, motion in zip(gains, motions, strict=True) if motion in kinds])
            },
            "path_error": spread(ours),
            "path_error_fade": spread(fades),
            "path_ratio": round(np.nanmean(ours) / np.nanmean(fades), 3),
        }

    # -- ten extensions -------------------------------------------------------------------------------------
    def long(self, seconds: float = 6.0, times: int = 10) -> dict:
        frames, text, _ = self.clip(90_000, motion="still")
        colour, sharp, motion, memory, beyond, clock = [frames.mean((0, 1, 2))], [], [], [], [], []
        video = frames
        for i in range(times):
            start, given = time.monotonic(), video.nbytes
            video = self.pipe.extend(video, text, seconds=seconds, seed=i, **self.how).frames
            clock.append(time.monotonic() - start)
            new = video[-round(seconds * 8) :]
            colour.append(new.mean((0, 1, 2)))
            sharp.append(sharpness(new))
            motion.append(float((new[1:] - new[:-1]).abs().mean()))
            memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
            # What is given and what comes back are in memory, and longer each time: that is the caller's.
            beyond.append(memory[-1] - (given + video.nbytes) / 2**20)
        steps = [float((b - a).abs().max()) * 255 for a, b in zip(colour, colour[1:], strict=False)]
        # Of the frames that each latent decodes to: a latent that is off makes the video pulse.
        each = torch.stack([part.mean((0, 1, 2)) for part in video[len(frames) :].split(4)])
        return {
            "colour_step_from_latent_to_latent_255": round(float(each.diff(dim=0).abs().max()) * 255, 2),
            "colour_drift_each_255": [round(step, 2) for step in steps],
            "colour_drift_in_all_255": round(float((colour[-1] - colour[0]).abs().max()) * 255, 2),
            "sharpness_last_over_first": round(sharp[-1] / sharp[0], 3),
            "motion_last_over_first": round(motion[-1] / max(motion[0], 1e-9), 3),
            "memory_10_over_2": round(memory[-1] / memory[1], 3),
            "memory_beyond_the_videos_10_over_2": round(beyond[-1] / beyond[1], 3),
            "time_10_over_2": round(statistics.median(clock[-3:]) / statistics.median(clock[1:4]), 3),
            "seconds_each": round(statistics.median(clock), 1),
        }

    def rolled(self, seconds: float = 60.0) -> dict:
        """The same over one SoraLongVideo render, with and without holding the statistics."""
        from sora_core.tasks.long.rolling import Rolling

        frames, text, _ = self.clip(90_000, motion="still")
        rows = {}
        for name, rolling in {"hold": Rolling(), "free": Rolling(hold=0.0)}.items():
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "a.mp4"
                clock, memory = [time.monotonic()], []

                def note(_, clock=clock, memory=memory) -> None:
                    clock.append(time.monotonic())
                    memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)

                self.pipe.long_video(
                    text, path, seconds=seconds, video=frames, rolling=rolling, progress=note, **self.how
                )
                took, each = time.monotonic() - clock[0], np.diff(clock)[2:]  # the first two: nothing is made yet
                video = read_video(path)[0][frames.shape[0] :]
            parts = video.split(48)
            rows[name] = {
                "colour_drift_in_all_255": round(
                    float((parts[-1].mean((0, 1, 2)) - frames.mean((0, 1, 2))).abs().max()) * 255, 2
                ),
                "sharpness_last_over_first": round(sharpness(parts[-1]) / sharpness(parts[0]), 3),
                "motion_last_over_first": round(
                    float((parts[-1].diff(dim=0)).abs().mean() / parts[0].diff(dim=0).abs().mean()), 3
                ),
                "memory_last_over_2": round(memory[-1] / memory[3], 3),
                "time_last_over_first": round(statistics.median(each[-10:]) / statistics.median(each[:10]), 3),
                "segments": len(each),
                "seconds": round(took, 1),
            }
        return rows

    # -- kill -9 --------------------------------------------------------------------------------------------
    def kill(self, times: int = 10) -> dict:
        command = [sys.executable, __file__, "--child", self.model, "--steps", str(self.how["steps"]), "--out"]
        same, starts = 0, []
        with tempfile.TemporaryDirectory() as folder:
            whole = Path(folder) / "whole.mp4"
            start = time.monotonic()
            subprocess.run([*command, str(whole)], check=True, stdout=subprocess.DEVNULL)
            length = time.monotonic() - start
            for i in range(times):
                path = Path(folder) / f"{i}.mp4"
                child = subprocess.Popen([*command, str(path)], stdout=subprocess.DEVNULL)
                time.sleep(random.Random(i).uniform(0.2, 0.95) * length)
                if child.poll() is None:
                    child.send_signal(signal.SIGKILL)
                child.wait()
                done = subprocess.run([*command, str(path)], check=True, capture_output=True, text=True)
                starts.append(int(done.stdout.split()[0]))
                same += packets(path) == packets(whole)
        return {"kills": times, "identical": same, "resumed_at_segment": starts}

    # -- subjects and scenes --------------------------------------------------------------------------------
    def seen(self, frames: torch.Tensor) -> tuple[str, str]:
        """Subject and scene of a shot `[T,H,W,3]`, as the observer names them."""
        sight = watch(frames, 8, self.observer)
        config = self.observer.config
        scene = config.scenes[int(sight.tracks["scenes"].mean(0).argmax())]
        return config.subjects[int(sight.tracks["subjects"].sum(0).argmax())], scene

    def through(self, frames: torch.Tensor) -> torch.Tensor:
        """The world's frames as the VAE gives them back: what a perfect model would be judged by."""
        with torch.no_grad():
            return self.pipe.decode(self.pipe.codec.encode(frames))[: len(frames)]

    def story(self) -> dict:
        rng, rows = random.Random(1), {"truth_subject": [], "same_subject": [], "scene": []}
        for i in range(self.clips):
            subject, three = rng.choice(self.preset.subjects), rng.sample(list(PLACES), 3)
            truth = self.clip(60_000 + i, subject=subject, scene=three[0], motion="right")[0]
            rows["truth_subject"].append((self.seen(self.through(truth))[0], subject))
            shots = [(f"a {subject} moving right {PLACES[place]}", 1.5) for place in three]
            counts = tasks.plan_shots([tasks.Shot(*s) for s in shots], 8)
            frames = self.pipe.storyboard(shots, seed=i, **self.how).frames
            cuts = np.cumsum([0, counts[0] * 4 - 3, *[4 * n for n in counts[1:]]])
            named = [self.seen(frames[a:b]) for a, b in zip(cuts, cuts[1:], strict=False)]
            rows["same_subject"].append(([who for who, _ in named], [subject] * 3))
            rows["scene"] += [(where, place) for (_, where), place in zip(named, three, strict=True)]
        return {name: score(pairs) for name, pairs in rows.items()}

    def permanence(self) -> dict:
        """The right subject before and after a tree, gone from one side to the other, as `sora eval` judges it."""
        rows: dict[str, list[bool]] = {"truth": [], "same_subject": []}
        for i in range(self.clips):
            subject = self.preset.subjects[i % len(self.preset.subjects)]
            to = ("left", "right")[i % 2]
            clip, text, facts = self.clip(65_000 + i, event="occlusion", subject=subject, motion=to)
            case = Case((text,), {"passes": subject, "to": to}, i, ("cast", i, {}), facts)
            made = self.pipe.generate(text, seed=i, **self.how).frames
            for name, frames in (("truth", self.through(clip)), ("same_subject", made)):
                (seen,) = judged([case], frames[None].numpy(), self.observer)
                rows[name].append(seen["same subject"])
        return {name: proportion(right) for name, right in rows.items()}


# -- measures ---------------------------------------------------------------------------------------------------
def spread(values: list[float]) -> dict[str, float]:
    values = [v for v in values if not math.isnan(v)]
    return {"median": round(statistics.median(values), 4), "max": round(max(values), 4), "count": len(values)}


def joins(frames: torch.Tensor, keep: torch.Tensor, wrap: bool) -> list[float]:
    """Frame difference across every join over the median frame difference of the video."""
    change = (frames[1:] - frames[:-1]).abs().mean((1, 2, 3))
    median = float(change.median())
    at = (keep[1:] != keep[:-1]).nonzero().flatten()
    found = [float(change[i]) / median for i in at]
    return [*found, float((frames[0] - frames[-1]).abs().mean()) / median] if wrap else found


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * torch.log10(((a - b) ** 2).mean().clamp_min(1e-10)))


def path(frames: torch.Tensor, still: torch.Tensor) -> np.ndarray:
    """Centroid `[T,2]` in pixels of what differs from the still scene; NaN where nothing does."""
    change = (frames - still).abs().sum(-1)
    change = torch.where(change > 0.3, change, 0).numpy()
    weight = change.sum((1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        y = (change.sum(2) @ np.arange(change.shape[1])) / weight
        x = (change.sum(1) @ np.arange(change.shape[2])) / weight
    return np.stack((x, y), 1)


def sharpness(frames: torch.Tensor) -> float:
    """Variance of the Laplacian of the luminance."""
    grey = frames.mean(-1, keepdim=True).movedim(-1, 1)
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]).view(1, 1, 3, 3)
    return float(torch.nn.functional.conv2d(grey, kernel).var())


def packets(path: Path) -> list[bytes]:
    """The encoded pictures of a file, without what a signature adds: its time and its id."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0)]


def child(model: str, out: str, steps: int) -> None:
    pipe = sora_core.load(model, device="cpu")
    pipe.long_video(
        "a cat moving right on a beach",
        out,
        seconds=15,
        steps=steps,
        width=64,
        height=64,
        progress=lambda p: print(p.segment, flush=True),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ("seams", "infill", "long", "rolled", "kill", "story", "permanence")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    parser.add_argument("--only", default=",".join(names), help=f"any of {', '.join(names)}")
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--cfg", type=float, help="guidance (default: the model's)")
    parser.add_argument("--sampler", help="default: the model's")
    parser.add_argument("--model", default="sora-mini")
    parser.add_argument("--observer", default="observer")
    parser.add_argument("--sprites", type=Path, help="the sprite package that the model was trained on")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.out, args.steps)
        return
    given = {"cfg": args.cfg, "sampler": args.sampler}
    how = {"steps": args.steps} | {key: value for key, value in given.items() if value is not None}
    bench = Bench(args.model, args.observer, args.clips, how, args.sprites)
    result = {"model": args.model, **how, "cores": os.cpu_count()}
    for name in args.only.split(","):
        if name not in names:
            parser.error(f"there is no measurement {name!r}: use {', '.join(names)}")
        start = time.monotonic()
        result[name] = getattr(bench, name)()
        # Each as soon as it is there: all of them together take an hour.
        told = f"{name} ({time.monotonic() - start:.0f} s) {json.dumps(result[name], indent=2)}"
        print(told, file=sys.stderr if args.json else sys.stdout, flush=True)
    if args.json:
        print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
