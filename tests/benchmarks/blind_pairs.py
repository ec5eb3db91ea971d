"""Clips of several models for blind viewers: the same prompts and noise, in an order that tells nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from blind_clips import MOTIONS, ON_A_SHEET, Asked, sheet

from sora_core.loading.checkpoint import load_parts
from sora_core.loading.lora import parse_lora
from sora_core.pipeline import Pipeline, load
from sora_core.training.evaluate.cases import Case, Draw
from sora_core.training.evaluate.run import Maker
from sora_core.training.world.split import held_out

FIRST = 700_000  # number of the first case, far from those of `sora eval` and of `blind_clips`
BATCH = 16


def cases(draw: Draw, count: int) -> list[Case]:
    """Draw `count` prompts of single subjects that move, in combinations that training leaves out."""
    found = []
    for k, subject in enumerate(draw.subjects):
        every = [(s, m) for s in draw.scenes for m in MOTIONS if held_out(subject, s, m)]
        order = np.random.default_rng([123, k]).permutation(len(every))
        for n in range(2):
            scene, motion = every[order[n % len(order)]]
            fixed = {"subject": subject, "scene": scene, "motion": motion}
            found.append(draw.one(FIRST + 64 * n + k, {"subject": subject}, **fixed))
    return [found[i] for i in np.random.default_rng(7).permutation(len(found))[:count]]


def opened(name: str, dtype: torch.dtype) -> Pipeline:
    """Load a model, `MODEL+LORA` with a LoRA; what an export of `sora train dit` lacks is sora-mini's."""
    name, _, lora = name.partition("+")
    if lora:
        return opened(name, dtype).with_lora(*parse_lora(lora))
    parts, _ = load_parts(name)
    if "vae" in parts:
        return load(name, dtype=dtype)
    whole = load("sora-mini", dtype=dtype).bundle
    return Pipeline(replace(whole, dit=parts["dit"].to(dtype), text=parts["text"].to(dtype)))


def make_pairs(
    folder: Path,
    sprites: Path | None,
    models: Sequence[str],
    count: int,
    dtype: torch.dtype,
    progress: Callable[[str], None],
) -> None:
    """Make `count` clips of each of `models` and sheets of them in `folder`; answers are in `answers`."""
    asked = cases(Draw(sprites), count)
    pairs = [(name, case) for name in models for case in asked]
    ids = np.random.default_rng(8).permutation(len(pairs))
    (folder / "answers").mkdir(parents=True, exist_ok=True)
    rows = sorted((int(id), *pair) for id, pair in zip(ids, pairs, strict=True))
    with (folder / "answers" / "answers.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(Asked(*row).row(), ensure_ascii=False) + "\n" for row in rows)
    for number, name in enumerate(models):
        pipe = opened(name, dtype)
        maker = Maker(pipe, *pipe.habits(None, None, None), scheduler="simple")
        for start in range(0, len(asked), BATCH):
            videos = maker.make(asked[start : start + BATCH])
            for id, video in zip(ids[number * len(asked) + start :], videos, strict=False):
                np.save(folder / f"{id:03}.npy", (video * 255).round().astype(np.uint8))
            progress(f"{name}: {min(start + BATCH, len(asked))} of {len(asked)} clips")
    for first in range(0, len(pairs), ON_A_SHEET):
        sheet(folder, range(first, min(first + ON_A_SHEET, len(pairs))))
