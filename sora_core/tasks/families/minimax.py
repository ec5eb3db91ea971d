"""MiniMax H3: pictures and clips at places of the video, seen beside it, with the positive prompt only.

`minimax_keyframes` is a list of {"resolved_frame_index", "latent"}: the number of the first frame, and the latents of
a still or of a clip of whole length (5 + 17k frames), encoded by itself. Latents that are kept are held besides.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ...errors import expect
from ...latents.masks import runs_of
from .known import Encoder, Known, Told

FPS = 24  # frames per second that the model makes, and its sound goes with


def tell(known: Known, encode: Encoder) -> Told:
    """Tell the model each run of kept frames: a clip where it is long enough for one, else a still of each end.

    Raises SoraError where the clips of a batch keep different frames, and for parts of frames.
    """
    frames = known.frames is not None
    name = known.kind.space.name
    expect(
        known.shown is None or known.shown.shape[2] == 1,
        f"{name} cannot keep a part of a frame. Keep whole frames, or use another model.",
    )
    known.expect_alike()
    told = _of_frames(known, encode) if frames else _of_latents(known)
    expect(
        len(known.samples) == 1 or not told,
        f"{name} is told of one video at a time, and the latent is a batch of {len(known.samples)}. Use a batch of 1.",
    )
    hold = known.hold()
    notes = [] if known.fps in (None, FPS) else [f"{name} makes {FPS} frames a second, this edit has {known.fps:g}."]
    if frames and any(keyframe["latent"].shape[2] == 1 for keyframe in told):
        notes.append(
            f"{name} can read the picture with the prompt too, which MiniMaxH3ImageToVideo encodes and Sora Text "
            "Encode does not."
        )
    return Told(known.samples, hold, positive={"minimax_keyframes": told} if told else {}, notes=tuple(notes))


def _keyframe(at: int, latent: Tensor) -> dict[str, Any]:
    return {"resolved_frame_index": at, "latent": latent}


def _of_frames(known: Known, encode: Encoder) -> list[dict[str, Any]]:
    assert known.frames is not None and known.shown is not None
    video, told = known.frames[0], []
    for first, end in runs_of(known.shown[0].flatten(1).all(1)):
        count = known.kind.space.clip_within(end - first)
        if count:
            # Next to what is made: the end of a run that frames follow, the start of any other.
            begin = end - count if end < len(video) else first
            told.append(_keyframe(begin, _clip(known, encode, begin, count)))
        else:
            told += [_keyframe(at, encode(video[at : at + 1])) for at in dict.fromkeys((first, end - 1))]
    return told


def _clip(known: Known, encode: Encoder, begin: int, count: int) -> Tensor:
    """Return the latents of a whole clip from frame `begin` on: those that were handed over with it, if it was."""
    assert known.frames is not None
    space = known.kind.space
    first = space.latent_of(begin)
    end = first + space.latent_frames(count)
    if known.given is not None and space.video_frames(first) == begin and bool(known.given[0, first:end].all()):
        return known.samples[:1, :, first:end]
    return encode(known.frames[0, begin : begin + count])


def _of_latents(known: Known) -> list[dict[str, Any]]:
    """Hand kept latents over, as far as they are a clip or a still: from where the pattern of frames begins."""
    space, told = known.kind.space, []
    for first, end in runs_of(known.kept()[0]):
        if first % len(space.pattern):
            continue
        count = space.clip_within(space.video_frames(end) - space.video_frames(first))
        taken = space.latent_frames(count) if count else 1
        told.append(_keyframe(space.video_frames(first), known.samples[:1, :, first : first + taken]))
    return told
