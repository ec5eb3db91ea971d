"""More compute, better video: sora-mini's recipe at three sizes, from scratch, judged along the way; and which share of
descriptive captions is best.

    python tests/benchmarks/scaling.py --data FOLDER --sprites FOLDER [--only sizes,captions] [--steps 600]
        [--plot FILE.svg]

FOLDER: latents of `sora train latents`, 17x64x64 clips and stills (`sora train data --preset starter --seed 41
--shape 17x64x64=8000 --shape 1x64x64=2000`). Each run is judged at a quarter, a half and the end:
the flow loss on clips of combinations that training leaves out, and adherence, the share of clips whose subject,
scene and direction are all as asked (observer, 12 steps). Compute is 6 x parameters x tokens of a run. Draws the curves
as an SVG; prints JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import _paths  # noqa: F401 (for its effect on sys.path)
import numpy as np
import torch
from heldout import losses

from sora_core.loading.checkpoint import load_model
from sora_core.model.dit import DiTConfig
from sora_core.observer.network import load_observer
from sora_core.pipeline.pipeline import Pipeline
from sora_core.training.evaluate.cases import Case, Draw, words
from sora_core.training.evaluate.measures import proportion
from sora_core.training.evaluate.run import Maker, batches, judged
from sora_core.training.recipes.dit import DiTTrainer, DiTTraining

SIZES = {"0.8 M": (128, 3), "2.7 M": (192, 5), "7 M": (256, 6)}
USUAL = DiTTraining.lengths  # short, medium, highly descriptive
CAPTIONS = {"all short": (1.0, 0.0, 0.0), "a third descriptive": USUAL, "all descriptive": (0.0, 0.0, 1.0)}
MIDDLE = "2.7 M"  # the size at which captions are compared
SIDE, CHECKS = 64, (0.25, 0.5, 1.0)  # small clips: four times as many a step as of 128x128
COLOURS = ("#c0504d", "#4f81bd", "#4a8a3f")


def settings(args: argparse.Namespace, out: Path, dim: int, layers: int, **changes) -> DiTTraining:
    model = DiTConfig(dim, 4 * dim, num_heads=dim // 64, num_layers=layers, text_dim=256, text_len=64, coordinates=True)
    shares = ((f"17x{SIDE}x{SIDE}", 0.85), (f"1x{SIDE}x{SIDE}", 0.15))
    return DiTTraining(
        **{
            "out": str(out),
            "data": str(args.data),
            "vae": "",
            "model": model,
            "label_block": layers // 2,
            "steps": args.steps,
            "warmup": 30,
            "decay": 1,
            "lr": 3e-3,
            "adam_lr": 1.5e-3,
            "ema": 0.98,
            "tokens": args.tokens,
            "shift": 3.0,
            "subject_weight": 4.0,
            "mask_share": 0.0,
            "compile": args.compile,
            "weights_start": shares,
            "weights_end": shares,
            "save_every": 10**9,
            "sheet_every": 10**9,
            **changes,
        }
    )


class Judge:
    """The same cases for every run: held-out clips to lose on, and prompts to obey."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.pipe, self.observer = Pipeline(load_model("sora-mini")), load_observer()
        draw = Draw(args.sprites, "starter")
        self.cases: list[Case] = words(draw, args.clips)
        clips = []
        for case in self.cases:
            preset, seed, fixed = case.truth
            clips.append(draw.worlds[preset].sample(seed, SIDE, SIDE, fixed=fixed).frames / np.float32(255))
        with torch.no_grad():
            video = torch.from_numpy(np.stack(clips)).movedim(-1, 1) * 2 - 1
            self.latents = torch.cat([self.pipe.vae.encode(part).float() for part in video.split(8)])

    def loss(self, dit, text) -> float:
        """Mean flow loss over noise levels, of prompts and noise that are the same every time."""
        noise = torch.randn(self.latents.shape, generator=torch.Generator().manual_seed(0))
        return float(losses(dit, text, self.latents, noise, self.cases)["loss"].mean())

    def obeyed(self, dit, text) -> dict:
        """Share of clips that show all that they were asked for."""
        bundle = replace(self.pipe.bundle, dit=dit, text=text)
        maker = Maker(Pipeline(bundle), 12, 4.0, "euler_ancestral", "simple", side=SIDE)
        right: list[bool] = []
        for part in batches(self.cases):
            right += [all(seen.values()) for seen in judged(part, maker.make(part), self.observer)]
        return proportion(right)


