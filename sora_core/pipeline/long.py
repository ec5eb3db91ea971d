"""Videos of a minute and more over any engine: what the node Sora Long Video, `long_video` and a far `extend` do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..errors import expect
from ..language.wording import AUTO
from ..media.clips import Clip
from ..media.origin import digests_of, passed_on
from ..media.sizes import check_pixels, check_side
from ..media.sound import join_audio
from ..safety import gate
from ..tasks.families import Encoder, ModelKind, family_of, notes_of
from ..tasks.layout import check_even
from ..tasks.long.finished import usual_folder
from ..tasks.long.render import Job, Progress, in_memory, render
from ..tasks.long.rolling import Rolling, SampleFn
from ..tasks.long.source import make_source
from ..tasks.long.story import LongVideo, check_long
from ..tasks.storyboard import Shot
from .conditioning import condition, encode_vision, encoder, trim
from .editing import codec_of, encode_shots, latent_of
from .engine import EMPTY_PROMPT, Conditioning, Engine, Latent, Loaded
from .make import Sampling, encode_negative
from .progress import Steps
from .progress import part as part_of_work
from .result import VideoResult
from .wording import notes_of as notes_of_words

if TYPE_CHECKING:
    from ..provenance import Saving


@dataclass(frozen=True)
class LongPlan:
    """A long video over an engine, ready to be made."""

    engine: Engine
    vae: Any
    job: Job
    width: int  # pixels
    height: int  # pixels
    parts: _Parts
    notes: list[str]  # what a person should know; a render adds what it kept of an earlier one
    read_as: tuple[str, ...] = ()  # what the model reads, where that is not what was written

    def decode(self, pieces: Iterable[Tensor]) -> Iterator[Tensor]:
        """Decode latents in pieces to frames in pieces, as one stream."""
        return self.engine.decode_pieces(self.vae, pieces)

    @torch.no_grad()
    def render(
        self,
        path: str | Path,
        saving: Saving | None = None,
        *,
        folder: Callable[[str], Path] | None = None,
        progress: Callable[[Progress], None] | None = None,
        metadata: dict[str, str] | None = None,
        keep_segments: bool = False,
        reuse: bool = True,
    ) -> Path:
        """Write the video as the mp4 `path`, or go on with a render that was stopped; see `tasks.long.render`.

        reuse: shots that an earlier render has are kept from it.
        """

        def report(done: Progress) -> None:
            self.parts.count = max(1, done.segments)
            self.parts.index = min(done.segment, done.segments - 1)
            if progress is not None:
                progress(done)

        return render(
            path,
            self.job,
            self.decode,
            folder=folder,
            progress=report,
            metadata=metadata,
            keep_segments=keep_segments,
            saving=saving,
            finished=usual_folder() if reuse else None,
            note=self.notes.append,
            ahead=self.engine.apart,
        )

    @torch.no_grad()
    def in_memory(self, steps: Steps | None = None) -> tuple[Tensor, Tensor]:
        """Make the video without a file: its frames `[T,H,W,3]`, not yet judged, and latent. steps: counts latents."""
        return in_memory(self.job, self.decode, steps)


@dataclass
class _Parts:
    """Which segment is being made, for the progress of a node."""

    index: int = 0
    count: int = 1


@torch.no_grad()
def plan_long(
    engine: Engine,
    loaded: Loaded,
    shots: Sequence[Shot],
    how: Sampling,
    *,
    fps: float,
    width: int,
    height: int,
    seconds: float = 0.0,
    negative: str = "",
    rolling: Rolling | None = None,
    clip: Clip | None = None,
    vision: Any = None,
    picture: Tensor | None = None,
    expand: str = AUTO,
) -> LongPlan:
    """Plan a long video.

    seconds: of what is made, 0 for as long as the shots last. clip: a video to go on from, whose size counts then.
    vision: a CLIP_VISION that sees its last frame, for a model that wants that. picture: a reference `[1,H,W,3]`.
    expand: when prompts are told in the model's own words, see `language.wording.worded`.

    Raises SoraError for a model that cannot keep parts of a video, and for sizes, durations and rates out of range.
    """
    rolling = rolling or Rolling()
    loaded = replace(loaded, model=how.patched(engine, loaded.model))
    space = engine.latent_space(model=loaded.model)
    expect(space.masks != "none", f"{space.name} cannot keep parts of a video, which long videos need.")
    codec, source = codec_of(engine, loaded.vae, rolling.window), None
    check_even(codec, "a long video in segments")
    height, width = clip.frames.shape[1:3] if clip is not None else (height, width)
    for name, side in (("width", width), ("height", height)):
        check_side(name, side, space.multiple)
    seconds = seconds or sum(shot.seconds for shot in shots)
    check_long(seconds, fps)
    if clip is not None:
        source = make_source(codec, clip.frames, rolling, latent_of(codec, clip))
    encoded = encode_shots(engine, loaded.clip, shots, expand)
    denied = encode_negative(engine, loaded.clip, negative, _against(shots), how.cfg, expand)
    sigmas = engine.make_sigmas(loaded.model, how.scheduler, how.steps, how.denoise, how.sampler)
    shape = (space.channels, *space.cells(height, width))
    story = LongVideo(shots, encoded.each, seconds, fps, codec.ratio, source, _joining(engine, loaded, shape))
    parts, kind = _Parts(), engine.model_kind(loaded.model)
    seen = None if clip is None or vision is None else encode_vision(engine, kind, vision, [clip.frames[-1]])
    given = _Given(encoder(engine, loaded.vae), picture, seen)
    sample = _sampler_of(engine, loaded, denied.conditioning if how.cfg != 1.0 else None, how, parts, given)
    model = engine.fingerprint(loaded.model)
    settings = {"model": model, "contexts": encoded.contexts, "counts": story.counts, "negative": negative}
    settings |= _named(how) | given.named()
    roller = story.roller(sample, sigmas, shape, how.seed, rolling)
    spans, locked = story.spans(), story.locked()
    # Named only where it is used, so that renders of before can go on.
    settings |= {"locked": list(locked)} if locked else {}
    job = Job(roller, story.total, fps, settings, source, None if clip is None else clip.audio, spans, locked)
    parts.count = job.segments
    made = f"{story.total} latents in segments, {seconds:g} s made."
    notes = [*(clip.notes if clip else ()), made, *encoded.notes, *notes_of_words(denied), *given.notes(kind)]
    notes += ["clip_vision: there is no video whose end it could see."] if vision is not None and clip is None else []
    return LongPlan(engine, loaded.vae, job, width, height, parts, notes, encoded.read_as)


def _against(shots: Sequence[Shot]) -> str:
    """Write the prompts that a negative one is said against."""
    return "\n".join(shot.prompt for shot in shots)


def _joining(
    engine: Engine, loaded: Loaded, shape: tuple[int, int, int]
) -> Callable[[Sequence[Conditioning], Sequence[int]], Conditioning]:
    """Bind what makes one CONDITIONING of the prompts that a window shows. shape: `(C, h, w)` of a latent."""

    def join(prompts: Sequence[Conditioning], latents: Sequence[int]) -> Conditioning:
        window = (1, shape[0], sum(latents), *shape[1:])
        return engine.join_shots(prompts, latents, window, loaded.model, loaded.clip)

    return join


@dataclass(frozen=True)
class _Given:
    """What the conditions of all segments are made with, see `conditioning.condition`."""

    encode: Encoder
    picture: Tensor | None = None  # [1,H,W,3]: a reference
    seen: Any = None  # CLIP_VISION_OUTPUT of the clip that a video goes on from

    def named(self) -> dict[str, Any]:
        """Name what decides a render, where it is used, so that renders of before can go on."""
        used = {"picture": self.picture, "vision": None if self.seen is None else True}
        return {name: value for name, value in used.items() if value is not None}

    def notes(self, kind: ModelKind) -> tuple[str, ...]:
        """Say what a model sees of what is kept of the segment before."""
        return notes_of(family_of(kind), kind.space.name, True)


def _sampler_of(
    engine: Engine, loaded: Loaded, negative: Conditioning | None, how: Sampling, parts: _Parts, given: _Given
) -> SampleFn:
    """Bind what all segments are sampled with. Their latents are handed on to the model as they are."""
    sampler = engine.make_sampler(how.sampler, how.options)

    def sample(latent: Latent, positive: Conditioning, sigmas: Tensor, seed: int) -> Tensor:
        told = condition(
            engine,
            loaded.model,
            positive,
            negative,
            latent,
            encode=given.encode,
            picture=given.picture,
            seen=given.seen,
        )
        with part_of_work(parts.index, parts.count):
            made = engine.sample(
                loaded.model,
                told.latent,
                told.positive,
                told.negative,
                sampler=sampler,
                sigmas=sigmas,
                seed=seed,
                cfg=how.cfg,
                interval=how.interval,
            )
        return trim(made)["samples"]

    return sample


def _named(how: Sampling) -> dict[str, Any]:
    """Name the settings that decide a render and are not in its roller."""
    named = {"cfg": how.cfg, "sampler": how.sampler, "options": dict(how.options)}
    # Named only where it is used, so that renders of before can go on.
    return named if how.interval == (0.0, 1.0) else {**named, "interval": list(how.interval)}


def extend_in_segments(
    engine: Engine,
    loaded: Loaded,
    clip: Clip,
    prompt: str,
    seconds: float,
    rolling: Rolling,
    how: Sampling,
    *,
    negative: str = "",
    steps: Steps | None = None,
    expand: str = AUTO,
) -> VideoResult:
    """Extend a clip by more than a window, in memory. steps: counts latents. Raises SoraError as `plan_long` does."""
    expect(bool(prompt.strip()), EMPTY_PROMPT)
    length, height, width = clip.frames.shape[:3]
    check_pixels(length + round(seconds * clip.fps), width, height)
    shots = [Shot(prompt, seconds)]
    plan = plan_long(
        engine,
        loaded,
        shots,
        how,
        fps=clip.fps,
        width=width,
        height=height,
        negative=negative,
        rolling=rolling,
        clip=clip,
        expand=expand,
    )
    decoded, latent = plan.in_memory(steps)
    frames = passed_on(gate.check_frames(decoded), digests_of(decoded))
    audio = join_audio([(clip.audio, length / clip.fps), (None, (len(frames) - length) / clip.fps)])
    return VideoResult(
        frames,
        clip.fps,
        latent,
        how.seed,
        audio=audio,
        notes=list(plan.notes),
        faithful=torch.equal(frames, decoded),
        read_as=plan.read_as,
    )
