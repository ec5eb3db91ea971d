"""The window that a sampler works on: which frames it covers, which it keeps, and their latents.

The VAE is causal: latent 0 is one frame, latent k the four frames 4k-3..4k, seen with everything before them.
Kept frames are therefore encoded run by run, each run as a stream of its own: a kept latent never knows of the
frames that are to be made, and a run that does not begin with latent 0 is preceded by a still of its first
frame, which is dropped again, so that it consists of whole groups wherever it stands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import expect
from ..latents.space import SORA_MINI, LatentSpace
from .finish.splice import SPLICE, Splice

TRAINED_LATENTS = 5  # of sora-mini's clips: 17 frames


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

    def latents(self, frames: int) -> int:
        """Count the latents that cover `frames` frames from a clip's first on."""
        return self.space.latent_frames(frames)


@dataclass(frozen=True)
class Window:
    """frames `[1+ratio*k,H,W,3]`, anything where they are to be made; keep bool `[1+k]`, per latent; place long
    `[1+ratio*k]`: the frame of the finished video that each decoded one is, -1 for none.
    """

    frames: Tensor
    keep: Tensor
    place: Tensor


def encode_kept(codec: VAECodec, frames: Tensor, keep: Tensor) -> Tensor:
    """Latents `[1,C,1+k,h,w]` of the frames that `keep` `[1+k]` bool keeps; zeros elsewhere."""
    runs, start = [], None
    for i, kept in enumerate([*keep.tolist(), False]):
        if kept and start is None:
            start = i
        elif not kept and start is not None:
            runs.append((start, i))
            start = None
    expect(bool(runs), "Nothing is kept: there is no frame to encode.")
    samples = None
    for a, b in runs:
        end = 1 + codec.ratio * (b - 1)
        if a == 0:
            latent = codec.encode(frames[:end])
        else:
            begin = 1 + codec.ratio * (a - 1)
            latent = codec.encode(torch.cat((frames[begin : begin + 1], frames[begin:end])))[:, :, 1:]
        if samples is None:
            samples = latent.new_zeros(*latent.shape[:2], len(keep), *latent.shape[3:])
        samples[:, :, a:b] = latent
    return samples


def to_latent(
    codec: VAECodec, windows: list[Window], frames: Tensor, keep: Tensor, fps: float, hold: float = 0.0
) -> dict:
    """LATENT of `windows`, one batch item each, all of one length.

    frames, keep, hold: of the finished video, see `Splice`.
    """
    samples = torch.cat([encode_kept(codec, w.frames, w.keep) for w in windows])
    mask = torch.stack([~w.keep for w in windows]).float()[:, None, :, None, None]
    mask = mask.expand(-1, 1, -1, *samples.shape[3:]).contiguous()
    splice = Splice(frames, keep, tuple(w.place for w in windows), fps, hold)
    return {"samples": samples, "noise_mask": mask, SPLICE: splice}


def with_last_held(frames: Tensor, length: int) -> Tensor:
    """`frames` with the last one repeated up to `length`."""
    missing = length - frames.shape[0]
    return frames if missing <= 0 else torch.cat((frames, frames[-1:].expand(missing, -1, -1, -1)))
