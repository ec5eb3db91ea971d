"""What reaches the network of ComfyUI's own models when we edit, against what core's own nodes make of the same pixels.

    COMFYUI'S_PYTHON tests/benchmarks/comfyui_families.py COMFYUI_FOLDER [--only wan_i2v,wan_vace]

`comfyui.py --only families` runs it so. Models and VAEs are tiny and random (`comfyui_tiny.py`), the pictures drawn
(`comfyui_oracles.py`). Prints JSON, family -> task -> what was found:

equal: the largest difference of all that the network is called with at the first step: what stands beside the latent,
    conditions, timesteps, and the latents that both sides make. Shapes must be the same.
against: core's node; without one there is nothing to compare with, and the task counts as "works".
kept: whether held latents came out bit by bit, and the user's own frames.
refused: the words.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import comfyui_tiny as tiny
import torch
from comfyui_calls import Words, apart, recorded, said
from comfyui_oracles import FPS, ORACLES, SIDE, Sight, Task, drawn, tasks
from torch import Tensor

STEPS = 2
SEED = 5
VAE_OF = {
    "wan_t2v": "wan",
    "wan_i2v": "wan",
    "wan_flf2v": "wan",
    "wan22_i2v": "wan",
    "wan_vace": "wan",
    "wan22_5b": "wan22",
    "cosmos_predict2": "wan",
    "hunyuan_t2v": "hunyuan",
    "hunyuan_i2v": "hunyuan",
    "hunyuan15": "hunyuan15",
    "kandinsky5": "hunyuan",
    "cogvideox_i2v": "cogvideox",
}


# -- measuring -----------------------------------------------------------------------------------------------
def compared(ours: dict[str, Any], theirs: dict[str, Any], channels: int, both_made: Tensor) -> float:
    """The largest difference of two calls. both_made: bool `[1,1,T,h,w]`, latents that neither side holds."""
    a, b = ours.pop("x"), theirs.pop("x")
    beside = apart(a[:, channels:], b[:, channels:], "beside")
    where = both_made.expand(a.shape[0], channels, *both_made.shape[2:])
    latents = apart(a[:, :channels][where], b[:, :channels][where], "latents")
    return max(beside, latents, apart(ours, theirs, "call"))


def one_task(engine: Any, name: str, model: Any, vae: Any, task: Task) -> dict[str, Any]:
    """What reaches the network by our nodes, against core's."""
    import nodes
    from sora_core.pipeline import conditioning, make

    oracle = ORACLES.get(name)
    cfg = oracle.cfg if oracle else 3.0
    positive, negative = words(name, 1), words(name, 2)
    how = make.Sampling(seed=SEED, steps=STEPS, cfg=cfg)
    edit = task.edit(engine, vae)
    sees = Sight() if oracle and oracle.sees else None
    told = conditioning.condition(
        engine, model, positive, negative, edit.latent, vae=vae, vision=sees, picture=task.picture
    )
    with recorded(model) as calls:
        made = make.sample_latent(engine, model, told.latent, told.positive, told.negative, how)
    held = told.latent.get("noise_mask")
    hold = torch.ones(1, 1, *told.latent["samples"].shape[2:]) if held is None else held[:1, :1]
    found: dict[str, Any] = {"notes": list(told.notes), "kept": kept(engine, vae, edit, told, made)}
    theirs = oracle.build(task, vae, positive, negative) if oracle else None
    if theirs is None or oracle is None:
        return found
    latent = dict(theirs[2])
    with recorded(model) as core:
        nodes.common_ksampler(model, SEED, STEPS, cfg, "euler", "simple", *theirs[:2], latent, denoise=1.0)
    mask = latent.get("noise_mask")
    mask = torch.ones_like(hold) if mask is None else mask[:1, :1].expand_as(hold)
    space = engine.latent_space(model=model)
    found["equal"] = said(compared, calls[0], core[0], space.channels, (hold > 0.5) & (mask > 0.5))
    return {**found, "against": oracle.node}


def words(family: str, seed: int) -> Any:
    """A random prompt, all of whose tokens hold words: core's encoder of HunyuanVideo 1.5 then leaves the mask out."""
    made = tiny.prompt(family, seed)
    if family == "hunyuan15":
        made[0][1].pop("attention_mask", None)
    return made