def run(judge: Judge, config: DiTTraining, report: str) -> list[dict]:
    """Train and judge along the way."""
    trainer, points, tokens = DiTTrainer(config), [], 0
    parameters = sum(p.numel() for p in trainer.model.dit.parameters())
    start = time.monotonic()
    for check in CHECKS:
        # A part of a run of the whole length: the learning rate is that of the plateau all along.
        trainer.config = replace(config, steps=round(check * config.steps))
        first = trainer.step
        trainer.train()
        for step in range(first, trainer.step):
            bucket, indices = trainer.batches.sampler(step).draw(step)
            tokens += len(indices) * trainer.batches.buckets[bucket].tokens
        seconds = time.monotonic() - start
        dit, text = trainer.averaged()
        points.append(
            {
                "steps": trainer.step,
                "seconds": round(seconds),
                "pflop": float(f"{6 * parameters * tokens / 1e15:.3g}"),
                "loss": round(judge.loss(dit, text), 4),
                "adherence": judge.obeyed(dit, text),
            }
        )
        print(report, json.dumps(points[-1]), file=sys.stderr, flush=True)
    return points


def plot(curves: dict[str, list[dict]]) -> str:
    """Two panels as SVG: held-out loss and adherence against compute, which is logarithmic."""
    width, height, left, gap, top, bottom = 760, 300, 52, 70, 34, 44
    panel = (width - left - gap - 20) / 2
    every = [point for points in curves.values() for point in points]
    flops = np.log10([p["pflop"] for p in every])
    low, high = flops.min() - 0.05, flops.max() + 0.05
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
    ]
    values = {
        "held-out flow loss": (lambda p: p["loss"], min(p["loss"] for p in every), max(p["loss"] for p in every)),
        "subject, scene and direction right, %": (lambda p: p["adherence"]["percent"], 0.0, 100.0),
    }
    for number, (title, (of, least, most)) in enumerate(values.items()):
        x0, y1 = left + number * (panel + gap), height - bottom
        spread = (most - least) or 1.0

        def place(p: dict, x0=x0, y1=y1, of=of, least=least, spread=spread) -> tuple[float, float]:
            x = x0 + panel * (np.log10(p["pflop"]) - low) / (high - low)
            return x, y1 - (y1 - top) * (of(p) - least) / spread

        out.append(f'<text x="{x0}" y="18" font-weight="bold">{title}</text>')
        out.append(f'<path d="M{x0} {top}V{y1}H{x0 + panel}" fill="none" stroke="#888"/>')
        for value in np.linspace(least, most, 5):
            y = y1 - (y1 - top) * (value - least) / spread
            out.append(f'<path d="M{x0} {y:.1f}h{panel:.1f}" stroke="#e4e4e8"/>')
            out.append(f'<text x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
        for power in range(int(np.floor(low * 3)), int(np.ceil(high * 3)) + 1):
            if low <= power / 3 <= high:
                x = x0 + panel * (power / 3 - low) / (high - low)
                out.append(f'<text x="{x:.1f}" y="{y1 + 16}" text-anchor="middle">{10 ** (power / 3):.2g}</text>')
        middle = f'x="{x0 + panel / 2:.0f}" y="{height - 8}" text-anchor="middle"'
        out.append(f"<text {middle}>training compute, PFLOP</text>")
        for (name, points), colour in zip(curves.items(), COLOURS, strict=False):
            places = [place(p) for p in points]
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
            out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places]
            if number == 0:
                row = top + 14 + 16 * list(curves).index(name)
                out.append(f'<text x="{x0 + panel - 6}" y="{row}" text-anchor="end" fill="{colour}">{name}</text>')
    return "\n".join([*out, "</svg>\n"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="latents: 17x64x64 clips and 1x64x64 stills")
    parser.add_argument("--sprites", type=Path, help="the sprite package that they were rendered with")
    parser.add_argument("--only", default="sizes,captions")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--tokens", type=int, default=6400, help="of a batch")
    parser.add_argument("--clips", type=int, default=48, help="to judge by")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--plot", type=Path, help="where to draw the curves of the sizes (SVG)")
    args = parser.parse_args()
    judge, made = Judge(args), {}
    with tempfile.TemporaryDirectory() as folder:
        if "sizes" in args.only:
            made["sizes"] = {
                name: run(judge, settings(args, Path(folder) / name, *size), name) for name, size in SIZES.items()
            }
            if args.plot:
                args.plot.write_text(plot(made["sizes"]), encoding="utf-8")
        if "captions" in args.only:
            same = made.get("sizes", {}).get(MIDDLE)  # with the usual captions: the very same run
            made["captions"] = {
                name: same
                if same and lengths == USUAL
                else run(judge, settings(args, Path(folder) / name, *SIZES[MIDDLE], lengths=lengths), name)
                for name, lengths in CAPTIONS.items()
            }
    print(json.dumps(made, indent=2))


if __name__ == "__main__":
    main()
