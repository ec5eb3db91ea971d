"""Storyboards on every video family of ComfyUI: each shot's prompt rules its own frames.

    ITS_PYTHON tests/benchmarks/comfyui_story.py COMFYUI_FOLDER [--only wan_t2v,ltxv]

Needs ComfyUI's environment and, for `sora_core`, this repository on PYTHONPATH; `comfyui.py --only story` runs it so.
Tiny random models of ComfyUI's own classes sample a storyboard of two shots twice from one noise, with the cut moved by
two latents. Models see all latents at once, so all of them change a little; the change must lie in the latents between
the two cuts: they hold at least `SHARE` of its energy. Prints JSON, family -> change of each latent (standard
deviation), that share, the largest difference between our sampler and KSampler's, and whatever a family refuses.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from pathlib import Path
from typing import Any

import comfyui_tiny as tiny
import torch

LATENTS, CUTS, STEPS, SEED, CFG = 7, (3, 5), 3, 3, 2.0
SHARE = 0.9
# What a text encoder says and the network does not read.
IGNORED = {("cosmos1", "attention_mask"), ("kandinsky5", "attention_mask")}
# Prompts that differ in one part alone, where a family has that part: each shot must keep its own.
PARTS = ("pooled_output", "attention_mask", "guidance")


class Text:
    """A CLIP whose prompts are random, of different lengths, and what the family's own text encoder could make."""

    tokenizer = object()

    def __init__(self, family: str, part: str | None = None) -> None:
        self.family, self.part = family, part

    def tokenize(self, text: str) -> str:
        return text

    def encode_from_tokens_scheduled(self, text: str) -> list[Any]:
        seed = zlib.crc32(text.encode())
        (context, options), *_ = tiny.prompt(self.family, seed, 6 + seed % 3)
        if self.part is None:
            return [[context, options]]
        (context, shared), *_ = tiny.prompt(self.family, 0)
        own = {
            "pooled_output": lambda: options["pooled_output"],
            "attention_mask": lambda: (torch.arange(8) < 2 + 3 * text.count("forest")).long()[None],
            "guidance": lambda: 1.0 + seed % 9,
        }
        return [[context, {**shared, self.part: own[self.part]()}]]


def shots(cut: int, ratio: int) -> list[Any]:
    """Two shots, the second from latent `cut` on."""
    from sora_core.tasks.storyboard import Shot

    first = (1 + (cut - 1) * ratio) / 8
    return [Shot("a cat on a beach", first), Shot("a dog in a forest", (1 + (LATENTS - 1) * ratio) / 8 - first)]


def by_core(model: Any, latent: torch.Tensor, positive: list[Any], negative: list[Any]) -> torch.Tensor:
    """What KSampler makes: the picture's latents."""
    import comfy.sample

    latent = comfy.sample.fix_empty_latent_channels(model, latent)
    noise = comfy.sample.prepare_noise(latent, SEED)
    made = comfy.sample.sample(
        model, noise, STEPS, CFG, "euler", "simple", positive, negative, latent, seed=SEED, disable_pbar=True
    )
    return made.unbind()[0] if made.is_nested else made


def by_ours(engine: Any, model: Any, latent: torch.Tensor, positive: list[Any], negative: list[Any]) -> torch.Tensor:
    """What Sora Sampler makes: the picture's latents. Raises SoraError where it refuses."""
    from sora_core.latents.streams import parts_of

    sigmas = engine.make_sigmas(model, "simple", STEPS, 1.0, "euler")
    sampler = engine.make_sampler("euler", {})
    made = engine.sample(
        model, {"samples": latent}, positive, negative, sampler=sampler, sigmas=sigmas, seed=SEED, cfg=CFG
    )
    return parts_of(made["samples"])[0]


def change(made: list[torch.Tensor]) -> tuple[list[float], float]:
    """How much each latent changed, and which share of it lies between the cuts."""
    each = (made[0] - made[1]).std((0, 1, 3, 4))
    energy = each.square()
    return [float(f"{v:.3g}") for v in each.tolist()], float(energy[slice(*CUTS)].sum() / energy.sum())


