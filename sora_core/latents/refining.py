"""Latents that decode to more of what was encoded.

An encoder names a latent in one pass; it cannot know what this decoder will make of it. What a VAE has learned to do
about that (`model.corrector`) is part of every encoding. From there, gradient descent on the decoded error finds a
still better latent for this very video: semi-amortised inference (Kim et al., arXiv 1802.02550). The decoder stays as
it is, and the latent stays near the encoder's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..model.vae.causal import FeatureCache
from ..model.vae.mini import VideoVAE
from .tiling import Tile, scaled, tiles

MAX_STEPS = 200  # that may be asked for, of each chunk
# In standard deviations of a latent; a step of Adam has about this size at first. Twice as much overshoots, and so does
# this where corrections have come near already.
_RATE, _RATE_AFTER = 0.12, 0.06
# What moves is what people look at: where a clip changes as much as on average, an error counts half as much again.
_MOVING = 0.5
_NEIGHBOURHOOD = 9  # pixels
# In latents. Frames of more than 320 pixels are refined in tiles: the gradients of a chunk of 320 x 320 take 1.2 GB.
_TILE, _REACH = 24, 8
_CHANGED = 0.03  # a variance over time that counts by half


def corrections(
    vae: VideoVAE,
    video: Tensor,
    latent: Tensor,
    decode: Callable[[Tensor], Tensor],
    caches: Sequence[FeatureCache | None],
    first: bool = True,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield latents and what they decode to: the encoder's, then those after each correction by `vae.corrector`.

    video: `[B,3,T,H,W]` in -1..1, a chunk, the beginning of a video if `first`; latent: its latents `[B,C,t,h,w]`;
    decode: of that chunk. caches: one for each correction to make, None where nothing came before and nothing will
    come. Gradients must be on; those of the corrector's weights each come from the correction that they made, not from
    later ones.
    """
    weight, patches, start = noticed(video), vae.to_patches(video, first), latent.detach()
    z = start.clone().requires_grad_()
    out = decode(z)
    yield z, out
    for number, cache in enumerate(caches, 1):
        half = 0.5 * (weight * (out.float() - video).square()).sum()
        (gradient,) = torch.autograd.grad(half, z, retain_graph=vae.corrector.training)
        error, z = vae.to_patches(video - out.detach().float(), first), z.detach()
        z = z + vae.corrector(patches, error, z, z - start, gradient, cache).float()
        if not z.requires_grad:
            z.requires_grad_()
        # Nobody asks for the gradient of the last one, but who trains the corrector.
        with torch.set_grad_enabled(number < len(caches) or vae.corrector.training):
            out = decode(z)
        yield z, out


def noticed(video: Tensor) -> Tensor:
    """Weigh errors in `[B,3,T,H,W]` for a correction, `[B,1,T,H,W]`: 1, and up to 5 where things move.

    There the surroundings of a pixel change over the frames. Unlike `motion`, this is the same whatever else is in the
    clip.
    """
    change = _change(video)
    return 1 + 4 * change / (change + _CHANGED)


def motion(video: Tensor) -> Tensor:
    """Measure how much the surroundings of each pixel of `[B,3,T,H,W]` change over the frames, `[B,1,T,H,W]`.

    1 on average; 0 everywhere where nothing changes.
    """
    change = _change(video)
    return change / change.mean((1, 2, 3, 4), keepdim=True).clamp_min(1e-8)


