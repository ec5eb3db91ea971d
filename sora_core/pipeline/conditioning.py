"""Tell a model of an edit where model, prompt and VAE meet: conditions for any sampler, from what a LATENT carries.

Sora Sampler, Sora Long Video and Python do it by themselves; the node Sora Condition does it for core's samplers. What
is told is derived in `sora_core.tasks.families`, one module a family of models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..errors import expect
from ..latents.space import ALONG, WHOLE, LatentSpace
from ..latents.streams import picture_of, with_picture
from ..media.frames import fit_frames
from ..tasks.families import Encoder, Known, ModelKind, Told, family_of, tell
from ..tasks.finish.splice import SPLICE, Splice
from ..tasks.layout import GIVEN
from .engine import Conditioning, Engine, Latent

VAE = "sora_vae"  # key of a LATENT: the VAE that an edit was made with


@dataclass(frozen=True)
class Conditioned:
    """What goes into a sampler in place of what came."""

    positive: Conditioning
    negative: Conditioning | None
    latent: Latent
    notes: tuple[str, ...] = ()


def with_options(
    conditioning: Conditioning,
    options: Mapping[str, Any],
    lists: Mapping[str, Sequence[Any]],
    defaults: Mapping[str, Any] | None = None,
) -> Conditioning:
    """Copy a CONDITIONING with options set in each of its conditions, and others put behind what is listed there.

    defaults: options for conditions that have none of that name.
    """
    made = []
    for context, given in conditioning:
        longer = {key: [*given.get(key, ()), *values] for key, values in lists.items()}
        made.append([context, {**(defaults or {}), **given, **options, **longer}])
    return made


def condition(
    engine: Engine,
    model: Any,
    positive: Conditioning,
    negative: Conditioning | None,
    latent: Latent,
    *,
    vae: Any = None,
    vision: Any = None,
    picture: Tensor | None = None,
    strength: float = 1.0,
    encode: Encoder | None = None,
    seen: Any = None,
) -> Conditioned:
    """Tell a model what a LATENT keeps, in its own language.

    vae: in place of the one that the edit was made with. vision: a CLIP_VISION that sees the first and last kept frame,
    where the model wants that. seen: a CLIP_VISION_OUTPUT in place of that. picture: a reference `[1,H,W,3]` float
    0..1, which is no frame. strength: of what is told, where the model has a dial for it. encode: of a VAE, for many
    calls of one shape.

    A LATENT that keeps nothing, and prompts that tell the model already, stay as they are. Raises SoraError for a
    picture or CLIP vision that the model cannot take, and for what does not fit.
    """
    kind = engine.model_kind(model)
    latent = engine.with_sound(model, latent)
    family, who = family_of(kind), kind.space.name
    if vision is not None:
        check_vision(kind)
    splice: Splice | None = latent.get(SPLICE)
    keeps = latent.get("noise_mask") is not None or (splice is not None and bool(splice.keep.any()))
    given = next((key for key in family.keys for _, options in positive if options.get(key) is not None), None)
    # For a later call, which may keep what this one has made, see `reuse`.
    latent = latent if vae is None else {**latent, VAE: vae}
    if not (keeps or picture is not None):
        lost = f"{who} is made to go on from a picture, and none is given: use Sora Image to Video."
        return Conditioned(positive, negative, latent, (lost,) if family.begins and given is None else ())
    if given is not None:
        _check_goes_with(positive, latent, given, picture)
        theirs = (f"The conditioning already tells {who} what is kept ({given}): it stays as it is.",)
        return Conditioned(positive, negative, latent, () if ALONG in latent else theirs)
    source = vae if vae is not None else latent.get(VAE)
    if family.pixels and source is None and encode is None:
        note = f"{who} does not see what is kept: put Sora Condition before the sampler, with its VAE connected."
        return Conditioned(positive, negative, latent, (note,))
    if source is not None and family.models:
        check_vae(kind, engine.latent_space(vae=source))
    known = _known(kind, picture_of(trim(latent)), splice, picture, strength, len(positive) + len(negative or ()))
    told = tell(known, encode or encoder(engine, source))
    options = {**told.options, **_seen(engine, known, vision, seen)}
    notes = (*told.notes, *(_unseen(kind, known, options) if vision is None else ()))
    if picture is not None and len(picture) > 1:
        notes += (f"picture: the first of {len(picture)} is shown to the model.",)
    made = _told(latent, known, told)
    options |= {ALONG: _layout(made)} if options or told.lists or told.positive else {}
    on = with_options(positive, {**options, **told.positive}, told.lists, told.defaults)
    off = None if negative is None else with_options(negative, options, told.lists, told.defaults)
    # Core's samplers cannot fit a storyboard to sound beside the picture; ours does it again, to the same.
    on, off = engine.fit_shots(model, on, made), None if off is None else engine.fit_shots(model, off, made)
    return Conditioned(on, off, made, notes)


def _told(latent: Latent, known: Known, told: Told) -> Latent:
    """Copy a LATENT as it is sampled: with the latents that are sampled along, and with what is held."""
    given = picture_of(latent)["samples"]
    if told.mask is known.mask and told.samples is given:
        return latent
    # One that comes from the first part of a run has them already.
    samples = given if ALONG in latent else told.samples
    along = (told.front, told.back)
    expect(
        latent.get(ALONG, along) == along,
        f"The latent has {sum(latent.get(ALONG, along))} latents that are sampled along, the prompt tells of "
        f"{sum(along)}. Use the prompts and the latent of one Sora Condition.",
    )
    made = {**latent, "samples": samples, "noise_mask": told.mask.float(), ALONG: along, WHOLE: samples.shape[2]}
    if bool(told.mask.all()):
        del made["noise_mask"]
    return with_picture(latent, made)


def _layout(latent: Latent) -> tuple[int, ...]:
    """Say how many latents there are, and how many of them are sampled along."""
    return picture_of(latent)["samples"].shape[2], *latent.get(ALONG, (0, 0))


def _check_goes_with(positive: Conditioning, latent: Latent, given: str, picture: Tensor | None) -> None:
    """Raise SoraError for prompts that tell of another LATENT, see `ALONG`, or that have a picture already."""
    expect(picture is None, f"picture: the conditioning already has its own ({given}). Use one of the two.")
    told, has = next((options[ALONG] for _, options in positive if ALONG in options), None), _layout(latent)
    expect(
        told in (None, has),
        f"The conditioning tells of {told and told[0]} latents ({told and sum(told[1:])} of them sampled along), the "
        f"latent has {has[0]} ({sum(has[1:])}). Connect the latent of the same Sora Condition.",
    )


def encoder(engine: Engine, vae: Any) -> Encoder:
    """Make the `Encoder` of a VAE. It raises SoraError when it is used and there is none."""

    def encode(frames: Tensor) -> Tensor:
        expect(vae is not None, "vae: the frames that are kept have to be encoded. Connect the VAE to Sora Condition.")
        samples: Tensor = engine.encode(vae, frames)["samples"]
        return samples

    return Encoder(encode)


def trim(latent: Latent) -> Latent:
    """Take off the latents that were sampled along, see `ALONG`, where no other node has done it."""
    front, back = latent.get(ALONG, (0, 0))
    rest = {key: value for key, value in latent.items() if key not in (ALONG, WHOLE)}
    if not (front or back):
        return rest
    picture = picture_of(rest)
    whole = latent.get(WHOLE, picture["samples"].shape[2])
    for key in ("samples", "noise_mask"):
        value = picture.get(key)
        # Core's TrimVideoLatent cuts the samples and leaves the mask.
        if value is not None and value.ndim == 5 and value.shape[2] == whole:
            picture[key] = value[:, :, front : whole - back]
    return with_picture(rest, picture)


def _known(
    kind: ModelKind, latent: Latent, splice: Splice | None, picture: Tensor | None, strength: float, prompts: int
) -> Known:
    """Gather what a LATENT says of what it keeps."""
    space: LatentSpace = kind.space
    samples = space.fit_empty(latent, "the model")["samples"]
    mask = latent.get("noise_mask")
    if mask is None:
        mask = torch.ones(samples.shape[0], 1, *samples.shape[2:])
    mask = space.mask_of(mask, samples.shape)
    if kind.zero is not None:
        # What an edit leaves empty is empty to the model too, which counts where noise does not drown it.
        empty = mask & (samples == 0).all(1, keepdim=True)
        samples = torch.where(empty, kind.zero.to(samples), samples) if bool(empty.any()) else samples
    known = Known(kind, samples, mask, strength=strength, prompts=prompts)
    if picture is not None:
        height, width = known.sides
        known = replace(known, picture=fit_frames(picture[:1, ..., :3], (width, height), 1)[0])
    if splice is None or not bool(splice.keep.any()):
        return known
    length, (height, width), count = len(splice.places[0]), splice.frames.shape[1:3], len(splice.places)
    expect(
        length == known.length and (height, width) == known.sides,
        f"The latent stands for {known.length} frames of {known.sides[1]}x{known.sides[0]}, its edit was made for "
        f"{length} of {width}x{height}. Use the edit's own latent.",
    )
    times, left = divmod(len(samples), count)
    expect(
        times > 0 and not left,
        f"The latent is a batch of {len(samples)}, its edit was made for {count}. Repeat the edit's own latent as a "
        "whole.",
    )
    frames, shown = _windows(splice)
    given = latent.get(GIVEN)
    return replace(
        known,
        # Not copied where there is one: frames are the largest that there is.
        frames=frames.expand(times, -1, -1, -1, -1) if count == 1 else frames.repeat(times, 1, 1, 1, 1),
        shown=shown.repeat(times, 1, 1, 1),
        given=None if given is None else given.repeat(times, 1),
        distinct=count,
        fps=splice.fps,
    )


def _windows(splice: Splice) -> tuple[Tensor, Tensor]:
    """Return the frames `[B,t,H,W,3]` of each window, and which of them are known, bool `[B,t,H,W]` or `[B,t,1,1]`."""
    shown = []
    for place in splice.places:
        keep = splice.keep[place.clamp_min(0)] & (place >= 0).view(-1, *[1] * (splice.keep.ndim - 1))
        shown.append(keep if keep.ndim == 3 else keep[:, None, None])
    (first, *others), everything = splice.places, torch.arange(len(splice.frames))
    if not others:
        frames = splice.frames if torch.equal(first, everything) else splice.frames[first.clamp_min(0)]
        return frames[None], torch.stack(shown)
    return torch.stack([splice.frames[place.clamp_min(0)] for place in splice.places]), torch.stack(shown)


def encode_vision(engine: Engine, kind: ModelKind, vision: Any, pictures: Sequence[Tensor]) -> Any:
    """See pictures `[H,W,3]` through a CLIP_VISION. Raises SoraError for a model that does not read it."""
    check_vision(kind)
    seen = engine.encode_vision(vision, pictures)
    check_width(kind, seen)
    return seen


def check_width(kind: ModelKind, seen: Any) -> None:
    """Raise SoraError for a CLIP_VISION_OUTPUT of another width than a model reads, where both say theirs."""
    states = getattr(seen, "penultimate_hidden_states", None)
    expect(
        not isinstance(states, Tensor) or kind.vision_width in (0, states.shape[-1]),
        f"clip_vision: it sees {states.shape[-1] if isinstance(states, Tensor) else 0} wide, {kind.space.name} reads "
        f"{kind.vision_width}. Use the CLIP vision model that goes with it.",
    )


def check_vision(kind: ModelKind) -> None:
    """Raise SoraError for a model that does not read CLIP vision."""
    expect(
        kind.vision,
        f"clip_vision: {kind.space.name} does not read it. Disconnect it, or use a model that does, such as Wan 2.1 "
        "I2V.",
    )


def check_vae(kind: ModelKind, made: LatentSpace) -> None:
    """Raise SoraError for a VAE of other latents than a model's. made: by the VAE."""
    space = kind.space
    same = [(s.channels, s.temporal_ratio, s.spatial_ratio) for s in (space, made)]
    expect(
        same[0] == same[1] and (not space.vae or not made.vae or space.vae == made.vae),
        f"vae: it is {made.name}, and {space.name} works on latents of another. Connect the VAE that goes with it.",
    )


def _seen(engine: Engine, known: Known, vision: Any, seen: Any) -> dict[str, Any]:
    """Let CLIP see the first and the last frame where they are kept, else the first that is."""
    if seen is None and vision is not None and known.frames is not None and known.shown is not None:
        whole = known.shown.flatten(2).all(2)[0]
        ends = [at for at in (0, len(whole) - 1) if bool(whole[at])] or whole.nonzero().flatten().tolist()[:1]
        seen = engine.encode_vision(vision, [known.frames[0][at] for at in ends]) if ends else None
        check_width(known.kind, seen)
    return {} if seen is None else {"clip_vision_output": seen}


def _unseen(kind: ModelKind, known: Known, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Say that the model wants to see the kept pictures and does not."""
    if not kind.vision or known.frames is None or "clip_vision_output" in options:
        return ()
    return (
        f"{kind.space.name} also looks at the picture through CLIP vision, and none is connected: put Sora Condition "
        "before the sampler, with CLIP vision.",
    )
