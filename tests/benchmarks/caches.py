"""What the step cache and the gate of guidance save on sora-mini, and what they lose.

    python tests/benchmarks/caches.py [--prompts 16] [--sampler euler,euler_ancestral] [--dials 0.6:0,0:0.5] [--json]

Of each pair of dials (cache:gate): prompts that the network was asked for without it over those with it, the time of
both, one after the other for each prompt, and the PSNR of the frames against those made without it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch

import sora_core

PROMPTS = (
    "a cat moving right on a beach",
    "a red car drives left in the desert",
    "a balloon moves up in the meadow",
    "a penguin stands still in the snowy mountains",
    "a rocket flies up in outer space",
    "a dog moving left in a forest",
    "an apple falls in a meadow",
    "a robot spins in the city at night",
    "a fish moving right underwater",
    "a panda in a meadow, the camera zooms in",
    "a cat and a dog side by side on a beach",
    "a sailboat moving left at sunset",
    "a soccer ball bounces in the desert",
    "an elephant moving right, the camera pans right",
    "a donut grows on a beach",
    "a zebra moving up in a volcano",
)


class Counter:
    """Counts the prompts that the network is asked for, in every run of an engine's model."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, velocity):
        def count(x, sigma, prompts):
            self.asked += len(prompts)
            return velocity(x, sigma, prompts)

        count.inner = velocity
        return count


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * torch.log10((a - b).square().mean().clamp_min(1e-12)))


def measure(pipe, sampler: str, dials: list[tuple[float, float]], prompts: tuple[str, ...], steps: int) -> list[dict]:
    model, rows = pipe.model, {pair: [] for pair in dials}

    def made(prompt: str, seed: int, cache: float, gate: float):
        counter, plain = Counter(), model.with_caching(cache, gate)
        plain.wrappers = (*plain.wrappers, counter)
        pipe.loaded = type(pipe.loaded)(plain, pipe.loaded.clip, pipe.loaded.vae, pipe.loaded.info)
        start = time.monotonic()
        frames = pipe.generate(prompt, seed=seed, sampler=sampler, steps=steps).frames
        return frames, counter.asked, time.monotonic() - start

    for seed, prompt in enumerate(prompts):
        frames, asked, seconds = made(prompt, seed, 0.0, 0.0)
        for pair in dials:
            other, fewer, quicker = made(prompt, seed, *pair)
            rows[pair].append((asked / fewer, seconds / quicker, psnr(frames, other)))
    found = []
    for (cache, gate), each in rows.items():
        calls, times, near = zip(*each, strict=True)
        found.append(
            {
                "sampler": sampler,
                "cache": cache,
                "gate": gate,
                "calls_ratio": round(1 / statistics.mean(1 / ratio for ratio in calls), 2),
                "time_ratio": round(statistics.median(times), 2),
                "psnr_median": round(statistics.median(near), 1),
                "psnr_least": round(min(near), 1),
                "prompts": len(each),
                "steps": steps,
            }
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=len(PROMPTS))
    parser.add_argument("--sampler", default="euler,euler_ancestral", help="one or more, separated by commas")
    parser.add_argument("--dials", default="0.6:0,0:0.5", help="pairs cache:gate, separated by commas")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--short", action="store_true", help="two prompts with euler")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    args = parser.parse_args()
    dials = [(float(a), float(b)) for a, b in (pair.split(":") for pair in args.dials.split(","))]
    samplers, count = (["euler"], 2) if args.short else (args.sampler.split(","), args.prompts)
    pipe = sora_core.load()
    pipe.generate(PROMPTS[0], steps=2)
    rows = [row for name in samplers for row in measure(pipe, name, dials, PROMPTS[:count], args.steps)]
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
