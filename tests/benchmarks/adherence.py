"""Does the video show the direction and the scene that the prompt names? Scored without a network.

    python tests/benchmarks/adherence.py [--json] [--clips 80] [--sprites FOLDER]

Direction: the frames' difference from their own median over time shows the moving subject; its centroid's path names
one of four directions (chance 25%). Scene: the nearest of ten mean-colour layouts (4x4 cells) of rendered truth (chance
10%). Both evaluators are first scored on rendered clips, as they are and through the VAE: no score of the model means
more than that.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch

import sora_core
from sora_core.training.world import PRESETS, World

DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
PLACES = {
    "meadow": "in a meadow", "beach": "on a beach", "desert": "in the desert",
    "snowy mountains": "in the snowy mountains", "city at night": "in a city at night",
    "outer space": "in outer space", "underwater": "underwater", "sunset": "at sunset",
    "forest": "in the forest", "volcano": "in front of a volcano",
}  # fmt: skip


def named_direction(frames: np.ndarray) -> str | None:
    """frames: float `[T,H,W,3]` 0..1, static camera -> the direction in which what moves goes, None if nothing does."""
    change = np.abs(frames - np.median(frames, 0)).sum(-1)
    change = np.where(change > 0.25, change, 0)
    weight = change.sum((1, 2))
    seen = weight > 0.15 * weight.max() if weight.max() > 0 else np.zeros(len(frames), bool)
    if seen.sum() < 3:
        return None
    _, h, w = change.shape
    y = (change.sum(2) @ np.arange(h))[seen] / weight[seen] / h
    x = (change.sum(1) @ np.arange(w))[seen] / weight[seen] / w
    t = np.arange(len(frames))[seen]
    slope = np.array([np.polyfit(t, x, 1)[0], np.polyfit(t, y, 1)[0]])
    return max(DIRECTIONS, key=lambda name: float(slope @ np.array(DIRECTIONS[name])))


def layout(frames: np.ndarray) -> np.ndarray:
    """Mean colours of a 4x4 grid of cells: the median over time, which a moving subject hardly touches."""
    still = np.median(frames, 0)
    h, w, _ = still.shape
    return still[: h // 4 * 4, : w // 4 * 4].reshape(4, h // 4, 4, w // 4, 3).mean((1, 3)).ravel()


def interval(hits: int, n: int, z: float = 1.96) -> list[float]:
    """Wilson score interval of a proportion, in per cent (Wilson 1927)."""
    p = hits / n
    centre, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return [round(100 * (centre + s * spread) / (1 + z * z / n), 1) for s in (-1, 1)]


def score(pairs: list[tuple]) -> dict:
    hits = sum(a == b for a, b in pairs)
    return {"percent": round(100 * hits / len(pairs), 1), "interval": interval(hits, len(pairs)), "clips": len(pairs)}


def measure(clips: int, sprites: Path | None, steps: int) -> dict:
    pipeline, world = sora_core.load(), World(PRESETS["starter"], sprites)
    scenes, directions = list(PLACES), list(DIRECTIONS)

    def truth_layout(scene: str, seed: int) -> np.ndarray:
        return layout(world.sample(seed, fixed={"scene": scene, "camera": "static"}).frames / 255.0)

    layouts = [np.mean([truth_layout(scene, 9000 + i) for i in range(12)], 0) for scene in scenes]

    def named_scene(frames: np.ndarray) -> str:
        return scenes[int(np.argmin([np.abs(layout(frames) - reference).mean() for reference in layouts]))]

    subjects = PRESETS["starter"].subjects
    kinds = [f"{what}_{of}" for what in ("direction", "scene") for of in ("truth", "vae", "model")]
    results: dict[str, list] = {kind: [] for kind in kinds}
    for i in range(clips):
        scene, direction, subject = scenes[i % 10], directions[i % 4], subjects[(7 * i) % len(subjects)]
        wanted = {"scene": scene, "motion": direction, "camera": "static"}
        truth = world.sample(50_000 + i, fixed=wanted).frames / 255.0
        video = torch.from_numpy(truth).float().permute(3, 0, 1, 2)[None] * 2 - 1
        with torch.no_grad():
            through = pipeline.decode(pipeline.vae.encode(video)).numpy()
        prompt = f"a {subject} moving {direction} {PLACES[scene]}"
        made = pipeline.generate(prompt, seed=i, steps=steps).frames.numpy()
        for of, frames in (("truth", truth), ("vae", through), ("model", made)):
            results[f"direction_{of}"].append((named_direction(frames), direction))
            results[f"scene_{of}"].append((named_scene(frames), scene))
    return {"steps": steps, **{name: score(pairs) for name, pairs in results.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON only")
    parser.add_argument("--clips", type=int, default=80)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--sprites", type=Path, help="the sprite package that the model was trained on")
    args = parser.parse_args()
    result = measure(args.clips, args.sprites, args.steps)
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        for name, value in result.items():
            print(f"{name:18} {value}")


if __name__ == "__main__":
    main()
