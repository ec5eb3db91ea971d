"""The latent space of a family of video models: channels, ratios, patch, and how a mask reaches the model.

Every conversion between frames and latents, pixels and cells goes through `LatentSpace`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ..errors import expect

SPACE = "sora_space"  # key of a LATENT: whose VAE made it, see `LatentSpace.vae`
SORA = "sora"  # the VAE of our own models
# Key of a LATENT: how many of its latents, in front and behind, are sampled along and are no part of the video.
ALONG = "sora_told"


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
    # "tokens": kept latents enter clean, at timestep 0, and stay as they are. "blend": they are noised along and put
    # back at each step, so the model sees less of them. "none": the model cannot keep a part of a video.
    masks: Literal["tokens", "blend", "none"] = "tokens"
    # Whose VAE makes the latents, "" where that cannot be told: families of one shape may differ in it.
    vae: str = ""

    @property
    def multiple(self) -> int:
        """What width and height must be multiples of, in pixels."""
        return self.spatial_ratio * max(self.patch_size[1:])

    def latent_frames(self, frames: int) -> int:
        """Count the latents that cover `frames` video frames from a clip's first on."""
        first = 1 if self.causal else 0
        return first + -(-(frames - first) // self.temporal_ratio)

    def video_frames(self, latents: int) -> int:
        """Count the video frames that `latents` latents decode to."""
        first = 1 if self.causal else 0
        return first + (latents - first) * self.temporal_ratio

    def latent_of(self, frame: int) -> int:
        """Return the number of the latent that shows video frame `frame`, both counted from 0."""
        return self.latent_frames(frame + 1) - 1

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
        """Take the samples of a LATENT as `[B,C,T,h,w]`, a still `[B,C,h,w]` as one frame.

        user: who is to work on them, for messages. refit: an empty latent may have other channels, `fit_empty` will
        make it fit. Raises SoraError that names both sides for another rank, number of channels or VAE.
        """
        samples: Tensor = latent["samples"]
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
