"""The latent space of a family of video models: channels, ratios, patch, and how a mask reaches the model.

Every conversion between frames and latents, pixels and cells goes through `LatentSpace`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal

import torch
from torch import Tensor

from ..errors import expect
from .masks import to_latent_grid
from .streams import picture_of

SPACE = "sora_space"  # key of a LATENT: whose VAE made it, see `LatentSpace.vae`
SORA = "sora"  # the VAE of our own models
# Key of a LATENT: how many of its latents, in front and behind, are sampled along and are no part of the video.
ALONG = "sora_along"
WHOLE = "sora_along_latents"  # key of the same LATENT: how many latents it has with them


def check_rank(samples: Any, channels: int, user: str, advice: str) -> None:
    """Raise SoraError unless `samples` is a tensor `[B,C,T,h,w]`.

    channels: what the user takes. user: who will work on the latent, as the message names it. advice: what to do.
    """
    shape = list(getattr(samples, "shape", ()))
    expect(
        isinstance(samples, Tensor) and len(shape) == 5,
        f"The latent has shape {shape}; {user} works on [B,{channels},T,H,W]: {advice}",
    )


def check_channels(samples: Tensor, channels: int, user: str, advice: str) -> None:
    """Raise SoraError unless a latent `[B,C,T,h,w]` has so many channels, see `check_rank`."""
    count = samples.shape[1]
    expect(count == channels, f"The latent has {count} channels, {user} works on {channels}: {advice}")


def check_finite(samples: Tensor, advice: str) -> None:
    """Raise SoraError, with advice, for a latent that has values which are no numbers."""
    expect(bool(torch.isfinite(samples).all()), f"The latent has NaN or infinite values: {advice}")


@dataclass(frozen=True)
class LatentSpace:
    """How a family of video models lays out its latents `[B,C,T,h,w]`, and what it does with a mask."""

    name: str  # for messages
    channels: int
    temporal_ratio: int = 4  # video frames of one latent
    spatial_ratio: int = 8  # pixels a side of one cell
    patch_size: tuple[int, int, int] = (1, 2, 2)  # latents (t, y, x) of one token
    causal: bool = True  # the first frame is a latent of its own: 1 + ratio * k frames are 1 + k latents
    # Frames of one latent after another where they are not alike, over and over. Such a video is whole patterns and
    # the first `tail` latents of one more, or a still of one latent.
    pattern: tuple[int, ...] = ()
    tail: int = 0
    # "tokens": kept latents enter clean, at timestep 0, and stay as they are. "blend": they are noised along and put
    # back at each step, so the model sees less of them. "none": the model cannot keep a part of a video.
    masks: Literal["tokens", "blend", "none"] = "tokens"
    # Whose VAE makes the latents, "" where that cannot be told: families of one shape may differ in it.
    vae: str = ""

    @property
    def multiple(self) -> int:
        """What width and height must be multiples of, in pixels."""
        return self.spatial_ratio * max(self.patch_size[1:])

    @property
    def step(self) -> tuple[int, int]:
        """Return by how many latents, and frames, a video is longer than the next shorter one."""
        return (len(self.pattern), sum(self.pattern)) if self.pattern else (1, self.temporal_ratio)

    @property
    def lengths(self) -> tuple[int, int]:
        """Return what a whole video may be long, in frames: the first value and any number of the second."""
        return sum(self.pattern[: self.tail]) if self.pattern else 1, self.step[1]

    def clip_within(self, frames: int) -> int:
        """Return the length of the longest whole video among `frames` frames, 0 where even the shortest is longer."""
        first, step = self.lengths
        return first + (frames - first) // step * step if frames >= first else 0

    def latent_frames(self, frames: int) -> int:
        """Count the latents that cover `frames` video frames from a clip's first on, as a whole video."""
        if self.pattern:
            first, step = self.lengths
            return 1 if frames <= 1 else self.tail + len(self.pattern) * max(0, -(-(frames - first) // step))
        first = 1 if self.causal else 0
        return first + -(-(frames - first) // self.temporal_ratio)

    def video_frames(self, latents: int) -> int:
        """Count the video frames that `latents` latents decode to."""
        if self.pattern:
            times, rest = divmod(latents, len(self.pattern))
            return times * sum(self.pattern) + sum(self.pattern[:rest])
        first = 1 if self.causal else 0
        return first + (latents - first) * self.temporal_ratio

    def latent_of(self, frame: int) -> int:
        """Return the number of the latent that shows video frame `frame`, both counted from 0."""
        if self.pattern:
            times, rest = divmod(frame, sum(self.pattern))
            ends = accumulate(self.pattern)
            return times * len(self.pattern) + next(at for at, end in enumerate(ends) if rest < end)
        return self.latent_frames(frame + 1) - 1

    def frames_of(self, latent: int) -> range:
        """Return the numbers of the video frames that a latent shows, both counted from 0."""
        return range(max(0, self.video_frames(latent)), self.video_frames(latent + 1))

    def frame_counts(self, latents: int) -> list[int]:
        """Count the frames of each of `latents` latents from a clip's first on."""
        return [len(self.frames_of(latent)) for latent in range(latents)]

    def mask_of(self, mask: Tensor, shape: Sequence[int]) -> Tensor:
        """Bring a noise mask to the grid of a latent of `shape`, bool `[B,1,T,h,w]`, see `to_latent_grid`."""
        return to_latent_grid(mask, shape, self.frame_counts(shape[2]))

    def cells(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width in cells of a picture of `height` x `width` pixels."""
        return height // self.spatial_ratio, width // self.spatial_ratio

    def empty(self, latents: int, height: int, width: int, batch: int = 1) -> Tensor:
        """Make the empty latent `[batch,C,latents,h,w]` of a video of `height` x `width` pixels."""
        return torch.zeros(batch, self.channels, latents, *self.cells(height, width))

    def mark(self, latent: Mapping[str, Any]) -> dict[str, Any]:
        """Copy a LATENT with a note of whose VAE it is of, where that is known."""
        return {**latent, SPACE: self.vae} if self.vae else dict(latent)

    def samples_of(self, latent: Mapping[str, Any], user: str, refit: bool = False) -> Tensor:
        """Take the samples of a LATENT as `[B,C,T,h,w]`, a still `[B,C,h,w]` as one frame, of sound the picture.

        user: who is to work on them, for messages. refit: an empty latent may have other channels, `fit_empty` will
        make it fit. Raises SoraError that names both sides for another rank, number of channels or VAE.
        """
        samples: Tensor = picture_of(latent)["samples"]
        if samples.ndim == 4:
            samples = samples.unsqueeze(2)
        advice, who = "use the VAE and the empty latent that go with it.", f"{user} ({self.name})"
        check_rank(samples, self.channels, who, "use a video latent.")
        if not (refit and not samples.any()):
            check_channels(samples, self.channels, who, advice)
        origin = latent.get(SPACE) or self.vae
        expect(
            not self.vae or origin == self.vae,
            f"The latent is one of {origin}, {who} works on those of {self.vae}: {advice}",
        )
        return samples

    def fit_empty(self, latent: Mapping[str, Any], user: str) -> dict[str, Any]:
        """Copy a LATENT with samples `[B,C,T,h,w]`; an empty one of another family becomes an empty one of this.

        ComfyUI's EmptyLatentImage knows only one shape, and says in "downscale_ratio_spacial" how many pixels one of
        its cells is. Raises SoraError as `samples_of` does.
        """
        samples = self.samples_of(latent, user, refit=True)
        ratio = latent.get("downscale_ratio_spacial") or self.spatial_ratio
        if not bool(samples.any()) and (samples.shape[1] != self.channels or ratio != self.spatial_ratio):
            height, width = (side * ratio for side in samples.shape[-2:])
            samples = self.empty(samples.shape[2], height, width, samples.shape[0]).to(samples)
        rest = {key: value for key, value in latent.items() if not key.startswith("downscale_ratio")}
        return {**rest, "samples": samples}


SORA_MINI = LatentSpace("sora-mini", 16, vae=SORA)
