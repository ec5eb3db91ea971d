"""From a prompt to a video in Python: `sora_core.load().generate("a cat moving right on a beach").save("cat.mp4")`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from ..diffusion.sampling import DiffusionModel, sample
from ..diffusion.schedules import get_sigmas
from ..errors import expect
from ..latents.decoding import decode
from ..loading.checkpoint import ModelBundle, load_model
from ..media.sizes import MAX_SIDE, check_side, nearest_length
from ..provenance.credentials.history import History, recorded
from .editing import Editing

MAX_FRAMES = 481  # a minute at 8 frames per second


@dataclass(frozen=True)
class VideoResult:
    """A generated video. frames: `[T,H,W,3]` float 0..1; latent: `[1,C,1+k,H/8,W/8]`, for further work."""

    frames: Tensor
    fps: float
    latent: Tensor
    seed: int
    history: History = field(default_factory=History)

    def save(
        self,
        path: str | Path,
        *,
        credentials: bool | None = None,
        watermark: bool | None = None,
        include_prompt: bool | None = None,
        **options,
    ) -> Path:
        """Write an mp4, signed and marked as `sora_core.provenance.plan` decides; options are
        `sora_core.media.video.write_video`'s.
        """
        from ..media.video import write_video
        from ..provenance import plan

        saving = plan(self.history, credentials=credentials, watermark=watermark, include_prompt=include_prompt)
        write_video(path, self.frames, self.fps, saving=saving, **options)
        return Path(path)


def plan_frames(seconds: float, fps: float, ratio: int = 4) -> int:
    """Frames of a clip of `seconds`: the nearest `1 + ratio * k`, at least 1. Raises SoraError when out of range."""
    expect(math.isfinite(seconds) and seconds > 0, f"The duration is {seconds} s. Use a number of seconds above 0.")
    check_rate(fps)
    frames = nearest_length(seconds * fps, ratio)
    expect(
        frames <= MAX_FRAMES,
        f"{seconds} s at {fps} frames per second are {frames} frames; one clip has at most {MAX_FRAMES}. "
        "Make a shorter one, or a long video in segments.",
    )
    return frames


def check_rate(fps: float) -> None:
    """Raise SoraError unless `fps` is a frame rate."""
    expect(math.isfinite(fps) and 0 < fps <= 120, f"The frame rate is {fps}. Use 1 to 120 frames per second.")


def check_size(width: int, height: int, multiple: int) -> None:
    """Raise SoraError unless width and height are multiples of `multiple` up to `MAX_SIDE`."""
    for name, value in (("width", width), ("height", height)):
        check_side(name, value, multiple)
        expect(value <= MAX_SIDE, f"The {name} is {value}. One clip is at most {MAX_SIDE} wide and high.")


class Pipeline(Editing):
    """A loaded model and what one does with it. `info` says what the model is at its best at: fps, size, frames."""

    def __init__(self, bundle: ModelBundle) -> None:
        self.bundle, self.info = bundle, bundle.info
        self.vae, self.text = bundle.vae, bundle.text
        self.model = DiffusionModel(bundle.dit, shift=self.info.get("shift", 1.0), name=self.info.get("name", "model"))

    def with_lora(self, path: str | Path, strength: float = 1.0) -> Pipeline:
        """A pipeline with a LoRA merged into its weights; this one stays as it is. Raises SoraError for a file that
        is no LoRA, or one of another model.
        """
        from ..loading.lora import apply_lora, read_lora

        bundle = apply_lora(self.bundle, read_lora(path), strength)
        return Pipeline(replace(bundle, loras=(*bundle.loras, Path(path))))

    @recorded(None)
    @torch.no_grad()
    def generate(
        self,
        prompt: str,
        *,
        negative: str = "",
        seconds: float | None = None,
        frames: int | None = None,
        fps: float | None = None,
        width: int | None = None,
        height: int | None = None,
        seed: int = 0,
        steps: int | None = None,
        sampler: str | None = None,
        scheduler: str = "simple",
        cfg: float | None = None,
        shift: float | None = None,
        options: dict | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> VideoResult:
        """Text to video. `progress(step, steps)` is called after every step; what it raises stops the run.

        Sizes, duration and frame rate default to the model's own; steps, cfg and sampler too (see
        `habits`). Raises SoraError for values out of range, an
        empty or overlong prompt, unknown sampler or scheduler names.
        """
        expect(bool(prompt.strip()), "The prompt is empty: say what the video should show.")
        info, vae = self.info, self.vae
        steps, cfg, sampler = self.habits(steps, cfg, sampler)
        fps = info.get("fps", 8) if fps is None else fps
        check_rate(fps)
        ratio = vae.config.temporal_ratio
        if frames is None:
            frames = info.get("frames", 17) if seconds is None else plan_frames(seconds, fps, ratio)
        expect(
            1 <= frames <= MAX_FRAMES and (frames - 1) % ratio == 0,
            f"{frames} frames cannot be made. Use 1 + {ratio}k of them, at most {MAX_FRAMES}: "
            f"{plan_frames(max(1, min(frames, MAX_FRAMES)), 1, ratio)}, for example.",
        )
        width, height = width or info.get("width", 128), height or info.get("height", 128)
        cell = vae.config.spatial_ratio
        check_size(width, height, cell * self.model.space.patch_size[1])
        model = self.model if shift is None else self.model.with_shift(shift)
        sigmas = get_sigmas(scheduler, steps, shift=model.shift)
        empty = torch.zeros(1, vae.config.latent_channels, vae.latent_frames(frames), height // cell, width // cell)
        positive, unconditional = self.text.encode([prompt]), self.text.encode([negative])

        def report(state: dict) -> None:
            if progress is not None:
                progress(state["i"] + 1, len(sigmas) - 1)

        latent = sample(
            model,
            {"samples": empty},
            positive,
            unconditional,
            seed=seed,
            sampler=sampler,
            sigmas=sigmas,
            cfg=cfg,
            options=options,
            callback=report,
        )["samples"]
        return VideoResult(self.decode(latent), fps, latent, seed)

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """Latent `[1,C,1+k,h,w]` -> frames `[T,H,W,3]` float 0..1, decoded as a stream."""
        return decode(self.vae, latent)[0]

    def unknown_words(self, prompt: str) -> list[str]:
        """Words of the prompt that the model has never seen."""
        return self.text.unknown_words(prompt)


def load(model: str | Path = "sora-mini", *, dtype: torch.dtype = torch.float32, device: str | None = None) -> Pipeline:
    """Load a checkpoint by path, or an embedded model by name; on the GPU where there is one."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return Pipeline(load_model(model, dtype, device))
