"""The window that a sampler works on: which frames it covers, which it keeps, and their latents.

The VAE is causal: latent 0 is one frame, latent k the frames 4k-3..4k (at a ratio of 4), seen with all before them.

Kept frames are encoded run by run, each run as a stream of its own, so that a kept latent never knows of the frames
that are to be made. A run that begins later than latent 0 is preceded by a still of its first frame, whose latent is
dropped again: so it consists of whole groups of frames wherever it stands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import expect
from ..latents.masks import runs_of
from ..latents.space import SORA_MINI, LatentSpace
from .finish.splice import SPLICE, Splice

TRAINED_LATENTS = 5  # of sora-mini's clips: 17 frames
GIVEN = "sora_given"  # key of a LATENT: which latents were handed over and not encoded, bool [B,T]


@dataclass(frozen=True)
class VAECodec:
    """What the tasks need of a causal VAE."""

    encode: Callable[[Tensor], Tensor]  # IMAGE [1+ratio*k,H,W,3] -> latent [1,C,1+k,h,w]
    space: LatentSpace = SORA_MINI
    window: int = TRAINED_LATENTS  # latents of a clip that the model is at its best at

    @property
    def ratio(self) -> int:
        """Video frames of one latent."""
        return self.space.temporal_ratio

    def fits(self, new: int) -> bool:
        """Tell whether the model can make `new` frames at once, with at least one latent of what they go on from."""
        return self.new_latents(new) < self.window

    def new_latents(self, frames: int) -> int:
        """Count the latents that `frames` frames more make of a whole clip."""
        latents, step = self.space.step
        return latents * -(-frames // step)

    def new_frames(self, latents: int) -> int:
        """Count the frames of `latents` latents behind a whole clip, see `new_latents`."""
        step, frames = self.space.step
        return latents // step * frames

    def whole_within(self, frames: int, latents: int) -> int:
        """Return the length of the longest whole clip among `frames` frames, of at most `latents` latents.

        It is the shortest there is where even that is longer. Lengths are those of videos, stills do not count.
        """
        first, step = self.space.lengths
        shortest, each = self.space.latent_frames(first), self.space.step[0]
        return first + step * max(0, min((latents - shortest) // each, (frames - first) // step))

    def latents(self, frames: int) -> int:
        """Count the latents that cover `frames` frames from a clip's first on."""
        return self.space.latent_frames(frames)

    def whole(self, frames: int) -> int:
        """Round `frames` up to the length 1 + ratio * k of a clip of whole latents."""
        return self.space.video_frames(self.latents(frames))


@dataclass(frozen=True)
class Window:
    """The frames that a model sees at once, and where each of them belongs in the finished video."""

    frames: Tensor  # [1+ratio*k,H,W,3] float 0..1; anything where they are to be made
    keep: Tensor  # bool [1+k]: which latents are kept
    place: Tensor  # long [1+ratio*k]: the frame of the finished video that each decoded one is, -1 for none
    given: Tensor | None = None  # [1,C,n,h,w]: the first n latents, where they need not be encoded


def encode_kept(codec: VAECodec, frames: Tensor, keep: Tensor) -> Tensor:
    """Encode the frames `[1+ratio*k,H,W,3]` whose latents are kept (bool `[1+k]`); the other latents are zeros.

    Returns `[1,C,1+k,h,w]`. Raises SoraError where nothing is kept.
    """
    runs = runs_of(keep)
    expect(bool(runs), "Nothing is kept: there is no frame to encode.")
    parts = [(first, end, _encode_run(codec, frames, first, end)) for first, end in runs]
    latent = parts[0][2]
    samples = latent.new_zeros(*latent.shape[:2], len(keep), *latent.shape[3:])
    for first, end, part in parts:
        samples[:, :, first:end] = part
    return samples


def _encode_run(codec: VAECodec, frames: Tensor, first: int, end: int) -> Tensor:
    """Encode latents `first` to `end` of a window by themselves."""
    if codec.space.pattern:
        return _encode_in_pattern(codec, frames, first, end)
    last = 1 + codec.ratio * (end - 1)
    if first == 0:
        return codec.encode(frames[:last])
    begin = 1 + codec.ratio * (first - 1)
    return codec.encode(torch.cat((frames[begin : begin + 1], frames[begin:last])))[:, :, 1:]


def _encode_in_pattern(codec: VAECodec, frames: Tensor, first: int, end: int) -> Tensor:
    """Encode latents `first` to `end` where their frames follow a pattern: from where it begins, after a still."""
    space = codec.space
    lead = first % len(space.pattern)
    shown = frames[space.video_frames(first) : space.video_frames(end)]
    clip = torch.cat((shown[:1].expand(space.video_frames(lead), -1, -1, -1), shown))
    return codec.encode(with_last_held(clip, codec.whole(len(clip))))[:, :, lead : lead + end - first]


def check_even(codec: VAECodec, task: str) -> None:
    """Raise SoraError for a task that needs latents of the same number of frames each."""
    space, (first, step) = codec.space, codec.space.lengths
    expect(
        not space.pattern,
        f"vae: {space.name} makes videos of {first} + {step}k frames, in groups that are not alike: {task} is not "
        "possible with it. Use Sora Image to Video or Sora Extend, or another model.",
    )


def to_latent(
    codec: VAECodec,
    windows: list[Window],
    frames: Tensor,
    keep: Tensor,
    fps: float,
    hold: float = 0.0,
    held: Tensor | None = None,
) -> dict[str, Any]:
    """Make the LATENT of `windows`, one batch item each, all of one length.

    frames, keep, hold, held: of the finished video, see `Splice`.
    """
    samples = torch.cat([_samples_of(codec, w) for w in windows])
    mask = torch.stack([~w.keep for w in windows]).float()[:, None, :, None, None]
    mask = mask.expand(-1, 1, -1, *samples.shape[3:]).contiguous()
    splice = Splice(frames, keep, tuple(w.place for w in windows), fps, hold, held)
    made = {"samples": samples, "noise_mask": mask, SPLICE: splice}
    counts = [0 if w.given is None else w.given.shape[2] for w in windows]
    if any(counts):
        made[GIVEN] = torch.stack([torch.arange(len(w.keep)) < n for w, n in zip(windows, counts, strict=True)])
    return made


def _samples_of(codec: VAECodec, window: Window) -> Tensor:
    """Return a window's latents `[1,C,1+k,h,w]`: those that it keeps, zeros elsewhere."""
    if window.given is None:
        return encode_kept(codec, window.frames, window.keep)
    given = window.given
    samples = given.new_zeros(*given.shape[:2], len(window.keep), *given.shape[3:])
    samples[:, :, : given.shape[2]] = given
    return samples


def with_last_held(frames: Tensor, length: int) -> Tensor:
    """Repeat the last of `frames` `[T,H,W,C]` up to `length`."""
    missing = length - frames.shape[0]
    return frames if missing <= 0 else torch.cat((frames, frames[-1:].expand(missing, -1, -1, -1)))


def places_up_to(place: Tensor, length: int) -> Tensor:
    """Return `place` with -1 for every frame past a finished video of `length` frames."""
    return torch.where(place < length, place, -1)