def story(engine: Any, name: str, part: str | None = None) -> dict[str, Any]:
    """Move a cut, or say why there can be none. part: of the prompts that alone tells the shots apart."""
    from sora_core.errors import SoraError
    from sora_core.pipeline.editing import storyboard

    model, text, found = tiny.model(name), Text(name, part), {}
    negative = text.encode_from_tokens_scheduled("")
    ratio = engine.latent_space(model=model).temporal_ratio
    cores, ours = [], []
    for cut in CUTS:
        try:
            made = storyboard(engine, text, shots(cut, ratio), fps=8.0, width=128, height=128, model=model)
        except SoraError as error:
            return {"refused": str(error)}
        latent = made.latent["samples"]
        cores.append(by_core(model, latent, made.positive, negative))
        try:
            ours.append(by_ours(engine, model, latent, made.positive, negative))
        except SoraError as error:
            found["Sora Sampler"] = str(error)
    found["change"], found["share"] = change(cores)
    found["finite"] = all(bool(torch.isfinite(made).all()) for made in cores)
    if ours:
        found["from KSampler"] = max(float((a - b).abs().max()) for a, b in zip(cores, ours, strict=True))
    return found


def parts(name: str) -> list[str]:
    """The parts of a prompt that a family reads beside its words."""
    family = tiny.MODELS[name]
    has = {
        "pooled_output": family.pooled,
        "attention_mask": family.masked,
        "guidance": family.sizes.get("guidance_embed"),
    }
    return [part for part in PARTS if has[part] and (name, part) not in IGNORED]


def taken_apart(engine: Any, name: str) -> dict[str, Any]:
    """A storyboard in the form of our own transformer, as one made without the model: equal, or refused in words."""
    from sora_core.errors import SoraError
    from sora_core.tasks.shots import join_prompts

    model, counts = tiny.model(name), (CUTS[0], LATENTS - CUTS[0])
    prompts = [tiny.prompt(name, seed) for seed in (1, 2)]
    latent, negative = engine.latent_space(model=model).empty(LATENTS, 128, 128), tiny.prompt(name, 3)
    try:
        made = by_ours(engine, model, latent, join_prompts(prompts, counts), negative)
        wanted = by_ours(engine, model, latent, engine.join_shots(prompts, counts, latent.shape, model), negative)
    except SoraError as error:
        return {"refused": str(error)}
    return {"difference": float((made - wanted).abs().max())}


def wide(engine: Any, name: str) -> dict[str, Any]:
    """A prompt of another width than the model reads: refused before its first step."""
    from sora_core.errors import SoraError

    model, width = tiny.model(name), tiny.MODELS[name].text + 8
    (context, options), *_ = tiny.prompt(name, 1)
    positive = [[torch.zeros(1, context.shape[1], width), options]]
    try:
        by_ours(engine, model, engine.latent_space(model=model).empty(LATENTS, 128, 128), positive, positive)
    except SoraError as error:
        told = str(error)
        return {"refused": told, "names both": str(width) in told and str(tiny.MODELS[name].text) in told}
    except Exception as error:  # what this looks for: the model's own error, of matrices that do not fit
        return {"refused": None, "raw": repr(error)}
    return {"refused": None}


def missed(made: dict[str, Any]) -> list[str]:
    """What does not hold of what was measured."""
    short = []
    for name, found in made.items():
        moved = {"story": found["story"], **found["parts"]}
        for what, one in moved.items():
            if "refused" in one:
                continue
            right = one["finite"] and one["share"] >= SHARE and one.get("from KSampler", 0) <= 1e-4
            short += [] if right else [f"{name}, {what}: {one}"]
        short += [] if found["width"].get("names both") else [f"{name}, width: {found['width']}"]
        apart = found["taken apart"]
        short += [] if apart.get("difference", 1) == 0 or "refused" in apart else [f"{name}, taken apart: {apart}"]
    return short


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="ComfyUI's")
    parser.add_argument("--only", default=",".join(tiny.MODELS), help="families, separated by commas")
    args = parser.parse_args()
    tiny.start(args.folder)
    from sora_core.host.comfy.engine import ComfyEngine

    engine, made = ComfyEngine(), {}
    for name in args.only.split(","):
        with torch.no_grad():
            made[name] = {
                "story": story(engine, name),
                "parts": {part: story(engine, name, part) for part in parts(name)},
                "taken apart": taken_apart(engine, name),
                "width": wide(engine, name),
            }
        print(name, json.dumps(made[name]), file=sys.stderr, flush=True)
    for short in missed(made):
        print("missed:", short, file=sys.stderr)
    print(json.dumps(made))


if __name__ == "__main__":
    main()
