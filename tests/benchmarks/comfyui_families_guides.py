"""What reaches the networks of LTX-Video, LTX-2 and MiniMax H3 when Sora Nodes edit, against ComfyUI's own nodes.

    python tests/benchmarks/comfyui_families_guides.py PATH_OF_COMFYUI [FAMILY ...]

Networks and VAEs are tiny and random, of ComfyUI's own classes. Of each task: the largest difference of all that the
network is given (conditions, masks, timesteps, shapes, and the first noised latents), from the same pixels; then how
far the kept latents and pixels are from what they were. A task that a family cannot carry is refused, in its words.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import _paths  # noqa: F401  (the repository's root on the path)
import comfyui_tiny as tiny
import torch
from torch import Tensor

SEED, STEPS, CFG = 3, 2, 3.0
Calls = list[dict[str, Any]]
Result = dict[str, dict[str, Any]]


@contextmanager
def heard(model: Any) -> Iterator[Calls]:
    """List what the network of a MODEL is called with."""
    network, calls = model.model.diffusion_model, []
    forward = network.forward

    def listen(x: Any, timestep: Any, context: Any = None, **kwargs: Any) -> Any:
        told = {key: value for key, value in kwargs.items() if key not in ("transformer_options", "control")}
        calls.append({"x": x, "timestep": timestep, "context": context, **told})
        return forward(x, timestep, context=context, **kwargs)

    network.forward = listen
    try:
        yield calls
    finally:
        del network.forward


def apart(a: Any, b: Any) -> float:
    """Measure the largest difference of two values, tensors or whatever holds some; infinite for another shape."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a.shape != b.shape:
            return math.inf
        return float((a.double() - b.double()).abs().max()) if a.numel() else 0.0
    if isinstance(a, dict) and isinstance(b, dict):
        return math.inf if set(a) != set(b) else max((apart(a[key], b[key]) for key in a), default=0.0)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return math.inf if len(a) != len(b) else max((apart(x, y) for x, y in zip(a, b, strict=True)), default=0.0)
    if hasattr(a, "unbind") and hasattr(b, "unbind"):
        return apart(a.unbind(), b.unbind())
    if hasattr(a, "__dict__") and type(a) is type(b):
        return apart(vars(a), vars(b))
    return 0.0 if a == b else math.inf


def calls_apart(ours: Calls, theirs: Calls) -> float:
    """Measure how far two runs' calls are apart; their latents in the first call only, steps may round otherwise."""
    if len(ours) != len(theirs):
        return math.inf
    later = [[{k: v for k, v in call.items() if k != "x"} for call in calls[1:]] for calls in (ours, theirs)]
    return max(apart(ours[:1], theirs[:1]), apart(*later))


class Words:
    """Stands for a text encoder: any prompt is the tiny family's own."""

    def __init__(self, encoded: list[Any]) -> None:
        self.encoded = encoded

    def tokenize(self, text: str, **options: Any) -> None:
        """Take no notice."""

    def encode_from_tokens_scheduled(self, tokens: None) -> list[Any]:
        """Give the prompt."""
        return [[context, dict(options)] for context, options in self.encoded]


