"""Every edit as a LATENT for any sampler: what the edit nodes give out, and what Python goes on to sample.

Each function takes the user's clips as `sources.take_clip` gives them and a VAE, encodes what is kept, and returns an
`Edit`. The tasks themselves, as latents and masks, are in `sora_core.tasks`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from .. import tasks
from ..errors import expect
from ..language.wording import AUTO
from ..media.clips import Clip
from ..media.frames import fit_frames
from ..media.origin import NONE, Digests, digests_of
from ..media.sizes import check_pixels, check_seconds, check_side, nearest_length, rounded_length
from ..media.sound import join_audio
from ..safety import gate
from ..tasks.edits import HOLD
from ..tasks.layout import TRAINED_LATENTS, VAECodec
from ..tasks.shots import KEEP
from ..tasks.storyboard import Shot, plan_shots
from .conditioning import VAE
from .engine import Conditioning, Engine, Latent
from .make import empty_latent
from .sources import Picture, Size, open_still
from .wording import encode_worded, notes_of

Audio = dict[str, Any]


@dataclass(frozen=True)
class Edit:
    """What an edit is: a LATENT with what is kept, and what belongs to the finished video."""

    latent: Latent
    fps: float
    audio: Audio | None = None  # the sound of what is kept, silence elsewhere; None where there is none
    notes: tuple[str, ...] = ()  # what was changed on the way in

    def described(self) -> str:
        """Say what the edit keeps and makes, and what was changed on the way in."""
        splice = self.latent[tasks.SPLICE]
        total = splice.frames.shape[0]
        keep = splice.keep
        kept = int(keep.flatten(1).all(1).sum()) if keep.ndim == 3 else int(keep.sum())
        height, width = splice.frames.shape[1:3]
        text = f"{total} frames of {width}x{height} at {splice.fps:g} fps, {kept} of them yours untouched."
        return "\n".join([text, *self.notes])


def codec_of(engine: Engine, vae: Any, window: int = TRAINED_LATENTS) -> VAECodec:
    """Wrap a VAE as the tasks use it. window: latents that the model makes well at once.

    Raises SoraError for a VAE that has no latent for a single frame.
    """
    space = engine.latent_space(vae=vae)
    expect(space.causal, f"vae: {space.name} has no latent for a single frame. Use the VAE of sora-mini or of Wan.")
    return VAECodec(lambda images: engine.encode(vae, images)["samples"], space, window)


def _edit(
    codec: VAECodec,
    vae: Any,
    latent: Latent,
    fps: float,
    audio: Audio | None,
    own: Digests,
    notes: tuple[str, ...] = (),
) -> Edit:
    """Make an `Edit`. own: of the frames that are a user's, among those that went in.

    Its LATENT knows its VAE: some models have to be told of the kept frames themselves.
    """
    splice = replace(latent[tasks.SPLICE], own=own)
    return Edit({**codec.space.mark(latent), tasks.SPLICE: splice, VAE: vae}, fps, audio, notes)


def animate(
    engine: Engine,
    vae: Any,
    images: Mapping[int, Picture],
    *,
    seconds: float = 2.0,
    frames: int | None = None,
    fps: float = 8.0,
    size: Size | None = None,
    window: int = TRAINED_LATENTS,
) -> Edit:
    """Make pictures frames of a video: {frame: picture}, 0 is the first, -1 the last.

    The first picture decides the size where none is given. frames: 1 + ratio * k, see `LatentSpace.lengths`, in
    place of seconds. Raises SoraError where the video does not fit into memory.
    """
    codec = codec_of(engine, vae, window)
    notes: list[str] = []
    if frames is None:
        first, step = codec.space.lengths
        frames = max(first if first > 1 else first + step, nearest_length(seconds * fps, step, first))
        notes += rounded_length(seconds * fps, frames, fps, step, first)
    multiple = engine.latent_space(vae=vae).multiple
    stills: dict[int, Tensor] = {}
    own = NONE
    for index, picture in images.items():
        given = open_still(picture)
        fitted = fit_frames(given, size, multiple)
        own, still = own | digests_of(fitted), fitted[0]
        if still.shape[:2] != given.shape[1:3]:
            notes.append(f"The picture at frame {index}: {_size(given[0])} to {_size(still)}.")
        size = size or (still.shape[1], still.shape[0])
        check_pixels(frames, *size)
        stills[index] = still
    return _edit(codec, vae, tasks.animate(codec, stills, frames, fps), fps, None, own, tuple(notes))


def extend(
    engine: Engine,
    vae: Any,
    clip: Clip,
    seconds: float,
    direction: str = "forwards",
    *,
    hold: float = HOLD,
    window: int = TRAINED_LATENTS,
) -> Edit:
    """Add `seconds` after a clip, before it, or on both sides ("forwards", "backwards", "both").

    hold: how far the broad colours of what is made may be pulled back to the shot's own.
    """
    codec = codec_of(engine, vae, window)
    new = _new(seconds, clip, sides=2 if direction == "both" else 1)
    latent = tasks.extend(codec, clip.frames, new, direction, clip.fps, hold, latent_of(codec, clip))
    splice, notes = latent[tasks.SPLICE], clip.notes
    if direction == "forwards" and not codec.fits(new):
        notes += (f"That is more than {window} latents at once: Sora Long Video makes it in segments.",)
    lead = int(splice.keep.nonzero()[0])
    rest = splice.frames.shape[0] - lead - clip.frames.shape[0]
    parts = [(None, lead), (clip.audio, clip.frames.shape[0]), (None, rest)]
    audio = join_audio([(sound, count / clip.fps) for sound, count in parts])
    return _edit(codec, vae, latent, clip.fps, audio, digests_of(clip.frames), notes)


def infill(
    engine: Engine,
    vae: Any,
    clip: Clip,
    hidden: Sequence[int] | None = None,
    region: Tensor | None = None,
    *,
    window: int = TRAINED_LATENTS,
) -> Edit:
    """Make frames anew (their numbers from 0), or a painted region (`[T,H,W]` or `[1,H,W]`, above 0.5).

    A region of another size than the clip is scaled and cut as a video of that size would be.
    """
    codec, notes = codec_of(engine, vae, window), clip.notes
    if region is not None and region.ndim in (2, 3) and region.shape[-2:] != clip.frames.shape[1:3]:
        (height, width), (high, wide) = region.shape[-2:], clip.frames.shape[1:3]
        notes += (f"The mask is {width}x{height}, the video {wide}x{high}: the mask was scaled along.",)
        painted = region.reshape(-1, height, width, 1).float()
        region = fit_frames(painted, (wide, high), 1)[..., 0]
    latent = tasks.infill(codec, clip.frames, hidden, region, clip.fps)
    return _edit(codec, vae, latent, clip.fps, clip.audio, digests_of(clip.frames), notes)


def connect(
    engine: Engine, vae: Any, first: Clip, second: Clip, seconds: float, *, window: int = TRAINED_LATENTS
) -> Edit:
    """Make `seconds` that lead from the end of one clip to the start of another of the same rate and size."""
    codec = codec_of(engine, vae, window)
    latent = tasks.connect(codec, first.frames, second.frames, _new(seconds, first, second.frames.shape[0]), first.fps)
    gap = int((~latent[tasks.SPLICE].keep).sum())
    parts = [(first.audio, first.frames.shape[0]), (None, gap), (second.audio, second.frames.shape[0])]
    audio = join_audio([(sound, count / first.fps) for sound, count in parts])
    own = digests_of(first.frames) | digests_of(second.frames)
    return _edit(codec, vae, latent, first.fps, audio, own, first.notes + second.notes)


def loop(engine: Engine, vae: Any, clip: Clip, seconds: float, *, window: int = TRAINED_LATENTS) -> Edit:
    """Make `seconds` that lead from the end of a clip back to its start."""
    codec = codec_of(engine, vae, window)
    latent, own = tasks.loop(codec, clip.frames, _new(seconds, clip), clip.fps), digests_of(clip.frames)
    return _edit(codec, vae, latent, clip.fps, clip.audio, own, clip.notes)


def remix(engine: Engine, vae: Any, clip: Clip) -> Edit:
    """Encode a clip to be restyled: sampled with a denoise below 1 (SDEdit)."""
    codec = codec_of(engine, vae)
    # Nothing of it is kept, so none of its frames can come back.
    return _edit(codec, vae, tasks.remix(codec, clip.frames, clip.fps), clip.fps, clip.audio, NONE, clip.notes)


def latent_of(codec: VAECodec, clip: Clip) -> Tensor | None:
    """Return the latents that a clip was decoded from, where it has some that stand for its frames one for one."""
    latent, (length, height, width) = clip.latent, clip.frames.shape[:3]
    if latent is None or latent.ndim != 5 or latent.shape[:2] != (1, codec.space.channels):
        return None
    fits = codec.space.cells(height, width) == latent.shape[3:] and codec.space.video_frames(latent.shape[2]) == length
    return latent if fits else None


def _size(picture: Tensor) -> str:
    """Name the size of `[H,W,C]`."""
    return f"{picture.shape[1]}x{picture.shape[0]}"


def _new(seconds: float, clip: Clip, others: int = 0, sides: int = 1) -> int:
    """Count the frames of `seconds` at the clip's rate, at least one.

    others: frames of what the finished video holds besides; sides: how often the new ones are made. Raises SoraError
    for what is no duration, and where the finished video does not fit into memory.
    """
    check_seconds(seconds)
    new = round(seconds * clip.fps) or 1
    length, height, width = clip.frames.shape[:3]
    check_pixels(length + others + sides * new, width, height)
    return new


# -- shots ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Encoded:
    """The prompts of shots, encoded."""

    each: list[Conditioning]  # of each shot, with all options of its own
    notes: tuple[str, ...] = ()  # what was made of the prompts, and which words the model does not know
    read_as: tuple[str, ...] = ()  # what the model reads, where that is not what was written

    @property
    def contexts(self) -> list[Tensor]:
        """List the shots' contexts, `[1,L,D]`."""
        return [prompt[0][0] for prompt in self.each]


