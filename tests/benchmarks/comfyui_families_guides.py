"""What reaches the networks of LTX-Video, LTX-2 and MiniMax H3 when Sora Nodes edit, against ComfyUI's own nodes.

    python tests/benchmarks/comfyui_families_guides.py PATH_OF_COMFYUI [FAMILY ...]

Networks and VAEs are tiny and random, of ComfyUI's own classes. Of each task: the largest difference of all that the
network is given (conditions, masks, timesteps, shapes, and the first noised latents), from the same pixels; then how
far the kept latents and pixels are from what they were. A task that a family cannot carry is refused, in its words.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _paths  # noqa: F401  (the repository's root on the path)
import comfyui_tiny as tiny
import torch
from comfyui_calls import Bench, Words, out, refused
from torch import Tensor

Result = dict[str, dict[str, Any]]


class Ltx(Bench):
    """LTX-Video or LTX-2, with or without sound beside the picture."""

    def __init__(self, name: str, sound: bool) -> None:
        import comfy_extras.nodes_lt as core

        super().__init__(name, "ltxv", (64, 64), 24.0)
        self.core, self.sound, self.length = core, sound, 25

    def sounding(self, latent: Any) -> Any:
        """Put empty sound beside the picture where there is to be some."""
        lone = {"samples": torch.zeros(len(latent["samples"]), 8, 26, 16), "type": "audio"}
        return out(self.core.LTXVConcatAVLatent.execute(latent, lone))[0] if self.sound else latent

    def empty(self) -> Any:
        """Make core's empty LATENT."""
        return out(self.core.EmptyLTXVLatentVideo.execute(self.width, self.height, self.length, 1))[0]

    def begun(self, frames: int) -> Any:
        """Begin a LATENT with the first frames, in place."""
        return out(self.core.LTXVImgToVideoInplace.execute(self.vae, self.pixels[:frames], self.empty(), 1.0))[0]

    def placed(self, plain: Any) -> Any:
        """Put the kept latents of a LATENT into an empty one as core does, `LTXVAddGuide.replace_latent_frames`."""
        samples, mask = plain["samples"], plain["noise_mask"]
        made, open_ = torch.zeros_like(samples), torch.ones(1, 1, samples.shape[2], 1, 1)
        for at in (~mask[0, 0].flatten(1).any(1)).nonzero().flatten().tolist():
            made, open_ = self.core.LTXVAddGuide.replace_latent_frames(made, open_, samples[:, :, at : at + 1], at, 1.0)
        return {"samples": made, "noise_mask": open_}

    def against(self, edit: Any, latent: Any, guides: dict[int, int] | None = None, denoise: float = 1.0) -> Any:
        """Compare an edit with core's nodes. guides: {frame of the video: frame of the pixels}, cropped afterwards."""
        from sora_core.latents.streams import with_picture

        core = self.core
        mine = self.sounding(edit.latent)
        made, calls, notes = self.ours(mine, denoise)
        positive, negative = self.positive, self.negative
        if "noise_mask" in edit.latent:
            positive, negative = out(core.LTXVConditioning.execute(positive, negative, self.fps))
        for at, source in (guides or {}).items():
            picture = self.pixels[source : source + 1]
            added = core.LTXVAddGuide.execute(positive, negative, self.vae, latent, picture, at, 1.0)
            positive, negative, latent = out(added)
        theirs, called = self.theirs(self.sounding(latent), positive, negative, denoise)
        if guides:
            parts = out(core.LTXVSeparateAVLatent.execute(theirs)) if self.sound else (theirs,)
            theirs = with_picture(theirs, out(core.LTXVCropGuides.execute(positive, negative, parts[0]))[2])
        result = self.compare(mine, made, calls, (theirs, called))
        if guides:
            result["Sora Condition"] = self.by_core(mine, calls)
        return {**result, "notes": notes}

    def images(self) -> dict[str, Any]:
        """Compare pictures at places of the video."""
        last = {-1: self.length - 1}
        return {
            "image": self.against(self.pictures(0), self.begun(1)),
            "image at frame 5": self.against(self.pictures(5), self.empty(), {5: 5}),
            "last image": self.against(self.pictures(-1), self.empty(), last),
            "first and last image": self.against(self.pictures(0, -1), self.begun(1), last),
        }

    def clips(self) -> dict[str, Any]:
        """Compare edits of clips."""
        from sora_core.pipeline import editing

        engine, vae, clip = self.engine, self.vae, self.clip
        region = torch.zeros(1, self.height, self.width)
        region[:, :16, :16] = 1
        painted = editing.infill(engine, vae, clip(self.length), region=region)
        back = editing.extend(engine, vae, clip(16), 0.5, "backwards", window=4)
        both = editing.extend(engine, vae, clip(17), 0.3, "both", window=4)
        gap = editing.infill(engine, vae, clip(self.length), list(range(9, 14)), window=4)
        joined = editing.connect(engine, vae, clip(9), clip(8), 0.5, window=4)
        round_ = editing.loop(engine, vae, clip(17), 0.5, window=4)
        restyled = editing.remix(engine, vae, clip(self.length))
        made = {
            "extend": self.against(editing.extend(engine, vae, clip(9), 0.6, window=4), self.begun(9)),
            "extend backwards": self.against(back, self.placed(back.latent)),
            # Where core has no node of its own: its KSampler on the same latents and mask.
            "extend both ways": self.against(both, core_latent(both)),
            # Frames 14 to 16 are known of a latent that is made.
            "infill": self.against(gap, self.placed(gap.latent), {14: 14, 16: 16}),
            "region": self.against(painted, core_latent(painted)),
            "connect": self.against(joined, self.placed(joined.latent)),
            "loop": self.against(round_, self.placed(round_.latent)),
            "restyle": self.against(restyled, core_latent(restyled), denoise=0.5),
        }
        if not self.sound:
            made["long video"] = self.long_video()
        return made

    def run(self) -> dict[str, Any]:
        """Compare all tasks."""
        made, calls, _ = self.ours(self.sounding(self.empty()))
        text = self.compare(self.empty(), made, calls, self.theirs(self.sounding(self.empty())))
        return {"text": text, **self.images(), **self.clips()}