class Bench:
    """One model with its VAE, and what its tasks are made of."""

    def __init__(self, name: str, vae: str, size: tuple[int, int], fps: float) -> None:
        from sora_core.host.comfy.engine import ComfyEngine

        self.engine, self.model, self.vae, self.fps = ComfyEngine(), tiny.model(name), tiny.vae(vae), fps
        self.width, self.height = size
        self.positive, self.negative = tiny.prompt(name, 1), tiny.prompt(name, 2)
        # Whole bytes: some of core's nodes take pictures through 8 bits.
        generator = torch.Generator().manual_seed(5)
        self.pixels = torch.randint(0, 256, (60, self.height, self.width, 3), generator=generator) / 255

    def clip(self, frames: int) -> Any:
        """Take the first frames as a clip of the user's."""
        from sora_core.media.clips import Clip

        return Clip(self.pixels[:frames], self.fps)

    def ours(self, latent: Any, denoise: float = 1.0) -> tuple[Any, Calls, list[str]]:
        """Sample a LATENT as Sora Sampler does, and list what the network hears and what the node says."""
        from sora_core.pipeline.make import Sampling, sample_latent

        notes: list[str] = []
        how = Sampling(SEED, STEPS, CFG, "euler", "simple", denoise)
        with heard(self.model) as calls:
            made = sample_latent(self.engine, self.model, latent, self.positive, self.negative, how, tell=notes.append)
        return made, calls, notes

    def theirs(
        self, latent: Any, positive: Any = None, negative: Any = None, denoise: float = 1.0
    ) -> tuple[Any, Calls]:
        """Sample a LATENT as core's KSampler does."""
        import nodes

        with heard(self.model) as calls:
            (made,) = nodes.KSampler().sample(
                self.model,
                SEED,
                STEPS,
                CFG,
                "euler",
                "simple",
                positive or self.positive,
                negative or self.negative,
                latent,
                denoise,
            )
        return made, calls

    def compare(self, latent: Any, made: Any, calls: Calls, theirs: tuple[Any, Calls] | None) -> dict[str, Any]:
        """Say how far a run is from core's, and its kept latents and pixels from what they were."""
        from sora_core.latents.streams import picture_of
        from sora_core.pipeline.make import decode_video
        from sora_core.tasks.finish.splice import SPLICE

        result: dict[str, Any] = {"works": True} if theirs is None else {"equal": calls_apart(calls, theirs[1])}
        if theirs is not None:
            result["result"] = apart(made["samples"], theirs[0]["samples"])
        before, after = picture_of(latent), picture_of(made)
        result["finite"] = bool(torch.isfinite(after["samples"]).all())
        mask = after.get("noise_mask")
        if mask is not None and before["samples"].shape == after["samples"].shape:
            kept = (mask < 0.5).expand_as(after["samples"])
            result["latents"] = apart(before["samples"][kept], after["samples"][kept])
            result["held"] = float((mask < 0.5).float().mean())
        frames = decode_video(self.engine, self.vae, made)
        splice = latent.get(SPLICE)
        if splice is not None and splice.keep.any():
            result["pixels"] = apart(frames[splice.keep], splice.frames[splice.keep])
        result["frames"] = len(frames)
        return result


def refused(call: Callable[[], Any]) -> dict[str, Any]:
    """Give the words that a task is refused with."""
    from sora_core.errors import SoraError

    try:
        call()
    except SoraError as error:
        return {"refused": str(error)}
    return {"works": True}


def out(node: Any) -> tuple[Any, ...]:
    """Take what a V3 node returned."""
    return tuple(node.result)


