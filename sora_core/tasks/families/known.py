"""What is known of the videos that a LATENT stands for, and what a model is told of it: what every family works with.

A family is a function `tell(known, encode)` that returns `Told`. It knows tensors only, no host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import expect
from ...latents.space import LatentSpace

GREY = 0.5  # of a pixel, 0..1, that is not known


class Encoder:
    """A VAE's encoding of IMAGE `[t,H,W,3]` to `[1,C,T,h,w]`, which remembers how grey is encoded."""

    def __init__(self, encode: Callable[[Tensor], Tensor]) -> None:
        self.encode = encode
        # Every segment of a long video asks for the same grey, and a video VAE is slow.
        self.greys: dict[tuple[int, int, int], Tensor] = {}

    def __call__(self, frames: Tensor) -> Tensor:
        """Encode frames `[t,H,W,3]`, float 0..1."""
        return self.encode(frames)

    def grey(self, count: int, height: int, width: int) -> Tensor:
        """Encode `count` grey frames."""
        shape = (count, height, width)
        if shape not in self.greys:
            self.greys[shape] = self.encode(torch.full((*shape, 3), GREY))
        return self.greys[shape]


@dataclass(frozen=True)
class ModelKind:
    """What decides in which language a model is told of an edit."""

    name: str  # of the model's class, as its host calls it
    space: LatentSpace
    extra: int = 0  # channels that its network takes in beside those of the latent
    vision: bool = False  # whether it reads what CLIP vision makes of a picture
    zero: Tensor | None = None  # [1,C,1,1,1]: the VAE's latent that the model takes for 0. None: it is 0
    vision_width: int = 0  # channels of what CLIP sees, as it reads it; 0 where it is not known


@dataclass(frozen=True)
class Known:
    """What is known of a batch of videos, and the LATENT that they are sampled as."""

    kind: ModelKind
    samples: Tensor  # [B,C,T,h,w]: latents, anything where they are made
    mask: Tensor  # bool [B,1,T,h,w], True = made
    # Frames come from an edit. Without them latents are all there is, as in a segment of a long video.
    frames: Tensor | None = None  # [B,t,H,W,3] float 0..1, anything where not known
    shown: Tensor | None = None  # bool [B,t,H,W], or [B,t,1,1] where frames are known whole
    given: Tensor | None = None  # bool [B,T]: latents that were handed over with the frames
    fps: float | None = None
    picture: Tensor | None = None  # [H,W,3] float 0..1: a reference, which is no frame of the video
    strength: float = 1.0  # of what is told, where a family has one
    # Videos that differ, the first of the batch: those behind repeat them, with other noise. None: all of them.
    distinct: int | None = None
    prompts: int = 1  # conditions, positive and negative: how many of each video a network may be given at once

    @property
    def length(self) -> int:
        """Frames of one video."""
        return self.kind.space.video_frames(self.samples.shape[2])

    @property
    def counts(self) -> list[int]:
        """Frames of each latent."""
        return self.kind.space.frame_counts(self.samples.shape[2])

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width in pixels."""
        ratio = self.kind.space.spatial_ratio
        return self.samples.shape[3] * ratio, self.samples.shape[4] * ratio

    def kept(self) -> Tensor:
        """Tell which latents are kept as a whole, bool `[B,T]`."""
        return ~self.mask.flatten(3).any(3)[:, 0]

    def expect_alike(self) -> None:
        """Raise SoraError unless all videos of the batch keep the same frames."""
        kept = self.mask if self.shown is None else self.shown
        expect(
            bool((kept == kept[:1]).all()),
            f"The videos of this batch keep different frames, and {self.kind.space.name} is told of one choice only: "
            "make them one by one (extend forwards, then backwards).",
        )

    def encoded(self, encode: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Encode the videos that differ by `encode(frames, shown)`, of one video each, to a batch for all of them."""
        assert self.frames is not None and self.shown is not None
        count = self.distinct or len(self.frames)
        # One after the other: frames are the largest that there is.
        made = torch.cat([encode(self.frames[item], self.shown[item]) for item in range(count)])
        return made.repeat(len(self.frames) // count, *[1] * (made.ndim - 1))

    def unknown(self) -> Tensor:
        """Return 1 for what is not known, frame by frame on the cells of the latent, float `[B,t,h,w]`.

        A cell is known if all of its pixels are.
        """
        cells = self.samples.shape[3:]
        if self.shown is None:
            return self.mask[:, 0].float().repeat_interleave(torch.tensor(self.counts), 1)
        return F.adaptive_max_pool2d((~self.shown).float().expand(-1, -1, *self.sides), cells)

    def known_latents(self) -> Tensor:
        """Tell of which latents every frame is known, in all of its pixels, bool `[B,T]`."""
        whole = self.unknown().flatten(2).amax(2) == 0
        return torch.stack([part.all(1) for part in whole.split(self.counts, 1)], 1)

    def latents(self, encode: Encoder) -> Tensor:
        """Return the latents `[B,C,T,h,w]` of the video as far as it is known, and grey elsewhere.

        Frames are encoded as one stream. Latents without frames are handed on as they are.
        """
        if self.frames is not None:
            made = self.encoded(lambda frames, shown: encode(torch.where(shown[..., None], frames, GREY)))
            return made if self.given is None else torch.where(self.given[:, None, :, None, None], self.samples, made)
        grey = encode.grey(self.length, *self.sides).to(self.samples)
        return torch.where(self.mask, grey, self.samples)

    def hold(self) -> Tensor:
        """Return the mask `[B,1,T,h,w]` that makes anew every latent that is not known in full.

        An edit keeps a picture by keeping the group of frames around it still. A model that is told of the picture
        itself makes the others of the group move.
        """
        if self.shown is None or self.shown.shape[2] > 1:
            return self.mask
        return self.mask | ~self.known_latents()[:, None, :, None, None]


@dataclass(frozen=True)
class Told:
    """What a model is told of an edit, and what is sampled."""

    samples: Tensor  # [B,C,T',h,w]
    mask: Tensor  # bool [B,1,T',h,w], True = made: what the sampler holds at every step is False
    options: Mapping[str, Any] = field(default_factory=dict)  # of every condition, positive and negative
    positive: Mapping[str, Any] = field(default_factory=dict)  # of positive ones only
    defaults: Mapping[str, Any] = field(default_factory=dict)  # of those that have none of their own
    lists: Mapping[str, list[Any]] = field(default_factory=dict)  # of the same, behind what is there already
    # Latents that are sampled along and are no part of the video: they are cut off afterwards.
    front: int = 0
    back: int = 0
    notes: tuple[str, ...] = ()


Tell = Callable[[Known, Encoder], Told]
