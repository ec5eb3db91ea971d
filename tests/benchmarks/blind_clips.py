"""The clips of `blind.py`: single subjects that move, of the model, of its few-step LoRA, and of the world through the
VAE, in an order that tells nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import _paths  # noqa: F401 (for its effect on sys.path)
import numpy as np
import torch
from PIL import Image, ImageDraw

from sora_core.loading.lora import parse_lora
from sora_core.pipeline import load
from sora_core.training.evaluate.cases import Case, Draw
from sora_core.training.evaluate.run import Maker
from sora_core.training.world.split import held_out

FIRST = 400_000  # number of the first case, far from those of `sora eval`
MOTIONS = ("left", "right", "up", "down", "bounce", "spin", "grow", "shrink", "fall")
ROUNDS = ("model", "few steps", "few steps", "few steps", "truth")  # how the clips of each subject are made
EARLY = 24  # ids below this are the model's in three rounds: they were made before its share was cut to save time
TRUTHS = 40
CHUNK = 24  # clips that are made before the next are begun, in the order of their ids
SEEN = (1, 8, 15)  # the frames that viewers see
SIDE = 192  # pixels a side of each
ON_A_SHEET = 12


@dataclass(frozen=True)
class Asked:
    """A clip that viewers are asked about."""

    id: int
    way: str  # "model", "few steps" or "truth"; in `blind_pairs` the name of a model
    case: Case

    def row(self) -> dict[str, object]:
        """Return what makes it again, and the answer, as JSON has them."""
        _, seed, fixed = self.case.truth
        kept = {key: fixed[key] for key in ("subject", "scene", "motion")}
        return {"id": self.id, "way": self.way, **kept, "prompt": self.case.prompts[0], "seed": self.case.seed}


def asked(sprites: Path | None) -> list[Asked]:
    """List the clips by id: each subject in four of the combinations that training leaves out, and truths."""
    draw, found = Draw(sprites), []
    for k, subject in enumerate(draw.subjects):
        every = [(s, m) for s in draw.scenes for m in MOTIONS if held_out(subject, s, m)]
        order = np.random.default_rng([27, k]).permutation(len(every))
        for n, way in enumerate(ROUNDS):
            scene, motion = every[order[n % len(order)]]
            fixed = {"subject": subject, "scene": scene, "motion": motion}
            found.append((way, draw.one(FIRST + 64 * n + k, {"subject": subject}, **fixed)))
    rng = np.random.default_rng(27)
    truths = rng.permutation([i for i, (way, _) in enumerate(found) if way == "truth"])
    out = set(truths[TRUTHS:].tolist())
    kept = [pair for i, pair in enumerate(found) if i not in out]
    order = rng.permutation(len(kept))
    return [Asked(id, _way(id, *kept[k]), kept[k][1]) for id, k in enumerate(order)]


def _way(id: int, way: str, case: Case) -> str:
    """Return how a clip is made, given its round's way."""
    early = id < EARLY and (case.seed - FIRST) // 64 in (1, 2)
    return "model" if early else way


def make(folder: Path, sprites: Path | None, dtype: torch.dtype, progress: Callable[[str], None]) -> None:
    """Make the clips `ID.npy` uint8 `[17,128,128,3]` and sheets of them in `folder`; answers are in `answers`.

    What is there already is not made again.
    """
    every, draw = asked(sprites), Draw(sprites)
    (folder / "answers").mkdir(parents=True, exist_ok=True)
    with (folder / "answers" / "answers.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(one.row(), ensure_ascii=False) + "\n" for one in every)
    pipe = load("sora-mini", dtype=dtype)
    makers = {}
    for way, given in (("model", pipe), ("few steps", pipe.with_lora(*parse_lora("sora-mini-4step")))):
        makers[way] = Maker(given, *given.habits(None, None, None), scheduler="simple")
    for start in range(0, len(every), CHUNK):
        chunk = every[start : start + CHUNK]
        for way in ("model", "few steps", "truth"):
            part = [one for one in chunk if one.way == way]
            # All of a batch or none: the sampler's later noise is the batch's.
            if not part or all((folder / f"{one.id:03}.npy").exists() for one in part):
                continue
            if way == "truth":
                videos = makers["model"].through(np.stack([draw.truth(one.case) for one in part]))
            else:
                videos = makers[way].make([one.case for one in part])
            for one, video in zip(part, videos, strict=True):
                np.save(folder / f"{one.id:03}.npy", (video * 255).round().astype(np.uint8))
        for first in range(start, min(start + CHUNK, len(every)), ON_A_SHEET):
            sheet(folder, range(first, min(first + ON_A_SHEET, len(every))))
        progress(f"{min(start + CHUNK, len(every))} of {len(every)} clips")


def sheet(folder: Path, ids: Sequence[int]) -> None:
    """Write a contact sheet: three frames of each clip, two clips across, the id under them and no word more."""
    height = SIDE + 18
    page = Image.new("RGB", (2 * (3 * SIDE + 12), height * -(-len(ids) // 2)), "white")
    for n, id in enumerate(ids):
        clip = np.load(folder / f"{id:03}.npy")
        x, y = n % 2 * (3 * SIDE + 12), n // 2 * height
        for k, frame in enumerate(SEEN):
            picture = Image.fromarray(clip[frame]).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            page.paste(picture, (x + k * SIDE, y))
        ImageDraw.Draw(page).text((x + 3 * SIDE // 2 - 10, y + SIDE + 3), f"{id:03}", fill="black")
    page.save(folder / f"sheet-{ids[0]:03}.png")