# -- LTX -----------------------------------------------------------------------------------------------------
def ltx(name: str, sound: bool) -> dict[str, Any]:
    """Compare LTX-Video or LTX-2, with or without sound beside the picture."""
    import comfy_extras.nodes_lt as core
    from sora_core.latents.streams import with_picture
    from sora_core.pipeline import editing

    bench = Bench(name, "ltxv", (64, 64), 24.0)
    length = 25
    generator = torch.Generator().manual_seed(9)
    voice = torch.randn(1, 8, 26, 16, generator=generator)

    def sounding(latent: Any) -> Any:
        if not sound:
            return latent
        lone = {"samples": torch.zeros_like(voice), "type": "audio"}
        return out(core.LTXVConcatAVLatent.execute(latent, lone))[0]

    def empty() -> Any:
        return out(core.EmptyLTXVLatentVideo.execute(bench.width, bench.height, length, 1))[0]

    def rated() -> tuple[Any, Any]:
        return out(core.LTXVConditioning.execute(bench.positive, bench.negative, bench.fps))

    def first(latent: Any, clip: Tensor) -> Any:
        return out(core.LTXVImgToVideoInplace.execute(bench.vae, clip, latent, 1.0))[0]

    def guided(latent: Any, frames: dict[int, Tensor]) -> tuple[Any, Any, Any]:
        positive, negative = rated()
        for at, picture in frames.items():
            positive, negative, latent = out(
                core.LTXVAddGuide.execute(positive, negative, bench.vae, latent, picture, at, 1.0)
            )
        return positive, negative, latent

    def against(edit: Any, latent: Any, frames: dict[int, Tensor] | None = None) -> dict[str, Any]:
        """Compare an edit with core's nodes: latents in place, then guides, and these cropped again."""
        mine = sounding(edit.latent)
        made, calls, notes = bench.ours(mine)
        positive, negative, whole = guided(latent, frames or {})
        theirs, heard_there = bench.theirs(sounding(whole), positive, negative)
        if frames:
            parts = out(core.LTXVSeparateAVLatent.execute(theirs)) if sound else (theirs,)
            cropped = out(core.LTXVCropGuides.execute(positive, negative, parts[0]))[2]
            theirs = with_picture(theirs, cropped)
        return {**bench.compare(mine, made, calls, (theirs, heard_there)), "notes": notes}

    def placed(edit: Any) -> dict[str, Any]:
        """Compare with kept latents that core puts in place by itself, `LTXVAddGuide.replace_latent_frames`."""
        plain, mask = edit.latent["samples"], edit.latent["noise_mask"]
        latent = {"samples": torch.zeros_like(plain), "noise_mask": torch.ones(1, 1, plain.shape[2], 1, 1)}
        for at in (~mask[0, 0].flatten(1).any(1)).nonzero().flatten().tolist():
            latent["samples"], latent["noise_mask"] = core.LTXVAddGuide.replace_latent_frames(
                latent["samples"], latent["noise_mask"], plain[:, :, at : at + 1], at, 1.0
            )
        return against(edit, latent)

    def pictures(*places: int) -> Any:
        images = {at: bench.pixels[at % length][None] for at in places}
        return editing.animate(bench.engine, bench.vae, images, frames=length, fps=bench.fps)

    def guides(*places: int) -> dict[int, Tensor]:
        return {at: bench.pixels[at : at + 1] for at in places}

    def region() -> Any:
        mask = torch.zeros(1, bench.height, bench.width)
        mask[:, :16, :16] = 1
        return editing.infill(bench.engine, bench.vae, bench.clip(length), region=mask)

    def runs(edit: Any, denoise: float = 1.0) -> dict[str, Any]:
        """Compare with core's KSampler on the same latents, where core has no node for the task."""
        mine = sounding(edit.latent)
        made, calls, notes = bench.ours(mine, denoise)
        positive, negative = rated() if edit.latent.get("noise_mask") is not None else (None, None)
        there = bench.theirs({k: mine[k] for k in ("samples", "noise_mask") if k in mine}, positive, negative, denoise)
        return {**bench.compare(mine, made, calls, there), "notes": notes}

    engine, vae, clip = bench.engine, bench.vae, bench.clip
    result: dict[str, Any] = {}
    made, calls, _ = bench.ours(sounding(empty()))
    result["text"] = bench.compare(empty(), made, calls, bench.theirs(sounding(empty())))
    result["image"] = against(pictures(0), first(empty(), bench.pixels[:1]))
    result["image at frame 5"] = against(pictures(5), empty(), guides(5))
    result["last image"] = against(pictures(-1), empty(), {-1: bench.pixels[length - 1 : length]})
    result["first and last image"] = against(
        pictures(0, -1), first(empty(), bench.pixels[:1]), {-1: bench.pixels[length - 1 : length]}
    )
    onward = editing.extend(engine, vae, clip(9), 0.6, window=4)
    result["extend"] = against(onward, first(empty(), bench.pixels[:9]))
    result["extend backwards"] = placed(editing.extend(engine, vae, clip(16), 0.5, "backwards", window=4))
    both = editing.extend(engine, vae, clip(17), 0.3, "both", window=4)
    if not sound:
        result["extend both ways"] = runs(both)
    result["infill"] = against(
        editing.infill(engine, vae, clip(length), list(range(9, 14)), window=4), *infilled(bench, core, empty())
    )
    result["region"] = runs(region())
    result["connect"] = placed(editing.connect(engine, vae, clip(9), clip(8), 0.5, window=4))
    result["loop"] = placed(editing.loop(engine, vae, clip(17), 0.5, window=4))
    result["restyle"] = runs(editing.remix(engine, vae, clip(length)), 0.5)
    return result


