"""Teaches sora-mini a subject that it has never seen, from 20 clips: a LoRA, what it costs, and a sheet.

    python tests/benchmarks/finetune.py --sprites sprites/package [--steps 400] [--out runs/finetune]

The clips are the world's, of a subject outside the model's cast under a name that no lexicon holds; they are written
as mp4 files with captions beside them, as a user has them. The loss is that on further clips of the subject, and on
clips of one that the model knows (what the LoRA costs the rest), at the same noise before and after.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import _paths  # noqa: F401 (for its effect on sys.path)
import numpy as np
import torch

from sora_core.language import caption
from sora_core.loading.checkpoint import load_model
from sora_core.loading.lora import apply_lora, read_lora
from sora_core.media.write import write_video
from sora_core.pipeline.pipeline import Pipeline
from sora_core.training.data.shards import open_buckets
from sora_core.training.loop.config import load_config
from sora_core.training.loop.sheets import save_sheet
from sora_core.training.recipes.finetune import prepare
from sora_core.training.recipes.lora import LoRATraining, train_lora
from sora_core.training.world import World, WorldConfig

KNOWN = "cat"
PROMPTS = (
    "a {word} moving right on a beach",
    "a {word} walks left in the forest",
    "a {word} rises in outer space",
    "a {word} standing still in the desert",
)


def write_clips(folder: Path, subject: str, word: str, count: int, seed: int, sprites: Path | None) -> Path:
    """`count` clips of one subject, whose captions call it `word`."""
    world = World(WorldConfig(subjects=(subject,)), sprites)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        path = folder / f"{word}{i:02}.mp4"
        if path.exists():
            continue
        clip, rng = world.sample(seed + i), np.random.default_rng(seed + i)
        lines = {caption(clip.facts, rng, "en", length).replace(subject, word) for length in ("short", "medium")}
        path.with_suffix(".txt").write_text("\n".join(sorted(lines)), encoding="utf-8")
        write_video(path, clip.frames, clip.facts["fps"], crf=8)
    return folder


@torch.no_grad()
def held_out_loss(bundle, data: Path, draws: int = 8) -> float:
    """Mean flow loss on every clip of `data`, at `draws` noise levels each, the same for every model."""
    (bucket,) = open_buckets(data)
    losses = []
    for i, fact in enumerate(bucket.facts):
        generator = torch.Generator().manual_seed(i)
        latent = torch.from_numpy(np.array(bucket.latents[i])).float()[None].expand(draws, -1, -1, -1, -1)
        noise = torch.randn(latent.shape, generator=generator)
        sigma = torch.linspace(0.15, 0.95, draws)
        s = sigma.view(-1, 1, 1, 1, 1)
        context = bundle.text.encode([fact["captions"][0]]).expand(draws, -1, -1)
        velocity = bundle.dit((1 - s) * latent + s * noise, 1000 * sigma, context)
        losses.append(float((velocity - (noise - latent)).pow(2).mean()))
    return float(np.mean(losses))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sprites", type=Path, help="unpacked sprite package (see training); drawn by code without it")
    parser.add_argument("--subject", default="peacock", help="one that the model has never seen")
    parser.add_argument("--word", default="blorbo", help="what it is called")
    parser.add_argument("--model", default="sora-mini")
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("runs/finetune"))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    films = write_clips(args.out / "films", args.subject, args.word, args.clips, 1000, args.sprites)
    new = write_clips(args.out / "unseen", args.subject, args.word, 6, 5000, args.sprites)
    old = write_clips(args.out / "known", KNOWN, KNOWN, 6, 5000, args.sprites)
    unseen, known = (prepare(folder, args.out / f"{folder.name}_data", args.model) for folder in (new, old))
    config = load_config(LoRATraining, "lora-mini", [f"rank={args.rank}", f"steps={args.steps}"])
    config = replace(config, out=str(args.out / "lora"), init=args.model, decay=args.steps // 3)
    start = time.monotonic()
    file = train_lora(config, films)
    seconds = time.monotonic() - start

    base = load_model(args.model)
    tuned = apply_lora(base, read_lora(file))
    result = {
        "steps": args.steps,
        "seconds": round(seconds, 1),
        "file_kb": file.stat().st_size // 1024,
        "new subject, before": round(held_out_loss(base, unseen), 4),
        "new subject, after": round(held_out_loss(tuned, unseen), 4),
        "known subject, before": round(held_out_loss(base, known), 4),
        "known subject, after": round(held_out_loss(tuned, known), 4),
    }
    prompts = [text.format(word=args.word) for text in PROMPTS]
    clips, labels = [], []
    for prompt in prompts:
        for name, bundle in (("before", base), ("after", tuned)):
            frames = Pipeline(bundle).generate(prompt, seed=1).frames
            clips.append((frames * 255).round().byte().numpy())
            labels.append(f"{name}: {prompt}")
    save_sheet(args.out / "sheet.png", clips, columns=5, labels=labels, rows_across=2)
    print(json.dumps(result, indent=1) if args.json else "\n".join(f"{k}: {v}" for k, v in result.items()))
    print(args.out / "sheet.png", file=sys.stderr)


if __name__ == "__main__":
    main()
