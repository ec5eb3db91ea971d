"""A model in Python, and everything one does with it, one call each.

    import sora_core
    pipe = sora_core.load()
    pipe.generate("a cat moving right on a beach").save("cat.mp4")
    pipe.animate("cat.png", "a cat moving right on a beach").save("cat.mp4")
    pipe.extend("cat.mp4", "a cat moving right on a beach", seconds=2).save("longer.mp4")
    pipe.loop("cat.mp4", "a cat on a beach", seconds=1).save("loop.mp4")

Videos and pictures are file names, or frames `[T,H,W,3]` and `[H,W,3]` float 0..1. Every call does what a graph of the
nodes does with the same settings, bit by bit: both are calls of `make`, `editing` and `long` over an engine.
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
from ..media.sizes import MAX_FRAMES, check_rate, check_size, nearest_length, plan_clip, plan_frames
from ..provenance import plan
from ..provenance.credentials.history import of_call, recorded
from ..tasks.finish.splice import SPLICE
from ..tasks.long.render import Progress
from ..tasks.long.rolling import Rolling
from ..tasks.long.story import rolling_for
from ..tasks.storyboard import Shot, shots_of
from . import editing
from .engine import EMPTY_PROMPT, unknown_note
from .loaded import LoadedModel
from .long import extend_in_segments, plan_long
from .make import How, HowLong, Prompts, empty_latent, encode_negative, encode_prompts, make_video
from .result import VideoResult
from .sources import Picture, Size, Video

__all__ = ["MAX_FRAMES", "Pipeline", "VideoResult", "check_rate", "check_size", "load", "plan_frames"]

MAX_LONG_SHOTS = 200


class Pipeline(LoadedModel):
    """A loaded model and what one does with it. `info` says what the model is at its best at: fps, size, frames.

    Every call that makes a video takes these settings by name, see `How`:

    negative: a prompt of what not to show.
    seed: same seed and settings, same video.
    steps, cfg, sampler: the model's own where they are not given, see `habits`. Between kept frames (infill, connect,
        loop) the guidance is then at most `loaded.BETWEEN`.
    scheduler: "simple" where it is not given.
    interval: the part of the run, 0..1, in which guidance is on.
    options: the sampler's own.
    progress: `progress(step, steps)` is called after every step; what it raises stops the run.

    `(word:1.3)` in a prompt stresses a word. The calls raise SoraError for input that cannot be worked on, before any
    work starts, and for what the policy in force forbids.
    """

    def with_lora(self, path: str | Path, strength: float = 1.0) -> Pipeline:
        """Merge a LoRA into a copy of the weights; this pipeline stays as it is.

        Raises SoraError for a file that is no LoRA, or one of another model.
        """
        bundle = apply_lora(self.bundle, read_lora(path), strength)
        return Pipeline(replace(bundle, loras=(*bundle.loras, Path(path))))

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
        **how: Unpack[How],
    ) -> VideoResult:
        """Make a video of words. Sizes, duration and frame rate default to the model's own.

        frames: 1 + ratio * k of them, in place of seconds. shift: of the noise schedule, see `schedules.shift_sigma`.
        """
        info, space = self.info, self.space
        fps = info.get("fps", 8) if fps is None else fps
        check_rate(fps)
        notes: tuple[str, ...] = ()
        width, height = width or info.get("width", 128), height or info.get("height", 128)
        check_size(width, height, space.multiple)
        if frames is None and seconds is not None:
            frames = plan_frames(seconds, fps, space.temporal_ratio)
            notes = plan_clip(seconds, fps, width, height, "as set", space.temporal_ratio, space.multiple).notes
        frames = frames or info.get("frames", 17)
        expect(
            1 <= frames <= MAX_FRAMES and space.video_frames(space.latent_frames(frames)) == frames,
            f"{frames} frames cannot be made. Use 1 + {space.temporal_ratio}k of them, at most {MAX_FRAMES}: "
            f"{nearest_length(max(1, min(frames, MAX_FRAMES)), space.temporal_ratio)}, for example.",
        )
        loaded = self.loaded
        if shift is not None:
            loaded = replace(loaded, model=loaded.model.with_shift(shift))
        sampling, steps, negative = self.settings(how)
        latent = empty_latent(space, frames, width, height)
        prompts = encode_prompts(self.engine, loaded.clip, prompt, negative, sampling.cfg)
        return make_video(self.engine, loaded, latent, prompts, sampling, fps=fps, notes=notes, steps=steps)

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
        **how: Unpack[How],
    ) -> VideoResult:
        """Make a still image the first frame of a video; or {frame: image} (0 is the first, -1 the last)."""
        fps = fps or self.info.get("fps", 8)
        if seconds is not None and frames is None:
            plan_frames(seconds, fps, self.space.temporal_ratio)  # refuses what is too long
        elif frames is None:
            frames = self.info.get("frames", 17)
        images = image if isinstance(image, Mapping) else {0: image}
        edit = editing.animate(
            self.engine,
            self.loaded.vae,
            images,
            seconds=seconds or 0.0,
            frames=frames,
            fps=fps,
            size=size,
            window=self.window,
        )
        return self._make(edit, prompt, how)

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
        **how: Unpack[How],
    ) -> VideoResult:
        """Make more of a video: `seconds` after it, before it, or on both sides ("forwards", "backwards", "both").

        Forwards by more than the model makes at once it goes on in segments, as the node Sora Long Video does; then
        `progress` counts latents, and `rolling` says how they follow each other.

        hold: how far what is made may be pulled back to what the shot has been like, as a part of its spread; 0 leaves
        it as it is. By default 0.3, of its broad colours, and in segments 0.8, of all that stands still.
        """
        clip = self.read(video, fps, size)
        new = round(seconds * clip.fps)
        given = {} if hold is None else {"hold": hold}
        if direction == "forwards" and -(-new // self.space.temporal_ratio) > self.window - 1:
            rolling = rolling or rolling_for(self.window, **given)
            sampling, steps, negative = self.settings(how)
            return extend_in_segments(
                self.engine,
                self.loaded,
                clip,
                prompt,
                new / clip.fps,
                rolling,
                sampling,
                negative=negative,
                steps=steps,
            )
        edit = editing.extend(self.engine, self.loaded.vae, clip, seconds, direction, window=self.window, **given)
        return self._make(edit, prompt, how)

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
        **how: Unpack[How],
    ) -> VideoResult:
        """Make frames anew (their numbers, `range(5, 13)`), or a painted region (`[T,H,W]` or `[1,H,W]`)."""
        clip = self.read(video, fps, size)
        edit = editing.infill(self.engine, self.loaded.vae, clip, hidden, region, window=self.window)
        return self._make(edit, prompt, self.between(how))

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
        **how: Unpack[How],
    ) -> VideoResult:
        """Join two videos with `seconds` between them. The second takes the first one's rate and size."""
        a = self.read(first, fps, size)
        b = self.read(second, a.fps, (a.frames.shape[2], a.frames.shape[1]))
        edit = editing.connect(self.engine, self.loaded.vae, a, b, seconds, window=self.window)
        return self._make(edit, prompt, self.between(how))

    @recorded("SoraLoop", "video")
    def loop(
        self,
        video: Video,
        prompt: str,
        *,
        seconds: float = 1.0,
        fps: float | None = None,
        size: Size | None = None,
        **how: Unpack[How],
    ) -> VideoResult:
        """Make a video play round and round, with `seconds` that lead from its end back to its start."""
        clip = self.read(video, fps, size)
        edit = editing.loop(self.engine, self.loaded.vae, clip, seconds, window=self.window)
        return self._make(edit, prompt, self.between(how))

    @recorded("SoraRemix", "video")
    def remix(
        self,
        video: Video,
        prompt: str,
        *,
        strength: float = 0.6,
        fps: float | None = None,
        size: Size | None = None,
        **how: Unpack[How],
    ) -> VideoResult:
        """Restyle a video after the prompt. strength: how much may change, 0 nothing, 1 everything."""
        expect(0 <= strength <= 1, f"strength is {strength}: use 0 (as it is) to 1 (all new).")
        edit = editing.remix(self.engine, self.loaded.vae, self.read(video, fps, size))
        return self._make(edit, prompt, {**how, "denoise": strength})

    @recorded(None)
    def storyboard(
        self,
        shots: str | Sequence[Shot | tuple[str, float]],
        *,
        fps: float | None = None,
        width: int | None = None,
        height: int | None = None,
        **how: Unpack[How],
    ) -> VideoResult:
        """Make two to eight shots in one video: lines of "2s: a cat on a beach", or (prompt, seconds) pairs."""
        listed = shots_of(shots)
        fps = fps or self.info.get("fps", 8)
        width, height = width or self.info.get("width", 128), height or self.info.get("height", 128)
        check_size(width, height, self.space.multiple)
        story = editing.storyboard(
            self.engine, self.loaded.clip, listed, fps=fps, width=width, height=height, model=self.model
        )
        sampling, steps, negative = self.settings(how)
        against = "\n".join(shot.prompt for shot in listed)
        off, unknown = encode_negative(self.engine, self.loaded.clip, negative, against, sampling.cfg)
        prompts = Prompts(story.positive, off, (*story.notes, *unknown_note(unknown)))
        return make_video(self.engine, self.loaded, story.latent, prompts, sampling, fps=fps, steps=steps)

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
        **how: Unpack[HowLong],
    ) -> Path:
        """Make a minute and more, streamed to the mp4 `path`; the same call goes on with a render that was stopped.

        prompt: one, or a storyboard, whose seconds add up unless `seconds` is given. video: to go on from. progress:
        called after every segment. notes: a list that gets what a person should know.
        """
        if isinstance(prompt, str) and "\n" not in prompt.strip():
            expect(bool(prompt.strip()), EMPTY_PROMPT)
            listed = [Shot(prompt, seconds or 10.0)]
        else:
            listed = shots_of(prompt, MAX_LONG_SHOTS)
        clip = None
        if video is not None:
            clip = self.read(video, fps, (width, height) if width and height else None)
            fps = clip.fps
        fps = fps or self.info.get("fps", 8)
        width, height = width or self.info.get("width", 128), height or self.info.get("height", 128)
        if clip is None:
            check_size(width, height, self.space.multiple)
        sampling, _, negative = self.settings(how)
        made = plan_long(
            self.engine,
            self.loaded,
            listed,
            sampling,
            fps=fps,
            width=width,
            height=height,
            seconds=seconds or 0.0,
            negative=negative,
            rolling=rolling or rolling_for(self.window),
            clip=clip,
        )
        kind = None if video is None else "SoraLongVideo"
        saving = plan(of_call(self.bundle, kind, [video], "\n".join(shot.prompt for shot in listed)))
        done = made.render(path, saving=saving, progress=progress, metadata=metadata, keep_segments=keep_segments)
        if notes is not None:
            notes += [*made.notes, *saving.notes]
        return done

    def make(self, latent: dict[str, Any], prompt: str, *, fps: float | None = None, **how: Unpack[How]) -> VideoResult:
        """Sample a task's LATENT (see `sora_core.tasks`), decode it, and put the user's pixels back.

        fps: of a LATENT without a splice. Raises SoraError as the edits do.
        """
        splice = latent.get(SPLICE)
        rate = fps or (splice.fps if splice is not None else self.info.get("fps", 8))
        return self._make(editing.Edit(latent, rate), prompt, how)

    # -- insides ---------------------------------------------------------------------------------------------
    def _make(self, edit: editing.Edit, prompt: str, how: How) -> VideoResult:
        """Sample an edit, decode it, and put the user's pixels back."""
        sampling, steps, negative = self.settings(how)
        prompts = encode_prompts(self.engine, self.loaded.clip, prompt, negative, sampling.cfg)
        return make_video(
            self.engine,
            self.loaded,
            edit.latent,
            prompts,
            sampling,
            fps=edit.fps,
            audio=edit.audio,
            notes=edit.notes,
            steps=steps,
        )


def load(model: str | Path = "sora-mini", *, dtype: torch.dtype = torch.float32, device: str | None = None) -> Pipeline:
    """Load a checkpoint by path, or an embedded model by name; on the GPU where there is one."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return Pipeline(load_model(model, dtype, device))