def infilled(bench: Bench, core: Any, latent: Any) -> tuple[Any, dict[int, Tensor]]:
    """Lay out an infill of frames 9 to 13 with core's nodes: latents 0, 1 and 3 in place, frames 14 and 16 as guides."""
    whole, mask = core.get_noise_mask(latent), latent["samples"]
    samples = mask
    before = bench.vae.encode(bench.pixels[:9])
    after = bench.vae.encode(torch.cat((bench.pixels[17:18], bench.pixels[17:25])))[:, :, 1:]
    for at, part in ((0, before), (3, after)):
        samples, whole = core.LTXVAddGuide.replace_latent_frames(samples, whole, part, at, 1.0)
    return {"samples": samples, "noise_mask": whole}, {at: bench.pixels[at : at + 1] for at in (14, 16)}


# -- MiniMax H3 ----------------------------------------------------------------------------------------------
def minimax() -> dict[str, Any]:
    """Compare MiniMax H3. What is kept in full is held by a noise mask on both sides."""
    import comfy.nested_tensor
    import comfy_extras.nodes_minimax_h3 as core
    from sora_core.pipeline import editing
    from sora_core.pipeline.make import Sampling, empty_latent

    bench = Bench("minimax_h3", "minimax_h3", (64, 64), 24.0)
    size, length = (bench.width, bench.height), 39
    engine, vae, clip = bench.engine, bench.vae, bench.clip
    words = Words(bench.positive)

    def empty(frames: int = length) -> Any:
        return core._empty_av_latent(*size, frames)[0]

    def held(latent: Any, kept: dict[int, Tensor]) -> Any:
        """Keep latents of the picture of a core LATENT, as SetLatentNoiseMask on a joined latent does."""
        if not kept:
            return latent
        video, audio = (stream.clone() for stream in latent["samples"].unbind())
        mask = torch.ones(1, 1, *video.shape[2:])
        for at, part in kept.items():
            video[:, :, at : at + part.shape[2]], mask[:, :, at : at + part.shape[2]] = part, 0
        nested = comfy.nested_tensor.NestedTensor
        return {"samples": nested((video, audio)), "noise_mask": nested((mask, torch.ones_like(audio)))}

    def against(edit: Any, positive: Any, latent: Any) -> dict[str, Any]:
        made, calls, notes = bench.ours(edit.latent)
        return {**bench.compare(edit.latent, made, calls, bench.theirs(latent, positive)), "notes": notes}

    def pictures(*places: int) -> Any:
        images = {at: bench.pixels[at % length][None] for at in places}
        return editing.animate(engine, vae, images, frames=length, fps=bench.fps)

    def to_video(first: Tensor | None, last: Tensor | None) -> tuple[Any, Any]:
        return out(core.MiniMaxH3ImageToVideo.execute(words, vae, "", *size, length, first, last))

    def guide(latent: Any, clip: Tensor, at: int) -> Any:
        return out(core.MiniMaxH3AddGuide.execute(bench.positive, latent, at, vae=vae, image=clip))[0]

    one, last = bench.pixels[:1], bench.pixels[length - 1 : length]
    still = vae.encode(one)
    result: dict[str, Any] = {}
    plain = empty_latent(engine.latent_space(model=bench.model), length, *size)
    made, calls, _ = bench.ours(plain)
    result["text"] = bench.compare(plain, made, calls, bench.theirs(empty()))
    positive, latent = to_video(one, None)
    result["image"] = against(pictures(0), positive, held(latent, {0: still}))
    positive, latent = to_video(None, last)
    result["last image"] = against(pictures(-1), positive, latent)
    positive, latent = to_video(one, last)
    result["first and last image"] = against(pictures(0, -1), positive, held(latent, {0: still}))
    result["image at frame 7"] = against(pictures(7), guide(empty(), bench.pixels[7:8], 7), empty())
    onward = editing.extend(engine, vae, clip(22), 0.5, window=12)
    known = vae.encode(bench.pixels[:22])
    result["extend"] = against(onward, guide(empty(), bench.pixels[:22], 0), held(empty(), {0: known}))
    before = editing.extend(engine, vae, clip(22), 0.5, "backwards", window=12)
    result["extend backwards"] = against(before, guide(empty(), bench.pixels[:22], 17), held(empty(), {5: known}))
    restyled = editing.remix(engine, vae, clip(length))
    made, calls, notes = bench.ours(restyled.latent, 0.5)
    whole = empty()
    whole["samples"] = comfy.nested_tensor.NestedTensor([restyled.latent["samples"], whole["samples"].unbind()[1]])
    result["restyle"] = bench.compare(restyled.latent, made, calls, bench.theirs(whole, denoise=0.5))
    result["extend both ways"] = refused(lambda: editing.extend(engine, vae, clip(22), 0.5, "both"))
    result["infill"] = refused(lambda: editing.infill(engine, vae, clip(length), [9]))
    result["region"] = refused(lambda: editing.infill(engine, vae, clip(length), region=torch.ones(1, 64, 64)))
    result["connect"] = refused(lambda: editing.connect(engine, vae, clip(9), clip(9), 0.5))
    result["loop"] = refused(lambda: editing.loop(engine, vae, clip(22), 0.5))
    result["long video"] = refused(lambda: long_video(bench, Sampling(SEED, STEPS, CFG)))
    result["storyboard"] = refused(lambda: board(bench))
    return result