@dataclass(frozen=True)
class Story:
    """Several shots in one video: its conditioning and its empty latent."""

    positive: Conditioning
    latent: Latent
    notes: tuple[str, ...]  # which frames each shot has, and its prompt; then what was made of the prompts
    read_as: tuple[str, ...] = ()  # what the model reads, where that is not what was written


def encode_shots(engine: Engine, clip: Any, shots: Sequence[Shot], expand: str = AUTO) -> Encoded:
    """Encode the shots' prompts; one that occurs twice is encoded once.

    Raises SoraError for a prompt that is too long, or that the policy forbids, and for what it forbids of the shots
    read as one text: a sentence may be spread over them.
    """
    if len(shots) > 1:
        gate.check_text(" ".join(shot.prompt for shot in shots))
    listed = dict.fromkeys(shot.prompt for shot in shots)
    made = {prompt: encode_worded(engine, clip, prompt, expand) for prompt in listed}
    read_as = tuple(text for each in made.values() for text in each.read_as)
    if len(made) > 1 and read_as:
        gate.check_text(" ".join(made[shot.prompt].wording.prompt for shot in shots))
    return Encoded([made[shot.prompt].conditioning for shot in shots], notes_of(*made.values()), read_as)


def storyboard(
    engine: Engine,
    clip: Any,
    shots: Sequence[Shot],
    *,
    fps: float,
    width: int,
    height: int,
    model: Any = None,
    expand: str = AUTO,
) -> Story:
    """Plan shots in one video. model: of another family than sora-mini, whose form the conditioning then has.

    expand: when prompts are told in the model's own words, see `language.wording.worded`.

    Raises SoraError for sizes out of range, and where the video does not fit into memory.
    """
    space = engine.latent_space(model=model)
    expect(not space.pattern, f"{space.name} makes one shot at a time. Use Sora Text Encode, or another model.")
    for name, side in (("width", width), ("height", height)):
        check_side(name, side, space.multiple)
    counts = plan_shots(shots, fps, space.temporal_ratio)
    latent = empty_latent(space, space.video_frames(sum(counts)), width, height)
    if kept := tuple(number for number, shot in enumerate(shots) if shot.keep):
        latent[KEEP] = kept
    encoded = encode_shots(engine, clip, shots, expand)
    lines, done = [], 0
    for number, (shot, count) in enumerate(zip(shots, counts, strict=True), 1):
        first, last = space.video_frames(done) if done else 0, space.video_frames(done + count) - 1
        lines.append(f"shot {number}: frames {first} to {last}, {shot.prompt}")
        done += count
    positive = engine.join_shots(encoded.each, counts, latent["samples"].shape, model, clip)
    if len(positive) > 1:  # one condition a shot, see `tasks.shots`
        lines.append(f"The model reads one prompt at a time: each step runs it {len(positive)} times, once a shot.")
    return Story(positive, latent, (*lines, *encoded.notes), encoded.read_as)
