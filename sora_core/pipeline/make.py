"""From prompts and a LATENT to a finished video, over any engine: text, noise levels, sampling, decoding, finishing.

The nodes call these functions one by one, Python calls `make_video`, which calls them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict, overload

import torch
from torch import Tensor

from ..diffusion.caches import check_caching
from ..diffusion.guidance import check_guidance
from ..diffusion.sampling import check_seed
from ..errors import expect
from ..language.wording import AUTO
from ..latents.patches import Patches, map_latents
from ..latents.space import LatentSpace
from ..latents.streams import is_nested
from ..media.origin import digests_of, passed_on
from ..media.sizes import check_pixels
from ..safety import gate
from ..tasks.finish.splice import SPLICE, finish
from . import progress
from .conditioning import condition, trim
from .engine import EMPTY_PROMPT, Conditioning, Engine, Latent, Loaded
from .result import VideoResult
from .reuse import sample_shots
from .wording import Encoded, encode_worded, notes_of


@dataclass(frozen=True)
class Sampling:
    """How a LATENT is sampled."""

    seed: int = 0
    steps: int = 25
    cfg: float = 4.0  # guidance; 1 is none
    sampler: str = "euler"
    scheduler: str = "simple"
    denoise: float = 1.0  # fraction of the schedule that is run, counted from its end
    interval: tuple[float, float] = (0.0, 1.0)  # the part of the run in which guidance is on
    options: Mapping[str, Any] = field(default_factory=dict)  # the sampler's own
    # Tolerances by which model calls, and those of the negative prompt, are left out, see `diffusion.caches`; 0 is off
    cache: float = 0.0
    gate: float = 0.0

    def patched(self, engine: Engine, model: Any) -> Any:
        """Return the MODEL with the caches of these settings; with those that it has where there are none."""
        return engine.with_caching(model, self.cache, self.gate) if self.cache or self.gate else model


class SamplingSettings(TypedDict, total=False):
    """The settings that every call of a `Pipeline` takes by name."""

    negative: str  # a prompt of what not to show
    expand: str | None  # when the prompt is told in the model's own words: "auto" (None: the same), "always", "never"
    seed: int
    steps: int | None  # None: the model's own
    sampler: str | None  # None: the model's own
    scheduler: str
    cfg: float | None  # guidance, 1 is none; None: the model's own
    interval: tuple[float, float]  # the part of the run, 0..1, in which guidance is on
    options: Mapping[str, Any] | None  # the sampler's own
    cache: float  # how much may be lost to save model calls, 0 (nothing) to 1, see `diffusion.caches.StepCache`
    gate: float  # the same of calls for the negative prompt, see `diffusion.caches.GuidanceGate`


class CallSettings(SamplingSettings, total=False):
    """Those, and who listens."""

    progress: progress.Steps | None  # called after every step as `progress(step, steps)`; what it raises stops the run


def empty_latent(space: LatentSpace, frames: int, width: int, height: int, batch: int = 1) -> Latent:
    """Make the empty LATENT of `batch` videos of `frames` frames, which are decoded all at once.

    Raises SoraError, before any work starts, where their frames do not fit into memory.
    """
    check_pixels(frames * batch, width, height)
    return {"samples": space.empty(space.latent_frames(frames), height, width, batch)}


@dataclass(frozen=True)
class Prompts:
    """A prompt and what it is said against, encoded."""

    positive: Conditioning
    negative: Conditioning | None  # None where there is no guidance, which is what it steers
    notes: tuple[str, ...] = ()
    read_as: tuple[str, ...] = ()  # what the model reads, where that is not what was written


def encode_prompts(
    engine: Engine, clip: Any, prompt: str, negative: str = "", cfg: float = 4.0, expand: str = AUTO
) -> Prompts:
    """Encode a prompt and a negative one, and note what was made of them: see `language.wording.worded`.

    Raises SoraError for an empty prompt, and for texts that are too long or that the policy forbids. The policy judges
    the negative prompt as what the video will not show.
    """
    expect(bool(prompt.strip()), EMPTY_PROMPT)
    positive = encode_worded(engine, clip, prompt, expand)
    off = encode_negative(engine, clip, negative, prompt, cfg, expand)
    against = None if cfg == 1.0 else off.conditioning
    return Prompts(positive.conditioning, against, notes_of(positive, off), positive.read_as)


def encode_negative(engine: Engine, clip: Any, negative: str, prompt: str, cfg: float, expand: str = AUTO) -> Encoded:
    """Encode a negative prompt that is said against `prompt`.

    Without guidance (cfg 1) it is judged and read all the same: the same words are refused and told about, whatever
    the guidance.

    Guidance gives negative + cfg (positive - negative): below 1 it asks for the negative, so the policy then judges it
    as a prompt like any other.
    """
    told = frozenset({negative}) - {prompt} if cfg >= 1 else frozenset()
    with gate.telling(gate.Negatives(told, prompt)):
        return encode_worded(engine, clip, negative, expand, negative=True)


@overload
def sample_latent(
    engine: Engine,
    model: Any,
    latent: Latent,
    positive: Conditioning,
    negative: Conditioning | None,
    how: Sampling,
    *,
    sampler: Any = None,
    sigmas: Tensor | None = None,
    noise: Any = None,
    note: Callable[[str], None] | None = None,
    reuse: bool = False,
) -> Latent: ...
@overload
def sample_latent(
    engine: Engine,
    model: Any,
    latent: Patches,
    positive: Conditioning,
    negative: Conditioning | None,
    how: Sampling,
    *,
    sampler: Any = None,
    sigmas: Tensor | None = None,
    noise: Any = None,
    note: Callable[[str], None] | None = None,
    reuse: bool = False,
) -> Patches: ...
def sample_latent(
    engine: Engine,
    model: Any,
    latent: Latent | Patches,
    positive: Conditioning,
    negative: Conditioning | None,
    how: Sampling,
    *,
    sampler: Any = None,
    sigmas: Tensor | None = None,
    noise: Any = None,
    note: Callable[[str], None] | None = None,
    reuse: bool = False,
) -> Latent | Patches:
    """Sample a LATENT, or each clip of SORA_PATCHES; the same kind comes back.

    The model is told what the LATENT keeps, see `conditioning`, and has the caches that `how` asks for.

    sampler: a SAMPLER in place of the one that `how` names. sigmas: in place of its steps, scheduler and denoise.
    noise: a NOISE in place of its seed. note: called, before the first step, with what the user should know: what the
    model sees of what is kept, and which shots are. reuse: keep shots of a storyboard that an earlier call has made,
    see the module `reuse`.
    """
    run = engine.make_sampler(how.sampler, how.options) if sampler is None else sampler
    model = how.patched(engine, model)
    if sigmas is None:
        # KSampler gives some samplers a schedule of their own; one that is handed in runs on the scheduler's.
        name = how.sampler if sampler is None else None
        sigmas = engine.make_sigmas(model, how.scheduler, how.steps, how.denoise, name)

    def one(single: Latent) -> Latent:
        told = condition(engine, model, positive, negative, single)
        if note is not None:
            for text in told.notes:
                note(text)
        expect(
            not (isinstance(latent, Patches) and is_nested(told.latent["samples"])),
            "latent: this model makes sound along with the picture, which patches have no place for. Connect a LATENT.",
        )
        made = engine.sample(
            model,
            told.latent,
            told.positive,
            told.negative,
            sampler=run,
            sigmas=sigmas,
            seed=how.seed,
            cfg=how.cfg,
            interval=how.interval,
            noise=noise,
        )
        # A run that stops before its end is gone on with: all that was sampled along is still needed.
        return made if len(sigmas) and float(sigmas[-1]) > 0 else trim(made)

    if isinstance(latent, Patches):
        return map_latents(latent, one)
    if not reuse or noise is not None:  # a NOISE says nothing of what it is made of
        return one(latent)
    settings = [how.seed, how.cfg, how.interval, sigmas, run, negative]
    return sample_shots(one, engine, model, latent, positive, settings, note or (lambda text: None))


def check_sampling(engine: Engine, model: Any, how: Sampling) -> None:
    """Raise SoraError for settings that cannot be sampled with, before any work is done for them."""
    check_seed(how.seed)
    check_guidance(how.cfg, how.interval)
    check_caching(how.cache, how.gate)
    engine.make_sampler(how.sampler, how.options)
    engine.make_sigmas(model, how.scheduler, how.steps, how.denoise, how.sampler)


def decode_video(engine: Engine, vae: Any, latent: Latent) -> Tensor:
    """Decode a sampled LATENT and put the user's own pixels back; frames `[T,H,W,3]` float 0..1."""
    latent = trim(latent)
    return finish(latent, engine.decode(vae, latent))