def long_video(bench: Bench, how: Any) -> None:
    """Plan a long video."""
    from sora_core.pipeline.engine import Loaded
    from sora_core.pipeline.long import plan_long
    from sora_core.tasks.storyboard import Shot

    shots = [Shot("a cat", 4.0)]
    loaded = Loaded(bench.model, None, bench.vae)
    plan_long(bench.engine, loaded, shots, how, fps=24.0, width=bench.width, height=bench.height)


def board(bench: Bench) -> None:
    """Plan a storyboard."""
    from sora_core.pipeline import editing
    from sora_core.tasks.storyboard import Shot

    shots = [Shot("a cat", 1.0), Shot("a dog", 1.0)]
    editing.storyboard(bench.engine, None, shots, fps=24.0, width=64, height=64, model=bench.model)


# -- bad input -----------------------------------------------------------------------------------------------
def bad() -> dict[str, Any]:
    """Try latents of sound where they do not go."""
    import comfy.nested_tensor

    nested = comfy.nested_tensor.NestedTensor
    benches = {
        name: Bench(name, "ltxv" if "ltx" in name else "minimax_h3", (64, 64), 24.0) for name in ("ltxav", "minimax_h3")
    }
    wan = Bench("wan_t2v", "wan", (64, 64), 16.0)
    ltx_sound, h3_sound = torch.zeros(1, 8, 26, 16), torch.zeros(1, 32, 2, 65)
    cases = {
        "sound alone, LTX-2": (benches["ltxav"], {"samples": ltx_sound, "type": "audio"}),
        "encoded sound alone, MiniMax H3": (benches["minimax_h3"], {"samples": h3_sound + 1}),
        "sound alone, Wan": (wan, {"samples": ltx_sound, "type": "audio"}),
        "MiniMax H3's in LTX-2": (benches["ltxav"], {"samples": nested((torch.ones(1, 24, 7, 4, 4), h3_sound))}),
        "LTX-2's in MiniMax H3": (benches["minimax_h3"], {"samples": nested((torch.ones(1, 128, 4, 2, 2), ltx_sound))}),
        "another's sound in MiniMax H3": (
            benches["minimax_h3"],
            {"samples": nested((torch.zeros(1, 24, 7, 4, 4), ltx_sound))},
        ),
        "picture and sound in Wan": (wan, {"samples": nested((torch.zeros(1, 16, 5, 8, 8), ltx_sound))}),
        "three streams": (benches["ltxav"], {"samples": nested((torch.zeros(1, 128, 4, 2, 2), ltx_sound, ltx_sound))}),
    }
    return {name: refused(lambda b=bench, given=latent: b.ours(given)) for name, (bench, latent) in cases.items()}


@torch.no_grad()
def run() -> Result:
    """Compare all families and tasks. ComfyUI has to be started, see `comfyui_tiny.start`."""
    return {name: family() for name, family in FAMILIES.items()}


FAMILIES: dict[str, Callable[[], dict[str, Any]]] = {
    "LTX-Video": lambda: ltx("ltxv", sound=False),
    "LTX-2": lambda: ltx("ltxav", sound=False),
    "LTX-2 with sound": lambda: ltx("ltxav", sound=True),
    "MiniMax H3": minimax,
    "latents of sound": bad,
}


if __name__ == "__main__":
    asked = sys.argv[2:]
    tiny.start(Path(sys.argv[1]))
    with torch.no_grad():
        for name in asked or FAMILIES:
            print(json.dumps({name: FAMILIES[name]()}, indent=1), flush=True)
