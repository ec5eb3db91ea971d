"""How well `sora eval` sees where a lone subject is, and what its judge of gravity accepts, on clips of the world whose
truth is known and that neither train nor test the model.

    python tests/benchmarks/tracker.py [--observer FILE] [--clips 100] [--sprites FOLDER] [--json]

Falls and bounces, as they are and through the VAE: the error of the height that the observer gives, all in all and in
the frames of a touchdown (percent of the frame's height; below 0 = seen too high), and how many are judged right. What
is no fall must be refused: ways down, up and to the side at constant speed, subjects that stand still, and true
falls above a ground that is a fifth of the frame higher or lower.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import _paths  # noqa: F401 (for its effect on sys.path)
import numpy as np
import torch

from sora_core.observer.network import load_observer, shrink
from sora_core.observer.watch import watch_batch
from sora_core.pipeline.pipeline import load
from sora_core.training.evaluate.cases import Case, Draw
from sora_core.training.evaluate.measures import falls, proportion
from sora_core.training.evaluate.run import Maker, batches
from sora_core.training.recipes.rollouts import practice_cases

TOUCHDOWN = 0.03  # of the frame above the ground
OFF = 0.2
OTHERS = ("down", "up", "left", "still")


def path_of(case: Case) -> np.ndarray:
    """Height of the subject's middle in each frame `[T]`."""
    (subject,) = case.facts["subjects"]
    return np.asarray(subject["path"])[:, 1] / case.facts["height"]


def moving(draw: Draw, case: Case, motion: str) -> Case:
    """The same subject in the same scene, doing something else."""
    preset, seed, fixed = case.truth
    fixed = {**fixed, "motion": motion}
    seed, facts = draw.facts(preset, seed, fixed)
    return replace(case, truth=(preset, seed, fixed), facts=facts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--observer", default="observer", help="a name or a file")
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--sprites", type=Path, help="the sprite package that the observer was trained on")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    args = parser.parse_args()
    if args.clips < 1:
        parser.error("--clips: at least 1.")
    observer, maker = load_observer(args.observer), Maker(load("sora-mini"), 1, 1.0, "euler", "simple")
    draw = Draw(args.sprites, practice=8)
    cases = practice_cases(draw, "gravity", 0, args.clips)

    def heights(cases: list[Case], through: bool) -> np.ndarray:
        """Where the observer sees each subject `[B,T]`."""
        seen = []
        for part in batches(cases):
            videos = np.stack([draw.truth(case) for case in part])
            videos = maker.through(videos) if through else videos
            sights = watch_batch(torch.stack([shrink(torch.from_numpy(v)) for v in videos]), observer)
            seen += [sight.tracks["centre"][:, 1] for sight in sights]
        return np.stack(seen)

    def judged(tracks: np.ndarray, grounds: np.ndarray) -> dict[str, float]:
        return proportion([all(falls(y, g).values()) for y, g in zip(tracks, grounds, strict=True)])

    truth = np.stack([path_of(case) for case in cases])
    ground = truth.max(1)
    landed = truth > ground[:, None] - TOUCHDOWN
    result = {}
    for name, through in (("as they are", False), ("through the VAE", True)):
        tracks = heights(cases, through)
        off = 100 * (tracks - truth)
        result[name] = {
            "error": round(float(np.sqrt((off**2).mean())), 2),
            "at touchdowns": round(float(off[landed].mean()), 2),
            "right": judged(tracks, ground),
        }
    for shift in (-OFF, OFF):
        result[f"ground {shift:+.1f}"] = {"accepted": judged(tracks, ground + shift)}
    for motion in OTHERS:
        # At the height that this way ends at, or the ground alone would refuse it.
        others = [moving(draw, case, motion) for case in cases]
        ends = np.stack([path_of(case) for case in others]).max(1)
        result[motion] = {"accepted": judged(heights(others, True), ends)}
    if args.json:
        print(json.dumps(result, indent=1))
        return
    for name, row in result.items():
        print(f"{name:16} " + "  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