@torch.no_grad()
def make_video(
    engine: Engine,
    loaded: Loaded,
    latent: Latent,
    prompts: Prompts,
    how: Sampling,
    *,
    fps: float,
    audio: dict[str, Any] | None = None,
    notes: tuple[str, ...] = (),
    steps: progress.Steps | None = None,
    reuse: bool = False,
) -> VideoResult:
    """Sample, decode and finish a LATENT, under the policy in force.

    steps: called as `steps(done, total)` after every step of the sampler; what it raises stops the run. notes: said
    before those of the prompts. reuse: keep shots that an earlier call has made, see `sample_latent`.
    """
    said = [*notes, *prompts.notes]
    with progress.listening(steps):
        made = sample_latent(
            engine, loaded.model, latent, prompts.positive, prompts.negative, how, note=said.append, reuse=reuse
        )
    decoded = decode_video(engine, loaded.vae, made)
    frames = passed_on(gate.check_frames(decoded), digests_of(decoded))
    # Of a loop, say, the latent shows the end before the start: it cannot be handed over as the video's.
    splice = latent.get(SPLICE)
    faithful = torch.equal(frames, decoded) and (splice is None or splice.whole)
    return VideoResult(
        frames, fps, made["samples"], how.seed, audio=audio, notes=said, faithful=faithful, read_as=prompts.read_as
    )
