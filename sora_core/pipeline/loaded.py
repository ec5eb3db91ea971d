"""A model that is loaded: its parts, its habits, how it reads pictures and videos, and how it makes an edit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..errors import expect
from ..language.wording import AUTO, check_how
from ..loading.checkpoint import ModelBundle
from ..media.clips import Clip
from ..media.sizes import MAX_FRAMES, check_rate, check_size, nearest_length, plan_frames
from ..tasks.layout import VAECodec
from .editing import Edit, codec_of
from .given import checked
from .make import CallSettings, Prompts, Sampling, SamplingSettings, check_sampling, encode_prompts, make_video
from .own import OwnEngine, wrap
from .progress import Steps
from .result import VideoResult
from .sources import Picture, Size, Video, take_clip, take_still

BETWEEN = 2.0  # the most guidance between frames that are kept on both sides: they say more than the prompt does
USUAL: dict[str, Any] = {"steps": 25, "cfg": 4.0, "sampler": "euler"}  # of a model whose file says nothing else


@dataclass(frozen=True)
class Settings:
    """The settings of a call, filled in."""

    sampling: Sampling
    steps: Steps | None  # who listens
    negative: str
    expand: str  # when prompts are told in other words


@dataclass(frozen=True)
class Ready:
    """What a call needs besides its latent."""

    prompts: Prompts
    settings: Settings

    @property
    def sampling(self) -> Sampling:
        """How to sample."""
        return self.settings.sampling

    @property
    def steps(self) -> Steps | None:
        """Who listens."""
        return self.settings.steps


class LoadedModel:
    """A model over our own engine. `info` says what it is at its best at: fps, size, frames."""

    def __init__(self, bundle: ModelBundle, engine: OwnEngine | None = None) -> None:
        """Wrap a loaded checkpoint. engine: one with wrappers of the model call, say."""
        self.bundle, self.info = bundle, bundle.info
        self.vae, self.text = bundle.vae, bundle.text
        self.engine = engine or OwnEngine()
        self.loaded = wrap(bundle)
        self.model = self.loaded.model
        self.space = self.engine.latent_space(model=self.model)

    # -- inputs ----------------------------------------------------------------------------------------------
    @property
    def codec(self) -> VAECodec:
        """The VAE as the tasks use it."""
        return codec_of(self.engine, self.loaded.vae, self.window)

    @property
    def window(self) -> int:
        """Latents of the clips that the model is at its best at."""
        return self.space.latent_frames(self.info.get("frames", 17))

    def read(self, video: Video, fps: float | None = None, size: Size | None = None) -> Clip:
        """Read a video as the model can take it, see `sources.take_clip`. Frames alone have `fps`."""
        return take_clip(video, self.space.multiple, fps=fps, size=size, usual_fps=self.info.get("fps", 8))

    def still(self, image: Picture, size: Size | None = None) -> Tensor:
        """Read a picture `[H,W,3]` as the model can take it."""
        return take_still(image, self.space.multiple, size)

    @checked
    def unknown_words(self, prompt: str) -> list[str]:
        """List the words of the prompt that the model has never seen."""
        return self.loaded.clip.unknown_words(prompt)

    def habits(
        self, steps: int | None = None, cfg: float | None = None, sampler: str | None = None
    ) -> tuple[int, float, str]:
        """Return steps, guidance and sampler as given, or the model's own: what its file says, or a few-step LoRA's."""
        own = {key: self.info.get(key, usual) for key, usual in USUAL.items()}
        return (
            own["steps"] if steps is None else steps,
            own["cfg"] if cfg is None else cfg,
            own["sampler"] if sampler is None else sampler,
        )

    # -- latents and frames ----------------------------------------------------------------------------------
    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """Decode a latent `[1,C,1+k,h,w]` to frames `[T,H,W,3]`, float 0..1."""
        return self.engine.decode(self.loaded.vae, {"samples": latent})

    def decode_pieces(self, pieces: Iterable[Tensor]) -> Iterator[Tensor]:
        """Decode latents in pieces `[1,C,n,h,w]` to frames in pieces `[t,H,W,3]`, as one stream."""
        return self.engine.decode_pieces(self.loaded.vae, pieces)

    # -- settings --------------------------------------------------------------------------------------------
    def between(self, how: CallSettings) -> CallSettings:
        """Return the settings of an edit between kept frames."""
        return how if how.get("cfg") is not None else {**how, "cfg": min(BETWEEN, self.habits()[1])}

    def settings(self, how: CallSettings | SamplingSettings) -> Settings:
        """Fill in what was not given, or given as None.

        Raises TypeError for a setting that there is not.
        """
        given: dict[str, Any] = {name: value for name, value in how.items() if value is not None}
        unknown = set(how) - CallSettings.__optional_keys__
        if unknown:
            raise TypeError(f"There is no setting {min(unknown)!r}: see sora_core.pipeline.make.CallSettings.")
        steps = given.pop("progress", None)
        negative, expand = given.pop("negative", ""), given.pop("expand", AUTO)
        check_how(expand)
        given["steps"], given["cfg"], given["sampler"] = self.habits(
            given.get("steps"), given.get("cfg"), given.get("sampler")
        )
        return Settings(Sampling(**given), steps, negative, expand)

    def ready(self, prompt: str, how: CallSettings, denoise: float = 1.0) -> Ready:
        """Encode the prompts and check the settings of a call: what is wrong with them is said before any work."""
        given = self.settings(how)
        sampling = replace(given.sampling, denoise=denoise)
        prompts = encode_prompts(self.engine, self.loaded.clip, prompt, given.negative, sampling.cfg, given.expand)
        check_sampling(self.engine, self.model, sampling)
        return Ready(prompts, replace(given, sampling=sampling))

    # -- making ----------------------------------------------------------------------------------------------
    def _make(self, edit: Edit, ready: Ready) -> VideoResult:
        """Sample an edit, decode it, and put the user's pixels back."""
        return make_video(
            self.engine,
            self.loaded,
            edit.latent,
            ready.prompts,
            ready.sampling,
            fps=edit.fps,
            audio=edit.audio,
            notes=edit.notes,
            steps=ready.steps,
        )

    def rate(self, fps: float | None) -> float:
        """Return a frame rate, the model's own where none is given. Raises SoraError for one out of range."""
        fps = self.info.get("fps", 8) if fps is None else fps
        check_rate(fps)
        return fps

    def sides(self, width: int | None, height: int | None) -> tuple[int, int]:
        """Return a size, the model's own where none is given. Raises SoraError for one that cannot be made."""
        width = self.info.get("width", 128) if width is None else width
        height = self.info.get("height", 128) if height is None else height
        check_size(width, height, self.space.multiple)
        return width, height

    def frames_of(self, frames: int | None, seconds: float | None, fps: float) -> int:
        """Return how many frames a video of words has: as given, by its seconds, or the model's own number.

        Raises SoraError for a number that cannot be made.
        """
        space = self.space
        if frames is None and seconds is not None:
            frames = plan_frames(seconds, fps, space.temporal_ratio)
        frames = self.info.get("frames", 17) if frames is None else frames
        expect(
            1 <= frames <= MAX_FRAMES and space.video_frames(space.latent_frames(frames)) == frames,
            f"{frames} frames cannot be made. Use 1 + {space.temporal_ratio}k of them, at most {MAX_FRAMES}: "
            f"{nearest_length(max(1, min(frames, MAX_FRAMES)), space.temporal_ratio)}, for example.",
        )
        return frames