def kept(engine: Any, vae: Any, edit: Any, told: Any, made: dict[str, Any]) -> bool:
    """Whether held latents and the user's own pixels came back as they were."""
    from sora_core.pipeline import conditioning, make
    from sora_core.tasks import SPLICE

    clean = conditioning.trim(told.latent)
    mask = clean.get("noise_mask")
    same = True
    if mask is not None:
        stay = (mask < 0.5).expand_as(clean["samples"])
        same = torch.equal(made["samples"][stay], clean["samples"][stay])
    splice = edit.latent[SPLICE]
    frames = make.decode_video(engine, vae, made)
    return same and torch.equal(frames[splice.keep], splice.frames[splice.keep])


def handed_over(engine: Any, name: str, model: Any, vae: Any) -> dict[str, Any]:
    """A long video of three segments after a clip of 40 frames: what each tells the model is what the last one gave."""
    from sora_core.media.clips import Clip
    from sora_core.pipeline import long
    from sora_core.pipeline.engine import Loaded
    from sora_core.pipeline.make import Sampling
    from sora_core.tasks.long.rolling import Rolling, roll
    from sora_core.tasks.storyboard import Shot

    told: list[tuple[Tensor, Tensor, Tensor]] = []
    sample = engine.sample

    def watched(model: Any, latent: Any, positive: Any, negative: Any, **settings: Any) -> Any:
        options = positive[0][1]
        beside = options.get("concat_latent_image")
        frames = options.get("vace_frames")
        if beside is None and frames is not None:
            beside = frames[0][:, : latent["samples"].shape[1]]
        if beside is not None and "noise_mask" in latent:
            told.append((latent["samples"].clone(), latent["noise_mask"] > 0.5, beside.clone()))
        return sample(model, latent, positive, negative, **settings)

    engine.sample = watched
    try:
        plan = long.plan_long(
            engine,
            Loaded(model, Words(lambda text: words(name, sum(text.encode()))), vae),
            [Shot("a cat", 20.0)],
            Sampling(seed=SEED, steps=2 * STEPS, cfg=3.0),
            fps=FPS,
            width=SIDE,
            height=SIDE,
            seconds=4.0,
            rolling=Rolling(5, 1, 1, 0.6, 0.8),
            clip=Clip(drawn(40, 3), FPS),
        )
        source = plan.job.source
        start = plan.job.roller.start(source.final, source.context, source.reference)
        segments = [start, *roll(plan.job.roller, plan.job.total, start)]
    finally:
        del engine.sample
    if not told:
        return {"segments": len(segments) - 1}
    same = [bool(torch.equal(a.expand_as(s)[~m.expand_as(s)], s[~m.expand_as(s)])) for s, m, a in told]
    # The first window of each segment begins with what the segment before gave.
    begins = [
        any(torch.equal(beside[:, :, : seg.context.shape[2]], seg.context) for _, _, beside in told)
        for seg in segments[:-1]
    ]
    return {"segments": len(segments) - 1, "calls": len(told), "bit by bit": all(same) and all(begins)}


def tried(measure: Callable[..., dict[str, Any]], *args: Any) -> dict[str, Any]:
    """What was found, refused in which words, or how it broke."""
    from sora_core.errors import SoraError

    try:
        return measure(*args)
    except SoraError as refused:
        return {"refused": str(refused)}
    except Exception as error:  # one task that breaks must not hide the others
        return {"failed": f"{type(error).__name__}: {error}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="ComfyUI's")
    parser.add_argument("--only", default=",".join(VAE_OF), help="families, separated by commas")
    args = parser.parse_args()
    names = args.only.split(",")
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    tiny.start(args.folder)
    torch.set_grad_enabled(False)
    from sora_core.host.comfy.engine import ComfyEngine

    engine, made = ComfyEngine(), {}
    for name in names:
        model, vae = tiny.model(name), tiny.vae(VAE_OF[name])
        made[name] = {}
        for what, task in tasks().items():
            made[name][what] = tried(one_task, engine, name, model, vae, task)
        made[name]["long video"] = tried(handed_over, engine, name, model, vae)
        print(f"{name}: {json.dumps(made[name])}", file=sys.stderr, flush=True)
    print(json.dumps(made))


if __name__ == "__main__":
    main()
