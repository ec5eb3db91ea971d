"""What a `Pipeline` can do besides text to video, one call each.

    pipe = sora_core.load()
    pipe.animate("cat.png", "a cat moving right on a beach").save("cat.mp4")
    pipe.extend("cat.mp4", "a cat moving right on a beach", seconds=2).save("longer.mp4")
    pipe.loop("cat.mp4", "a cat on a beach", seconds=1).save("loop.mp4")

Videos and pictures are file names, or frames `[T,H,W,3]` and `[H,W,3]` float 0..1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .. import tasks
from ..diffusion.sampling import sample
from ..diffusion.schedules import get_sigmas
from ..errors import expect
from ..latents.decoding import decode_stream, encode
from ..media.clips import Clip, fit_frames, read_clip, read_still, resample_frames
from ..provenance.credentials.history import of_call, recorded
from ..tasks.long.render import LongVideo, Progress, check_long, make_source, render, rolling_for
from ..tasks.long.rolling import Roller, Rolling, Segment, join, roll
from ..tasks.storyboard import Shot, encode_shots, parse_storyboard, plan_shots, shots_conditioning

if TYPE_CHECKING:
    from .pipeline import VideoResult

MAX_LONG_SHOTS = 200
BETWEEN = 2.0  # the most guidance between frames that are kept on both sides: they say more than the prompt does
USUAL = {"steps": 25, "cfg": 4.0, "sampler": "euler"}  # of a model whose file says nothing else
Video = str | Path | Tensor | Clip


class Editing:
    """Mixed into `Pipeline`, whose model, vae, text and info it uses.

    Every call takes `seed`, `steps`, `sampler`, `scheduler`, `cfg`, `negative`, `options` and `progress` as
    `Pipeline.generate` does; between kept frames (infill, connect, loop) guidance is at most BETWEEN where none is
    given. Raises SoraError for input that cannot be worked on, before any work starts.
    """

    # -- inputs ----------------------------------------------------------------------------------------------
    @property
    def codec(self) -> tasks.VAECodec:
        """The VAE as the tasks use it."""
        frames = self.info.get("frames", 17)
        return tasks.VAECodec(
            lambda images: encode(self.vae, images), self.vae.config.temporal_ratio, self.vae.latent_frames(frames)
        )

    @property
    def _multiple(self) -> int:
        return self.vae.config.spatial_ratio * max(self.model.space.patch_size[1:])

    def read(self, video: Video, fps: float | None = None, size: tuple[int, int] | None = None) -> Clip:
        """A video as the model can take it: see `clips.read_clip`. Frames that are given have `fps`."""
        if isinstance(video, (str, Path)):
            return read_clip(video, fps=fps, size=size, multiple=self._multiple)
        if isinstance(video, Clip):
            frames = video.frames if fps is None else resample_frames(video.frames, video.fps, fps)
            return Clip(fit_frames(frames, size, self._multiple), fps or video.fps, video.audio, video.notes)
        return Clip(fit_frames(video, size, self._multiple), fps or self.info.get("fps", 8))

    def still(self, image: str | Path | Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """A picture `[H,W,3]` as the model can take it."""
        frames = read_still(image) if isinstance(image, (str, Path)) else image
        frames = frames[None] if frames.ndim == 3 else frames
        return fit_frames(frames[:1], size, self._multiple)[0]

    # -- tasks -----------------------------------------------------------------------------------------------
    @recorded("SoraImageToVideo", "image")
    def animate(
        self,
        image: str | Path | Tensor | Mapping[int, Any],
        prompt: str,
        *,
        frames: int | None = None,
        seconds: float | None = None,
        fps: float | None = None,
        size: tuple[int, int] | None = None,
        **how: Any,
    ) -> VideoResult:
        """A still image as the first frame of a video; or {frame: image} (0 is the first, -1 the last)."""
        from .pipeline import plan_frames

        fps = fps or self.info.get("fps", 8)
        if frames is None:
            frames = self.info.get("frames", 17) if seconds is None else plan_frames(seconds, fps, self.codec.ratio)
        images = image if isinstance(image, Mapping) else {0: image}
        stills = {i: self.still(picture, size) for i, picture in images.items()}
        return self._edit(tasks.animate(self.codec, stills, frames, fps), prompt, **how)

    @recorded("SoraExtend", "video")
    def extend(
        self,
        video: Video,
        prompt: str,
        *,
        seconds: float = 1.0,
        direction: str = "forwards",
        fps: float | None = None,
        size: tuple[int, int] | None = None,
        hold: float | None = None,
        **how: Any,
    ) -> VideoResult:
        """More of a video: `seconds` after it, before it, or on both sides ("forwards", "backwards", "both").

        hold: how far what is made may be pulled back to what the shot has been like, as a part of its spread; 0 leaves
        it as it is. By default 0.3, of its broad colours, and 0.8, of all that stands still, where it is longer than a
        window and made in segments.
        """
        clip = self.read(video, fps, size)
        new = round(seconds * clip.fps)
        if direction == "forwards" and -(-new // self.codec.ratio) > self.codec.window - 1:
            return self._extend_far(clip, prompt, new, {} if hold is None else {"hold": hold}, **how)
        given = () if hold is None else (hold,)
        return self._edit(tasks.extend(self.codec, clip.frames, new, direction, clip.fps, *given), prompt, **how)

    @recorded("SoraInfill", "video")
    def infill(
        self,
        video: Video,
        prompt: str,
        *,
        hidden: Sequence[int] | None = None,
        region: Tensor | None = None,
        fps: float | None = None,
        size: tuple[int, int] | None = None,
        **how: Any,
    ) -> VideoResult:
        """Frames (their numbers, `range(5, 13)`) or a painted region (`[T,H,W]` or `[1,H,W]`) made anew."""
        clip = self.read(video, fps, size)
        return self._edit(tasks.infill(self.codec, clip.frames, hidden, region, clip.fps), prompt, **self._between(how))

    @recorded("SoraConnect", "first", "second")
    def connect(
        self,
        first: Video,
        second: Video,
        prompt: str,
        *,
        seconds: float = 1.0,
        fps: float | None = None,
        size: tuple[int, int] | None = None,
        **how: Any,
    ) -> VideoResult:
        """Two videos in one, with `seconds` between them. The second takes the first one's rate and size."""
        a = self.read(first, fps, size)
        b = self.read(second, a.fps, (a.frames.shape[2], a.frames.shape[1]))
        new = round(seconds * a.fps)
        return self._edit(tasks.connect(self.codec, a.frames, b.frames, new, a.fps), prompt, **self._between(how))

    @recorded("SoraLoop", "video")
    def loop(
        self,
        video: Video,
        prompt: str,
        *,
        seconds: float = 1.0,
        fps: float | None = None,
        size: tuple[int, int] | None = None,
        **how: Any,
    ) -> VideoResult:
        """The video and `seconds` that lead from its end back to its start: it plays round and round."""
        clip = self.read(video, fps, size)
        latent = tasks.loop(self.codec, clip.frames, round(seconds * clip.fps), clip.fps)
        return self._edit(latent, prompt, **self._between(how))

    @recorded("SoraRemix", "video")
    def remix(
        self,
        video: Video,
        prompt: str,
        *,
        strength: float = 0.6,
        fps: float | None = None,
        size: tuple[int, int] | None = None,
        **how: Any,
    ) -> VideoResult:
        """The video restyled after the prompt: strength 0 leaves it, 1 makes it new (SDEdit)."""
        expect(0 <= strength <= 1, f"strength is {strength}: use 0 (as it is) to 1 (all new).")
        clip = self.read(video, fps, size)
        return self._edit(tasks.remix(self.codec, clip.frames, clip.fps), prompt, denoise=strength, **how)

    @recorded(None)
    def storyboard(
        self,
        shots: str | Sequence[Shot | tuple[str, float]],
        *,
        fps: float | None = None,
        width: int | None = None,
        height: int | None = None,
        **how: Any,
    ) -> VideoResult:
        """Two to eight shots in one video: lines of "2s: a cat on a beach", or (prompt, seconds) pairs."""
        from .pipeline import check_size

        shots = _shots(shots)
        fps = fps or self.info.get("fps", 8)
        width, height = width or self.info.get("width", 128), height or self.info.get("height", 128)
        check_size(width, height, self._multiple)
        counts = plan_shots(shots, fps, self.codec.ratio)
        positive = shots_conditioning(self._contexts(shots), counts)
        ratio = self.vae.config.spatial_ratio
        empty = torch.zeros(1, self.vae.config.latent_channels, sum(counts), height // ratio, width // ratio)
        return self._edit({"samples": empty}, positive, fps=fps, **how)

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
        seed: int = 0,
        metadata: dict[str, str] | None = None,
        keep_segments: bool = False,
        **how: Any,
    ) -> Path:
        """A minute and more, streamed to the mp4 `path`; the same call goes on with a render that was stopped.

        prompt: one, or a storyboard (whose seconds add up, unless `seconds` is given). video: to go on from.
        """
        from ..provenance import plan
        from .pipeline import check_size

        shots = _shots(prompt, MAX_LONG_SHOTS) if not isinstance(prompt, str) or "\n" in prompt.strip() else None
        shots = shots or [Shot(prompt, seconds or 10.0)]
        seconds = seconds or sum(shot.seconds for shot in shots)
        codec, rolling = self.codec, rolling or rolling_for(self.codec.window)
        clip = None
        if video is not None:
            clip = self.read(video, fps, (width, height) if width and height else None)
            fps, (height, width) = clip.fps, clip.frames.shape[1:3]
        fps = fps or self.info.get("fps", 8)
        check_long(seconds, fps)
        width, height = width or self.info.get("width", 128), height or self.info.get("height", 128)
        check_size(width, height, self._multiple)
        source = None if clip is None else make_source(codec, clip.frames, rolling)
        story = LongVideo(shots, self._contexts(shots), seconds, fps, codec.ratio, source)
        roller, settings = self._roller(story, (height, width), rolling, seed, **how)
        given = None if video is None else "SoraLongVideo"
        saving = plan(of_call(self.bundle, given, [video], "\n".join(shot.prompt for shot in shots)))
        return render(
            path,
            roller,
            story.total,
            self.decode_pieces,
            fps,
            settings=settings,
            source=source,
            progress=progress,
            metadata=metadata,
            audio=None if clip is None else clip.audio,
            keep_segments=keep_segments,
            saving=saving,
        )

    # -- insides ---------------------------------------------------------------------------------------------
    def habits(
        self, steps: int | None = None, cfg: float | None = None, sampler: str | None = None
    ) -> tuple[int, float, str]:
        """Steps, guidance and sampler as given, or the model's own: what its file says, or a few-step LoRA's."""
        given = {"steps": steps, "cfg": cfg, "sampler": sampler}
        own = {key: self.info.get(key, usual) for key, usual in USUAL.items()}
        return tuple(own[key] if given[key] is None else given[key] for key in USUAL)

    def _between(self, how: dict[str, Any]) -> dict[str, Any]:
        """The settings of an edit between kept frames."""
        return how if how.get("cfg") is not None else {**how, "cfg": min(BETWEEN, self.habits()[1])}

    def _contexts(self, shots: Sequence[Shot]) -> list[Tensor]:
        with torch.no_grad():
            return encode_shots(lambda prompt: self.text.encode([prompt]), shots)

    def _edit(
        self,
        latent: dict,
        prompt: str | list,
        *,
        negative: str = "",
        seed: int = 0,
        steps: int | None = None,
        sampler: str | None = None,
        scheduler: str = "simple",
        cfg: float | None = None,
        denoise: float = 1.0,
        options: dict | None = None,
        progress: Callable[[int, int], None] | None = None,
        fps: float | None = None,
    ) -> VideoResult:
        """Sample a task's LATENT, decode it, and put the user's pixels back."""
        from .pipeline import VideoResult

        steps, cfg, sampler = self.habits(steps, cfg, sampler)
        if isinstance(prompt, str):
            expect(bool(prompt.strip()), "The prompt is empty: say what the video should show.")
            with torch.no_grad():
                prompt = self.text.encode([prompt])
        sigmas = get_sigmas(scheduler, steps, shift=self.model.shift, denoise=denoise)

        def report(state: dict) -> None:
            if progress is not None:
                progress(state["i"] + 1, len(sigmas) - 1)

        with torch.no_grad():
            made = sample(
                self.model,
                latent,
                prompt,
                self.text.encode([negative]),
                seed=seed,
                sampler=sampler,
                sigmas=sigmas,
                cfg=cfg,
                options=options,
                callback=report,
            )
            decoded = torch.cat([self.decode(part) for part in made["samples"].split(1)])
        splice = made.get(tasks.SPLICE)
        return VideoResult(tasks.finish(made, decoded), fps or splice.fps, made["samples"], seed)

    def _roller(
        self,
        story: LongVideo,
        size: tuple[int, int],
        rolling: Rolling,
        seed: int,
        *,
        negative: str = "",
        steps: int | None = None,
        sampler: str | None = None,
        scheduler: str = "simple",
        cfg: float | None = None,
        options: dict | None = None,
    ) -> tuple[Roller, dict]:
        """What makes a long video's segments, and what it depends on."""
        steps, cfg, sampler = self.habits(steps, cfg, sampler)
        with torch.no_grad():
            unconditional = self.text.encode([negative])
        sigmas = get_sigmas(scheduler, steps, shift=self.model.shift)

        def run(latent: dict, positive: list, part: Tensor, noise_seed: int) -> Tensor:
            return sample(
                self.model,
                latent,
                positive,
                unconditional,
                seed=noise_seed,
                sampler=sampler,
                sigmas=part,
                cfg=cfg,
                options=options,
            )["samples"]

        ratio = self.vae.config.spatial_ratio
        shape = (self.vae.config.latent_channels, size[0] // ratio, size[1] // ratio)
        settings = {
            "model": self.info.get("name"),
            "file": self.info.get("file"),
            "contexts": story.contexts,
            "counts": story.counts,
            "negative": negative,
            "sampler": sampler,
            "cfg": cfg,
            "options": options or {},
        }
        return story.roller(run, sigmas, shape, seed, rolling), settings

    def _extend_far(
        self,
        clip: Clip,
        prompt: str,
        new: int,
        changes: dict,
        *,
        seed: int = 0,
        rolling: Rolling | None = None,
        progress: Callable[[int, int], None] | None = None,
        **how: Any,
    ) -> VideoResult:
        """Extension by more than a window, in segments. `progress` then counts those. changes: of `Rolling`."""
        from ..tasks.long.render import _after_source
        from .pipeline import VideoResult

        expect(bool(prompt.strip()), "The prompt is empty: say what the video should show.")
        rolling = rolling or rolling_for(self.codec.window, **changes)
        source, shots = make_source(self.codec, clip.frames, rolling), [Shot(prompt, new / clip.fps)]
        given = source.final.shape[2]
        story = LongVideo(shots, self._contexts(shots), new / clip.fps, clip.fps, self.codec.ratio, source)
        roller, _ = self._roller(story, clip.frames.shape[1:3], rolling, seed, **how)
        total = story.total
        segments: list[Segment] = [roller.start(source.final, source.context, source.reference)]
        with torch.no_grad():
            for segment in roll(roller, total, segments[0]):
                segments.append(segment)
                if progress is not None:
                    progress(segment.made - given, total - given)
            latent = join(segments, total)
            frames = torch.cat(list(_after_source(self.decode_pieces([latent]), source)))
        return VideoResult(frames, clip.fps, latent, seed)

    @torch.no_grad()
    def decode_pieces(self, pieces: Iterable[Tensor]) -> Iterator[Tensor]:
        """Latents in pieces `[1,C,n,h,w]` -> frames in pieces `[t,H,W,3]`, as one stream."""
        first = next(self.vae.parameters())
        pieces = (part.to(first.device, first.dtype) for whole in pieces for part in whole.split(4, 2))
        for video in decode_stream(self.vae, pieces):
            yield video[0]


def _shots(shots: str | Sequence[Shot | tuple[str, float]], most: int = 8) -> list[Shot]:
    if not isinstance(shots, str):
        listed = [s if isinstance(s, Shot) else Shot(*s) for s in shots]
        shots = "\n".join(f"{s.seconds:.6f}: {' '.join(s.prompt.split())}" for s in listed)
    return parse_storyboard(shots, most=most)
