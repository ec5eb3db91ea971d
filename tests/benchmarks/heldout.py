"""Which of several models is better, by a figure that small differences show in: the flow loss on clips that nobody
trained on.

    python tests/benchmarks/heldout.py sora-mini runs/dit/model.safetensors [--clips 40] [--sprites FOLDER] [--json]
    python tests/benchmarks/heldout.py sora-mini sora-mini@told

Every model sees the same clips, prompts and noise, those of the abilities of `sora eval`, so what is compared are
pairs, and the interval of the difference is narrow, where that of a share of 50 clips that are right is 20 points
wide. "shapes" is the part of it where they are decided: tokens that show a subject, at noise levels from 0.6 on. Models
without a VAE (exports of `sora train dit`) are read with the first one's. MODEL@told is told the layout of each clip,
as it would be had it planned just that.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import _paths  # noqa: F401 (for its effect on sys.path)
import numpy as np
import torch
from torch import Tensor

from sora_core.errors import expect
from sora_core.loading.checkpoint import load_parts
from sora_core.model.dit import DiT
from sora_core.model.text.concepts import TextEncoder
from sora_core.training.data.layouts import layout_of
from sora_core.training.data.shards import token_labels
from sora_core.training.evaluate.cases import ABILITIES, Case, Draw

SIGMAS = (0.3, 0.6, 0.8, 0.95)
TOLD = "@told"
DECIDED = 0.6  # the noise level from which shapes are decided
BATCH = 10


@torch.no_grad()
def losses(
    dit: DiT,
    text: TextEncoder,
    latents: Tensor,
    noise: Tensor,
    cases: list[Case],
    shown: Tensor | None = None,
    layout: Tensor | None = None,
) -> dict[str, np.ndarray]:
    """Flow loss of the clip of each case `[B]`: "loss", a mean over the noise levels SIGMAS, and "shapes".

    shown: bool `[B,T,h,w]`, which latents show a subject; without it, all count as such. layout: of the clips.
    """
    shown = torch.ones_like(latents[:, 0], dtype=torch.bool) if shown is None else shown
    context, found, shapes = text.encode([case.prompts[0] for case in cases]), [], []
    for sigma in SIGMAS:
        v = dit((1 - sigma) * latents + sigma * noise, torch.full((len(noise),), 1000 * sigma), context, layout=layout)
        error = (v.float() - (noise - latents)).square().mean(1)
        found.append(error.flatten(1).mean(1))
        if sigma >= DECIDED:
            shapes.append((error * shown).flatten(1).sum(1) / shown.flatten(1).sum(1).clamp_min(1))
    return {"loss": torch.stack(found).mean(0).numpy(), "shapes": torch.stack(shapes).mean(0).numpy()}


def shows(labels: np.ndarray, classes: int) -> Tensor:
    """Tell which latents show a subject, bool `[T,h,w]`, from what each pixel shows `[T,H,W]`."""
    tokens = torch.from_numpy(token_labels(labels, classes) > 0)
    return tokens.repeat_interleave(2, 1).repeat_interleave(2, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", help="names or files; the first is what the others are compared with")
    parser.add_argument("--only", default="words,company,gravity,effects,occlusion", help="abilities of one shot")
    parser.add_argument("--clips", type=int, default=40, help="an ability")
    parser.add_argument("--sprites", type=Path, help="the sprite package that the models were trained on")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    args = parser.parse_args()
    models = [load_parts(name.removesuffix(TOLD))[0] for name in args.models]
    expect("vae" in models[0], f"{args.models[0]} holds no VAE: name a whole model first.")
    draw, result = Draw(args.sprites), {}
    for ability in args.only.split(","):
        cases = ABILITIES[ability](draw, args.clips)
        rows: list[list[dict[str, np.ndarray]]] = [[] for _ in models]
        for part in (cases[i : i + BATCH] for i in range(0, len(cases), BATCH)):
            clips = [draw.clip(case) for case in part]
            video = torch.from_numpy(np.stack([clip.frames / np.float32(255) for clip in clips])).movedim(-1, 1) * 2 - 1
            shown = torch.stack([shows(clip.labels, len(draw.subjects)) for clip in clips])
            with torch.no_grad():
                latents = models[0]["vae"].encode(video).float()
            shape = latents.shape[1:]
            noise = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(c.seed)) for c in part])
            layout = torch.from_numpy(np.stack([layout_of(clip.facts, shape[1]) for clip in clips]))
            for row, model, name in zip(rows, models, args.models, strict=True):
                told = layout if name.endswith(TOLD) else None
                row.append(losses(model["dit"], model["text"], latents, noise, part, shown, told))
        result[ability] = {}
        for kind in ("loss", "shapes"):
            every = [np.concatenate([part[kind] for part in row]) for row in rows]
            for name, loss in zip(args.models, every, strict=True):
                change = loss - every[0]
                result[ability].setdefault(name, {})[kind] = {
                    "mean": round(float(loss.mean()), 4),
                    "change": round(float(change.mean()), 4),
                    "95% +-": round(float(1.96 * change.std(ddof=1) / len(change) ** 0.5), 4),
                }
        print(ability, json.dumps(result[ability]), file=sys.stderr if args.json else sys.stdout, flush=True)
    if args.json:
        print(json.dumps({"clips": args.clips, **result}, indent=2))


if __name__ == "__main__":
    main()
