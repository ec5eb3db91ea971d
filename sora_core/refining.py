"""Latents that decode to more of what was encoded.

An encoder names a latent in one pass; it cannot know what this decoder will make of it. From there, gradient descent on
the decoded error finds a better one for this very video: semi-amortised inference (Kim et al., arXiv 1802.02550). The
decoder stays as it is, and a refined latent stays near the encoder's.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .model.vae import FeatureCache, VideoVAE

MAX_STEPS = 200
# In standard deviations of a latent; a step of Adam has about this size at first. Twice as much overshoots.
_RATE = 0.12
# What moves is what people look at: where a clip changes as much as on average, an error counts half as much again.
_MOVING = 0.5
_NEIGHBOURHOOD = 9  # pixels


class Refiner:
    """Refines one video chunk by chunk, as it is encoded; memory is that of one chunk's gradients."""

    def __init__(self, vae: VideoVAE, steps: int, tick: Callable[[], None] = lambda: None) -> None:
        """steps: of Adam (arXiv 1412.6980) for each chunk, 1 to `MAX_STEPS`; `tick()` is called after each."""
        self.steps, self.tick, self.cache = steps, tick, FeatureCache()
        # ComfyUI loads and runs in inference mode, whose tensors take no gradients; and small steps need float32.
        with torch.inference_mode(False):
            self.vae = VideoVAE(vae.config).requires_grad_(False).eval()
            self.vae.load_state_dict(vae.state_dict())
            self.vae.to(next(vae.parameters()).device)

    def _decode(self, latent: Tensor, cache: FeatureCache) -> Tensor:
        return next(self.vae.stream_decode(latent, latent.shape[2], cache))

    def __call__(self, video: Tensor, latent: Tensor) -> Tensor:
        """The next frames `[B,3,T,H,W]` in -1..1 and the encoder's latents of them `[B,C,t,h,w]` -> refined latents,
        in the device and precision of `latent`."""
        with torch.inference_mode(False), torch.enable_grad():
            video, z = video.detach().clone().float(), latent.detach().clone().float().requires_grad_(True)
            weight = 1 + _MOVING * motion(video)
            adam = torch.optim.Adam([z], lr=_RATE, betas=(0.9, 0.95))
            for step in range(self.steps):
                adam.param_groups[0]["lr"] = _RATE * (0.5 + 0.5 * math.cos(math.pi * step / self.steps))
                before = FeatureCache()
                before.frames = dict(self.cache.frames)
                loss = (weight * (self._decode(z, before) - video).square()).mean()
                adam.zero_grad()
                loss.backward()
                adam.step()
                self.tick()
            z = z.detach()
        with torch.no_grad():
            self._decode(z, self.cache)  # what comes next sees what was found
        return z.to(latent.dtype)


def motion(video: Tensor) -> Tensor:
    """How much the surroundings of each pixel of `[B,3,T,H,W]` change over the frames, 1 on average `[B,1,T,H,W]`;
    0 everywhere where nothing does."""
    change = (video - video.mean(2, keepdim=True)).square().mean(1, keepdim=True)
    side = min(_NEIGHBOURHOOD, *(n - 1 + n % 2 for n in video.shape[-2:]))
    change = F.avg_pool3d(change, (1, side, side), 1, (0, side // 2, side // 2))
    return change / change.mean((1, 2, 3, 4), keepdim=True).clamp_min(1e-8)
