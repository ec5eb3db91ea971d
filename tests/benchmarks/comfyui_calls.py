"""What the network of a model is called with when Sora Nodes sample it, and when ComfyUI's own nodes do.

Needs ComfyUI on the path, started, see `comfyui_tiny.start`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import comfyui_tiny as tiny
import torch
from torch import Tensor

SEED, STEPS, CFG = 3, 2, 3.0
Calls = list[dict[str, Any]]


@contextmanager
def recorded(model: Any) -> Iterator[Calls]:
    """List what the network of a MODEL is called with, in copies: a network may change what it is given."""
    network, calls = model.model.diffusion_model, []
    forward = network.forward

    def record(x: Any, timestep: Any, context: Any = None, **kwargs: Any) -> Any:
        others = {key: value for key, value in kwargs.items() if key not in ("transformer_options", "control")}
        calls.append(copied({"x": x, "timestep": timestep, "context": context, **others}))
        return forward(x, timestep, context=context, **kwargs)

    network.forward = record
    try:
        yield calls
    finally:
        del network.forward


def copied(value: Any) -> Any:
    """Copy tensors and what holds them: dicts, lists, nested tensors and other objects by their attributes."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [copied(item) for item in value]
    if hasattr(value, "unbind"):
        return copied(value.unbind())
    return copied(vars(value)) if hasattr(value, "__dict__") else value


def apart(a: Any, b: Any, where: str = "value") -> float:
    """Measure the largest difference of two values, tensors or whatever `copied` makes of what holds some.

    Raises ValueError, naming `where`, for another shape or kind.
    """
    a, b = copied(a), copied(b)
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a.shape != b.shape:
            raise ValueError(f"{where}: {list(a.shape)} against {list(b.shape)}")
        return float((a.double() - b.double()).abs().max()) if a.numel() else 0.0
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            raise ValueError(f"{where}: {sorted(a)} against {sorted(b)}")
        return max((apart(a[key], b[key], f"{where}.{key}") for key in a), default=0.0)
    if isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            raise ValueError(f"{where}: {len(a)} against {len(b)}")
        return max((apart(x, y, where) for x, y in zip(a, b, strict=True)), default=0.0)
    if a != b:
        raise ValueError(f"{where}: {a} against {b}")
    return 0.0


def said(measure: Callable[..., float], *args: Any) -> float | str:
    """Measure a difference, or say in words how the two are unlike."""
    try:
        return measure(*args)
    except ValueError as unlike:
        return str(unlike)


def calls_apart(ours: Calls, theirs: Calls) -> float:
    """Measure how far two runs' calls are apart; their latents in the first call only, steps may round otherwise."""
    later = [[{k: v for k, v in call.items() if k != "x"} for call in calls[1:]] for calls in (ours, theirs)]
    return max(apart(ours[:1], theirs[:1], "first call"), apart(*later, "later calls"))


class Words:
    """Stands for a text encoder: a CLIP whose prompts are what a function makes of a text."""

    tokenizer = None

    def __init__(self, encode: Callable[[str], list[Any]]) -> None:
        self.encode = encode

    def tokenize(self, text: str, **options: Any) -> str:
        """Hand the text on."""
        return text

    def encode_from_tokens_scheduled(self, tokens: str) -> list[Any]:
        """Give the prompt."""
        return [[context, dict(options)] for context, options in self.encode(tokens)]


class Bench:
    """One model with its VAE, and what its tasks are made of."""

    length = 25  # frames of a video

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
        """Sample a LATENT as Sora Sampler does, and list the calls of its network and what the node says."""
        from sora_core.pipeline.make import Sampling, sample_latent

        notes: list[str] = []
        how = Sampling(SEED, STEPS, CFG, "euler", "simple", denoise)
        with recorded(self.model) as calls:
            made = sample_latent(self.engine, self.model, latent, self.positive, self.negative, how, note=notes.append)
        return made, calls, notes

    def theirs(
        self, latent: Any, positive: Any = None, negative: Any = None, denoise: float = 1.0
    ) -> tuple[Any, Calls]:
        """Sample a LATENT as core's KSampler does."""
        import nodes

        with recorded(self.model) as calls:
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

        result: dict[str, Any] = {"works": True} if theirs is None else {"equal": said(calls_apart, calls, theirs[1])}
        if theirs is not None:
            result["result"] = said(apart, made["samples"], theirs[0]["samples"])
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

    def pictures(self, *places: int) -> Any:
        """Make frames of the pixels frames of a video of `length`."""
        from sora_core.pipeline import editing

        images = {at: self.pixels[at % self.length][None] for at in places}
        return editing.animate(self.engine, self.vae, images, frames=self.length, fps=self.fps)

    def by_core(self, latent: Any, calls: Calls) -> float | str:
        """Sample by core's KSampler what Sora Condition gives, and say how far that is from Sora Sampler."""
        from sora_core.pipeline.conditioning import condition

        told = condition(self.engine, self.model, self.positive, self.negative, latent)
        return said(calls_apart, calls, self.theirs(told.latent, told.positive, told.negative)[1])

    def long_video(self) -> dict[str, Any]:
        """Make a long video in segments."""
        from sora_core.pipeline.engine import Loaded
        from sora_core.pipeline.long import plan_long
        from sora_core.pipeline.make import Sampling
        from sora_core.tasks.storyboard import Shot

        loaded = Loaded(self.model, Words(lambda text: self.positive), self.vae)
        how = Sampling(SEED, STEPS, CFG)
        shots = [Shot("a cat", 2.0)]
        plan = plan_long(
            self.engine, loaded, shots, how, fps=self.fps, width=self.width, height=self.height, clip=self.clip(17)
        )
        frames, _ = plan.in_memory(None)
        return {"works": bool(torch.isfinite(frames).all()), "frames": len(frames)}


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