def core_latent(edit: Any) -> Any:
    """Take what core knows of an edit's LATENT."""
    return {key: edit.latent[key] for key in ("samples", "noise_mask") if key in edit.latent}


class MiniMax(Bench):
    """MiniMax H3. What is kept in full is held by a noise mask on both sides."""

    def __init__(self) -> None:
        import comfy_extras.nodes_minimax_h3 as core

        super().__init__("minimax_h3", "minimax_h3", (64, 64), 24.0)
        self.core, self.length = core, 39

    def empty(self) -> Any:
        """Make core's empty LATENT."""
        return self.core._empty_av_latent(self.width, self.height, self.length)[0]

    def held(self, at: int, part: Tensor) -> Any:
        """Keep latents in an empty LATENT, as SetLatentNoiseMask does before LTXVConcatAVLatent."""
        import comfy.nested_tensor

        video, audio = self.empty()["samples"].unbind()
        mask = torch.ones(1, 1, *video.shape[2:])
        video[:, :, at : at + part.shape[2]], mask[:, :, at : at + part.shape[2]] = part, 0
        nested = comfy.nested_tensor.NestedTensor
        return {"samples": nested((video, audio)), "noise_mask": nested((mask, torch.ones_like(audio)))}

    def against(self, edit: Any, positive: Any, latent: Any, denoise: float = 1.0) -> dict[str, Any]:
        """Compare an edit with a condition and a LATENT of core's nodes."""
        made, calls, notes = self.ours(edit.latent, denoise)
        result = self.compare(edit.latent, made, calls, self.theirs(latent, positive, denoise=denoise))
        if denoise == 1:
            result["Sora Condition"] = self.by_core(edit.latent, calls)
        return {**result, "notes": notes}

    def to_video(self, first: Tensor | None, last: Tensor | None) -> Any:
        """Tell by MiniMaxH3ImageToVideo."""
        words = Words(lambda text: self.positive)
        node = self.core.MiniMaxH3ImageToVideo
        return out(node.execute(words, self.vae, "", self.width, self.height, self.length, first, last))[0]

    def guide(self, clip: Tensor, at: int) -> Any:
        """Tell by MiniMaxH3AddGuide."""
        return out(self.core.MiniMaxH3AddGuide.execute(self.positive, self.empty(), at, vae=self.vae, image=clip))[0]

    def images(self) -> dict[str, Any]:
        """Compare pictures at places of the video."""
        first, last = self.pixels[:1], self.pixels[self.length - 1 : self.length]
        still = self.held(0, self.vae.encode(first))
        return {
            "image": self.against(self.pictures(0), self.to_video(first, None), still),
            "last image": self.against(self.pictures(-1), self.to_video(None, last), self.empty()),
            "first and last image": self.against(self.pictures(0, -1), self.to_video(first, last), still),
            "image at frame 7": self.against(self.pictures(7), self.guide(self.pixels[7:8], 7), self.empty()),
        }

    def clips(self) -> dict[str, Any]:
        """Compare edits of clips."""
        from sora_core.latents.streams import with_picture
        from sora_core.pipeline import editing

        engine, vae, clip = self.engine, self.vae, self.clip
        shown = self.pixels[:22]
        known = vae.encode(shown)
        onward = editing.extend(engine, vae, clip(22), 0.5, window=12)
        back = editing.extend(engine, vae, clip(22), 0.5, "backwards", window=12)
        restyled = editing.remix(engine, vae, clip(self.length))
        whole = with_picture(self.empty(), core_latent(restyled))
        return {
            "extend": self.against(onward, self.guide(shown, 0), self.held(0, known)),
            "extend backwards": self.against(back, self.guide(shown, 17), self.held(5, known)),
            "restyle": self.against(restyled, self.positive, whole, 0.5),
        }

    def others(self) -> dict[str, Any]:
        """Try what it does not carry."""
        from sora_core.pipeline import editing
        from sora_core.tasks.storyboard import Shot

        engine, vae, clip = self.engine, self.vae, self.clip
        shots = [Shot("a cat", 1.0), Shot("a dog", 1.0)]
        tasks: dict[str, Callable[[], Any]] = {
            "extend both ways": lambda: editing.extend(engine, vae, clip(22), 0.5, "both"),
            "infill": lambda: editing.infill(engine, vae, clip(self.length), [9]),
            "region": lambda: editing.infill(engine, vae, clip(self.length), region=torch.ones(1, 64, 64)),
            "connect": lambda: editing.connect(engine, vae, clip(9), clip(9), 0.5),
            "loop": lambda: editing.loop(engine, vae, clip(22), 0.5),
            "long video": self.long_video,
            "storyboard": lambda: editing.storyboard(
                engine, None, shots, fps=24.0, width=64, height=64, model=self.model
            ),
        }
        return {name: refused(call) for name, call in tasks.items()}

    def run(self) -> dict[str, Any]:
        """Compare all tasks."""
        from sora_core.pipeline.make import empty_latent

        plain = empty_latent(self.engine.latent_space(model=self.model), self.length, self.width, self.height)
        made, calls, _ = self.ours(plain)
        text = self.compare(plain, made, calls, self.theirs(self.empty()))
        return {"text": text, **self.images(), **self.clips(), **self.others()}


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


FAMILIES: dict[str, Callable[[], dict[str, Any]]] = {
    "LTX-Video": lambda: Ltx("ltxv", sound=False).run(),
    "LTX-2": lambda: Ltx("ltxav", sound=False).run(),
    "LTX-2 with sound": lambda: Ltx("ltxav", sound=True).run(),
    "MiniMax H3": lambda: MiniMax().run(),
    "latents of sound": bad,
}


if __name__ == "__main__":
    asked = sys.argv[2:]
    tiny.start(Path(sys.argv[1]))
    found: Result = {}
    with torch.no_grad():
        for name in asked or FAMILIES:
            found[name] = FAMILIES[name]()
            print(f"{name}: {json.dumps(found[name])}", file=sys.stderr, flush=True)
    print(json.dumps(found))
