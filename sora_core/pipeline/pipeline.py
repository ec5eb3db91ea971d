"""A model in Python, and everything one does with it, one call each.

    import sora_core
    pipe = sora_core.load()
    pipe.generate("a cat moving right on a beach").save("cat.mp4")
    pipe.animate("cat.png", "a cat moving right on a beach").save("cat.mp4")

Videos and pictures are file names, or frames `[T,H,W,3]` and `[H,W,3]` float 0..1 or uint8; a video may be what a call
gave back. Every call does what a graph of the nodes does with the same settings, bit by bit: both are calls of `make`,
`editing` and `long` over an engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Tensor

from ..errors import expect
from ..loading.checkpoint import load_model
from ..loading.lora import apply_lora, read_lora
from ..media.sizes import MAX_FRAMES, check_rate, check_seconds, check_size, plan_clip, plan_frames
from ..model.compiling import compiled
from ..model.layers import is_compiled
from ..provenance import plan
from ..safety import gate
from ..tasks.finish.splice import SPLICE
from ..tasks.long.render import Progress
from ..tasks.long.rolling import Rolling
from ..tasks.long.story import rolling_for
from ..tasks.storyboard import MAX_LONG_SHOTS, Shot, shots_of
from . import editing
from .given import checked
from .loaded import LoadedModel
from .long import extend_in_segments, plan_long
from .make import CallSettings, Prompts, SamplingSettings, check_sampling, empty_latent, encode_negative, make_video
from .own import OwnEngine, checked_device, usual_device, usual_dtype
from .recording import of_call, recorded, with_read
from .result import VideoResult
from .sources import Picture, Size, Video
from .wording import notes_of

__all__ = ["MAX_FRAMES", "Pipeline", "VideoResult", "check_rate", "check_size", "load", "plan_frames"]

LONG = 10.0  # seconds of a long video of one prompt, where nobody says how long it is


class Pipeline(LoadedModel):
    """A loaded model and what one does with it. `info` says what the model is at its best at: fps, size, frames.

    Every call that makes a video takes these settings by name, see `CallSettings`:

    negative: a prompt of what not to show.
    seed: same seed and settings, same video.
    expand: "auto" tells a prompt in the model's own words where it has others, "always" tells every prompt again,
        "never" none. What was made of it is in the notes, and in `read_as`.
    steps, cfg, sampler: the model's own where they are not given, see `habits`. Between kept frames (infill, connect,
        loop) the guidance is then at most `loaded.BETWEEN`.
    scheduler: "simple" where it is not given.
    interval: the part of the run, 0..1, in which guidance is on.
    options: the sampler's own.
    cache, gate: how much may be lost to save model calls, and those of the negative prompt: 0 (nothing) to 1, see
        `sora_core.diffusion.caches`.
    progress: `progress(step, steps)` is called after every step; what it raises stops the run.

    `(word:1.3)` in a prompt stresses a word. Where a storyboard or a long video differs in some shots from one that was
    made before, the others are kept from it; `reuse=False` makes them all. The calls raise SoraError for input that
    cannot be worked on, before any work starts, and for what the policy in force forbids.
    """

    @checked
    def with_lora(self, path: str | Path, strength: float = 1.0) -> Pipeline:
        """Merge a LoRA into a copy of the weights; this pipeline stays as it is.

        Raises SoraError for a file that is no LoRA, or one of another model.
        """
        other = Pipeline(apply_lora(self.bundle, read_lora(path), strength), self.engine)
        return other.compiled() if any(map(is_compiled, self.bundle.dit.blocks)) else other

    @checked
    def compiled(self) -> Pipeline:
        """Compile the transformer with `torch.compile`, for calls that are many or long; this pipeline stays as it is.

        The first call of every size waits for the compiler. Videos are the same but for rounding. Raises SoraError
        where there is nothing to compile with.
        """
        return Pipeline(replace(self.bundle, dit=compiled(self.bundle.dit)), self.engine)

    # -- tasks -----------------------------------------------------------------------------------------------
    @recorded(None)
    def generate(
        self,
        prompt: str,
        *,
        seconds: float | None = None,
        frames: int | None = None,
        fps: float | None = None,
        width: int | None = None,
        height: int | None = None,
        shift: float | None = None,
        **how: Unpack[CallSettings],
    ) -> VideoResult:
        """Make a video of words. Sizes, duration and frame rate default to the model's own.

        frames: 1 + ratio * k of them, in place of seconds. shift: of the noise schedule, see `schedules.shift_sigma`.
        """
        space, fps = self.space, self.rate(fps)
        notes: tuple[str, ...] = ()
        width, height = self.sides(width, height)
        count = self.frames_of(frames, seconds, fps)
        if frames is None and seconds is not None:
            notes = plan_clip(seconds, fps, width, height, "as set", space.temporal_ratio, space.multiple).notes
        loaded = self.loaded if shift is None else replace(self.loaded, model=self.loaded.model.with_shift(shift))
        ready = self.ready(prompt, how)
        latent = empty_latent(space, count, width, height)
        return make_video(
            self.engine, loaded, latent, ready.prompts, ready.sampling, fps=fps, notes=notes, steps=ready.steps
        )

    @recorded("SoraImageToVideo", "image")
    def animate(
        self,
        image: Picture | Mapping[int, Picture],
        prompt: str,
        *,
        frames: int | None = None,
        seconds: float | None = None,
        fps: float | None = None,
        size: Size | None = None,
        **how: Unpack[CallSettings],
    ) -> VideoResult:
        """Make a still image the first frame of a video; or {frame: image} (0 is the first, -1 the last)."""
        ready = self.ready(prompt, how)
        fps = self.rate(fps)
        if seconds is not None and frames is None:
            plan_frames(seconds, fps, self.space.temporal_ratio)  # refuses what is too long
        elif frames is None:
            frames = self.info.get("frames", 17)
        edit = editing.animate(
            self.engine,
            self.loaded.vae,
            image if isinstance(image, Mapping) else {0: image},
            seconds=0.0 if seconds is None else seconds,
            frames=frames,
            fps=fps,
            size=size,
            window=self.window,
        )
        return self._make(edit, ready)

    @recorded("SoraExtend", "video")
    def extend(
        self,
        video: Video,
        prompt: str,
        *,
        seconds: float = 1.0,
        direction: str = "forwards",
        fps: float | None = None,
        size: Size | None = None,
        hold: float | None = None,
        rolling: Rolling | None = None,
        **how: Unpack[CallSettings],
    ) -> VideoResult:
        """Make more of a video: `seconds` after it, before it, or on both sides ("forwards", "backwards", "both").

        Forwards by more than the model makes at once it goes on in segments, as the node Sora Long Video does; then
        `progress` counts latents, and `rolling` says how they follow each other.

        hold: how far what is made may be pulled back to what the shot has been like, as a part of its spread; 0 leaves
        it as it is. By default 0.3, of its broad colours, and in segments 0.8, of all that stands still.
        """
        ready = self.ready(prompt, how)
        clip = self.read(video, fps, size)
        check_seconds(seconds)
        if direction == "forwards" and not self.codec.fits(round(seconds * clip.fps)):
            rolling = rolling or rolling_for(self.window)
            rolling = rolling if hold is None else replace(rolling, hold=hold)
            return extend_in_segments(
                self.engine,
                self.loaded,
                clip,
                prompt,
                round(seconds * clip.fps) / clip.fps,
                rolling,
                ready.sampling,
                negative=ready.settings.negative,
                steps=ready.steps,
                expand=ready.settings.expand,
            )
        given = {} if hold is None else {"hold": hold}
        edit = editing.extend(self.engine, self.loaded.vae, clip, seconds, direction, window=self.window, **given)
        return self._make(edit, ready)

    @recorded("SoraInfill", "video")
    def infill(
        self,
        video: Video,
        prompt: str,
        *,
        hidden: Sequence[int] | None = None,
        region: Tensor | None = None,
        fps: float | None = None,
        size: Size | None = None,
        **how: Unpack[CallSettings],
    ) -> VideoResult:
        """Make frames anew (their numbers, `range(5, 13)`), or a painted region (`[T,H,W]` or `[1,H,W]`)."""
        ready = self.ready(prompt, self.between(how))
        clip = self.read(video, fps, size)
        edit = editing.infill(self.engine, self.loaded.vae, clip, hidden, region, window=self.window)
        return self._make(edit, ready)

    @recorded("SoraConnect", "first", "second")
    def connect(
        self,
        first: Video,
        second: Video,
        prompt: str,
        *,
        seconds: float = 1.0,
        fps: float | None = None,
        size: Size | None = None,
        **how: Unpack[CallSettings],
    ) -> VideoResult:
        """Join two videos with `seconds` between them. The second takes the first one's rate and size."""
        ready = self.ready(prompt, self.between(how))
        a = self.read(first, fps, size)
        b = self.read(second, a.fps, (a.frames.shape[2], a.frames.shape[1]))
        edit = editing.connect(self.engine, self.loaded.vae, a, b, seconds, window=self.window)
        return self._make(edit, ready)

    @recorded("SoraLoop", "video")
    def loop(
        self,
        video: Video,
        prompt: str,
        *,
        seconds: float = 1.0,
        fps: float | None = None,
        size: Size | None = None,
        **how: Unpack[CallSettings],
    ) -> VideoResult:
        """Make a video play round and round, with `seconds` that lead from its end back to its start."""
        ready = self.ready(prompt, self.between(how))
        clip = self.read(video, fps, size)
        edit = editing.loop(self.engine, self.loaded.vae, clip, seconds, window=self.window)
        return self._make(edit, ready)

    @recorded("SoraRemix", "video")
    def remix(
        self,
        video: Video,
        prompt: str,
        *,
        strength: float = 0.6,
        fps: float | None = None,
        size: Size | None = None,
        **how: Unpack[CallSettings],
    ) -> VideoResult:
        """Restyle a video after the prompt. strength: how much may change, 0 nothing, 1 everything."""
        expect(0 <= strength <= 1, f"strength is {strength}: use 0 (as it is) to 1 (all new).")
        ready = self.ready(prompt, how, denoise=strength)
        return self._make(editing.remix(self.engine, self.loaded.vae, self.read(video, fps, size)), ready)

    @recorded(None)
    def storyboard(
        self,
        shots: str | Sequence[Shot | tuple[str, float]],
        *,
        fps: float | None = None,
        width: int | None = None,
        height: int | None = None,
        reuse: bool = True,
        **how: Unpack[CallSettings],
    ) -> VideoResult:
        """Make two to eight shots in one video: lines of "2s: a cat on a beach", or (prompt, seconds) pairs."""
        listed = shots_of(shots)
        fps = self.rate(fps)
        width, height = self.sides(width, height)
        given = self.settings(how)
        sampling, clip = given.sampling, self.loaded.clip
        check_sampling(self.engine, self.model, sampling)
        story = editing.storyboard(
            self.engine, clip, listed, fps=fps, width=width, height=height, model=self.model, expand=given.expand
        )
        against = "\n".join(shot.prompt for shot in listed)
        off = encode_negative(self.engine, clip, given.negative, against, sampling.cfg, given.expand)
        negative = None if sampling.cfg == 1.0 else off.conditioning
        prompts = Prompts(story.positive, negative, (*story.notes, *notes_of(off)), story.read_as)
        return make_video(
            self.engine, self.loaded, story.latent, prompts, sampling, fps=fps, steps=given.steps, reuse=reuse
        )

    @checked
    def long_video(
        self,
        prompt: str | Sequence[Shot | tuple[str, float]],
        path: str | Path,
        *,
        seconds: float | None = None,
        fps: float | None = None,
        width: int | None = None,
        height: int | None = None,
        video: Video | None = None,
        rolling: Rolling | None = None,
        progress: Callable[[Progress], None] | None = None,
        metadata: dict[str, str] | None = None,
        keep_segments: bool = False,
        notes: list[str] | None = None,
        reuse: bool = True,
        **how: Unpack[SamplingSettings],
    ) -> Path:
        """Make a minute and more, streamed to the mp4 `path`; the same call goes on with a render that was stopped.

        prompt: one, or a storyboard, whose seconds add up unless `seconds` is given. video: to go on from. progress:
        called after every segment. notes: a list that gets what a person should know.
        """
        settings = self.settings(how)
        sampling = settings.sampling
        check_sampling(self.engine, self.model, sampling)
        # One prompt without its seconds is not a shot of two seconds, as the lines of a storyboard are.
        alone = isinstance(prompt, str) and "\n" not in prompt.strip()
        listed = shots_of(prompt, MAX_LONG_SHOTS, LONG if alone else 2.0)
        clip = None
        if video is not None:
            clip = self.read(video, fps, (width, height) if width and height else None)
            fps = clip.fps
        fps = self.rate(fps)
        width, height = self.sides(width, height)
        with gate.noting(notes):
            made = plan_long(
                self.engine,
                self.loaded,
                listed,
                sampling,
                fps=fps,
                width=width,
                height=height,
                seconds=seconds or 0.0,
                negative=settings.negative,
                rolling=rolling or rolling_for(self.window),
                clip=clip,
                expand=settings.expand,
            )
        kind = None if video is None else "SoraLongVideo"
        history = of_call(self.bundle, kind, [video], "\n".join(shot.prompt for shot in listed))
        saving = plan(with_read(history, made.read_as))
        done = made.render(path, saving, progress=progress, metadata=metadata, keep_segments=keep_segments, reuse=reuse)
        if notes is None:
            saving.tell()
        else:
            notes += [*made.notes, *saving.notes]
        return done

    @recorded(None)
    def make(
        self,
        latent: dict[str, Any],
        prompt: str,
        *,
        fps: float | None = None,
        denoise: float = 1.0,
        **how: Unpack[CallSettings],
    ) -> VideoResult:
        """Sample a task's LATENT (see `sora_core.tasks`), decode it, and put the user's pixels back.

        fps: of a LATENT without a splice. denoise: the fraction of the schedule that is run, counted from its end.
        """
        ready = self.ready(prompt, how, denoise)
        splice = latent.get(SPLICE)
        return self._make(editing.Edit(latent, self.rate(fps) if splice is None else splice.fps), ready)


@checked
def load(
    model: str | Path = "sora-mini",
    *,
    dtype: torch.dtype | None = None,
    device: str | None = None,
    engine: OwnEngine | None = None,
) -> Pipeline:
    """Load a checkpoint by path, or an embedded model by name; on the GPU where there is one.

    dtype: bf16 on a GPU and fp32 on a CPU where none is given, as Sora Load Model has it. engine: one with wrappers of
    the model call, say.
    """
    device = usual_device() if device is None else checked_device(device)
    return Pipeline(load_model(model, dtype or usual_dtype(device), device), engine)