def _change(video: Tensor) -> Tensor:
    """Compute the variance over the frames of `[B,3,T,H,W]`, averaged over a pixel's surroundings: `[B,1,T,H,W]`."""
    change = (video - video.mean(2, keepdim=True)).square().mean(1, keepdim=True)
    side = min(_NEIGHBOURHOOD, *(n - 1 + n % 2 for n in video.shape[-2:]))
    return F.avg_pool3d(change, (1, side, side), 1, (0, side // 2, side // 2))


def regions(rows: int, columns: int) -> list[Tile]:
    """Cut latents of so many rows and columns into what is refined at a time: the whole, or tiles."""
    whole = max(rows, columns)
    return list(tiles(rows, columns, whole if whole <= _TILE + 2 * _REACH else _TILE, _REACH))


class Refiner:
    """Corrects and refines one video chunk by chunk, as it is encoded.

    Memory is that of one chunk's gradients, or of one tile's where frames are large.
    """

    def __init__(
        self, vae: VideoVAE, steps: int, tick: Callable[[], None] = lambda: None, corrections: int | None = None
    ) -> None:
        """Refine by so many steps of Adam (arXiv 1412.6980) for each chunk, 0 to `MAX_STEPS`.

        `tick()` is called after each, in every tile. corrections: how many of the VAE's own come first; None for all.
        """
        self.steps, self.tick = steps, tick
        self.corrections = vae.config.corrections if corrections is None else corrections
        self.memories: list[Memory] = []
        # ComfyUI loads and runs in inference mode, whose tensors take no gradients; and small steps need float32.
        with torch.inference_mode(False), torch.device("meta"):
            self.vae = VideoVAE(vae.config).requires_grad_(False).eval()
        with torch.inference_mode(False):
            self.vae.load_state_dict({name: value.clone() for name, value in vae.state_dict().items()}, assign=True)
            # By way of the precision that `vae` holds its statistics in: what it will decode with is rounded to that.
            self.vae.to(vae.mean).float()

    def __call__(self, video: Tensor, latent: Tensor, last: bool = False) -> Tensor:
        """Improve the encoder's latents `[B,C,t,h,w]` of the next frames `[B,3,T,H,W]` in -1..1.

        last: nothing comes after them that would have to see what was found, which saves a decode. What comes out has
        the device and precision of `latent`.
        """
        found, places = torch.empty_like(latent), regions(*latent.shape[-2:])
        self.memories = self.memories or [Memory() for _ in places]
        for tile, memory in zip(places, self.memories, strict=True):
            part = video[..., *scaled(tile.read, self.vae.config.spatial_ratio)]
            better = self._improved(part, latent[..., *tile.read], memory, last)
            found[..., *tile.at] = better[..., *tile.keep].to(latent.dtype)
        return found

    def _improved(self, video: Tensor, latent: Tensor, memory: Memory, last: bool) -> Tensor:
        with torch.inference_mode(False), torch.enable_grad():
            video, z = video.detach().clone().float(), latent.detach().clone().float()
            first = not memory.decoder.frames

            def decode(z: Tensor, cache: FeatureCache | None = None) -> Tensor:
                if cache is None:
                    # A trial: the decoder's memory is read, and left as it was.
                    cache = FeatureCache()
                    cache.frames = dict(memory.decoder.frames)
                return next(self.vae.stream_decode(z, z.shape[2], cache))

            if self.corrections:
                z = self._corrected(video, z, decode, memory, first)
            if self.steps:
                z = self._descended(video, z, decode)
            if not last:
                with torch.no_grad():
                    decode(z, memory.decoder)  # what comes next sees what was found
        return z

    def _corrected(
        self, video: Tensor, latent: Tensor, decode: Callable[[Tensor], Tensor], memory: Memory, first: bool
    ) -> Tensor:
        """Correct as often as brings most: what the corrector never saw, such as noise, it may make worse."""
        weight, best = noticed(video), latent
        least: Tensor | None = None
        caches = memory.correctors(self.corrections)
        for z, out in corrections(self.vae, video, latent, decode, caches, first):
            error = (weight * (out.detach() - video).square()).mean((1, 2, 3, 4))
            better = error < (torch.inf if least is None else least)
            best = torch.where(better.view(-1, 1, 1, 1, 1), z.detach(), best)
            least = error if least is None else torch.where(better, error, least)
        return best

    def _descended(self, video: Tensor, z: Tensor, decode: Callable[[Tensor], Tensor]) -> Tensor:
        """Descend along the gradient of the decoded error."""
        z, weight = z.clone().requires_grad_(True), 1 + _MOVING * motion(video)
        rate = _RATE_AFTER if self.corrections else _RATE
        adam = torch.optim.Adam([z], lr=rate, betas=(0.9, 0.95))
        for step in range(self.steps):
            # Half a cosine (arXiv 1608.03983): long steps first, and the last ones settle.
            adam.param_groups[0]["lr"] = rate * (0.5 + 0.5 * math.cos(math.pi * step / self.steps))
            loss = (weight * (decode(z) - video).square()).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            self.tick()
        return z.detach()


class Memory:
    """What the decoder and each correction of a tile remember of the chunks before."""

    def __init__(self) -> None:
        self.decoder = FeatureCache()
        self._correctors: list[FeatureCache] = []

    def correctors(self, count: int) -> list[FeatureCache]:
        """Return the memory of each of `count` corrections."""
        self._correctors = self._correctors or [FeatureCache() for _ in range(count)]
        return self._correctors
