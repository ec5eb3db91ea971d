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

from ..interrupt import check_interrupted
from ..model.vae.causal import FeatureCache
from ..model.vae.mini import VAEConfig, VideoVAE
from .tiling import Tile, scaled, tiles

MAX_STEPS = 200  # that may be asked for, of each chunk
# In standard deviations of a latent; a step of Adam has about this size at first. Twice as much overshoots, and so does
# this where corrections have come near already.
_RATE, _RATE_AFTER = 0.12, 0.06
# Corrections of an encoding, unless asked otherwise. The first of sora-mini's four wins half of what all do.
USUAL_CORRECTIONS = 1
# What moves is what people look at: where a clip changes as much as on average, an error counts half as much again.
_MOVING = 0.5
_NEIGHBOURHOOD = 9  # pixels
# In latents. Frames of more than 320 pixels are refined in tiles: the gradients of a chunk of 320 x 320 take 1.2 GB.
_TILE, _REACH = 24, 8
_CHANGED = 0.03  # a variance over time that counts by half


def corrections(
    vae: VideoVAE,
    video: Tensor,
    weight: Tensor,
    latent: Tensor,
    decode: Callable[[Tensor], Tensor],
    caches: Sequence[FeatureCache | None],
    first: bool = True,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield latents and what they decode to: the encoder's, then those after each correction by `vae.corrector`.

    video: `[B,3,T,H,W]` in -1..1, a chunk, the beginning of a video if `first`; weight: how much its errors count, see
    `noticed`; latent: its latents `[B,C,t,h,w]`; decode: of that chunk. caches: one for each correction to make, None
    where nothing came before and nothing will come. Gradients must be on; those of the corrector's weights each come
    from the correction that they made, not from later ones.
    """
    patches, start = vae.to_patches(video, first), latent.detach()
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


def made(config: VAEConfig, asked: int | None) -> int:
    """Count the corrections that a VAE makes when so many are `asked` for: at most those that it has learned.

    None: `USUAL_CORRECTIONS`.
    """
    return min(USUAL_CORRECTIONS if asked is None else asked, config.corrections)


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


def _exact(vae: VideoVAE) -> VideoVAE:
    """Return `vae` in float32 and ready for gradients in a latent: itself where it is so, or else a copy."""
    weights = list(vae.parameters())
    if not vae.training and all(
        p.dtype == torch.float32 and not p.requires_grad and not p.is_inference() for p in weights
    ):
        return vae
    # ComfyUI loads and runs in inference mode, whose tensors take no gradients; and small steps need float32.
    with torch.inference_mode(False), torch.device("meta"):
        exact = VideoVAE(vae.config).requires_grad_(False).eval()
    with torch.inference_mode(False):
        exact.load_state_dict({name: value.clone() for name, value in vae.state_dict().items()}, assign=True)
        # By way of the precision that `vae` holds its statistics in: what it will decode with is rounded to that.
        return exact.to(vae.mean).float()


class Trials:
    """Decodes latents of one chunk to see what they give: the decoder's memory is read, and left as it was."""

    def __init__(self, vae: VideoVAE, memory: FeatureCache) -> None:
        self.vae, self.memory = vae, memory
        self.after = FeatureCache()  # what the memory would be after the last of them

    def __call__(self, z: Tensor) -> Tensor:
        """Decode `z` `[B,C,t,h,w]` as what follows the chunks before."""
        check_interrupted()
        self.after = FeatureCache()
        self.after.frames = dict(self.memory.frames)
        return next(self.vae.stream_decode(z, z.shape[2], self.after))


class Refiner:
    """Corrects and refines one video chunk by chunk, as it is encoded.

    Memory is that of one chunk's gradients, or of one tile's where frames are large.
    """

    def __init__(
        self, vae: VideoVAE, steps: int, tick: Callable[[], None] = lambda: None, corrections: int | None = None
    ) -> None:
        """Refine by so many steps of Adam (arXiv 1412.6980) for each chunk, 0 to `MAX_STEPS`.

        `tick()` is called after each, in every tile. corrections: how many of the VAE's own come first; None for
        `USUAL_CORRECTIONS`.
        """
        self.steps, self.tick = steps, tick
        self.corrections = made(vae.config, corrections)
        self.memories: list[Memory] = []
        self.vae = _exact(vae)

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
            decode, seen = Trials(self.vae, memory.decoder), False
            if self.corrections:
                z, seen = self._corrected(video, z, decode, memory)
            if self.steps:
                z, seen = self._descended(video, z, decode), False
            # What comes next sees what was found.
            if seen:
                memory.decoder = decode.after
            elif not last:
                with torch.no_grad():
                    decode(z)
                memory.decoder = decode.after
        return z

    def _corrected(self, video: Tensor, latent: Tensor, decode: Trials, memory: Memory) -> tuple[Tensor, bool]:
        """Correct as often as brings most: what the corrector never saw, such as noise, it may make worse.

        Returns latents, and whether they are what was decoded last, without gradients.
        """
        weight, best = noticed(video), latent
        least: Tensor | None = None
        better = torch.ones(len(video), dtype=torch.bool)
        caches, first = memory.correctors(self.corrections), not memory.decoder.frames
        for z, out in corrections(self.vae, video, weight, latent, decode, caches, first):
            error = (weight * (out.detach() - video).square()).mean((1, 2, 3, 4))
            better = error < (torch.inf if least is None else least)
            best = torch.where(better.view(-1, 1, 1, 1, 1), z.detach(), best)
            least = error if least is None else torch.where(better, error, least)
        return best, bool(better.all())

    def _descended(self, video: Tensor, z: Tensor, decode: Trials) -> Tensor:
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
