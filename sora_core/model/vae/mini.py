"""The causal video VAE of sora-mini: 4x8x8 compression, 16 latent channels.

Pixels enter as 4x4x4 patches (the patching of Cosmos Tokenizer, arXiv 2501.03575, without its wavelet; LTX-Video,
arXiv 2501.00103, does the same in space), so every layer works at the latent frame rate and the wide layers at
1/4 and 1/8 of the resolution: on a CPU that is worth more than depth at full resolution.

Frame 0 is a group of its own (repeated four times), frames 4k-3..4k are group k: `1+4k` frames become `1+k`
latents, and a still image is a one-frame video (MAGVIT-v2, arXiv 2310.05737). Convolutions are factorised into
1x3x3 in space and a causal 3x1x1 in time. A layer's only memory of the past is its last two input frames, kept
in a `FeatureCache`: encoding or decoding in chunks with the cache equals doing it in one go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ...errors import SoraError
from .causal import ChannelNorm, FeatureCache, Pointwise, ResBlock, SpatialConv
from .corrector import Corrector


@dataclass(frozen=True)
class VAEConfig:
    """Sizes of a `VideoVAE`. `width` is the channel count at 1/4 and at 1/8 of the resolution."""

    latent_channels: int = 16
    patch: tuple[int, int, int] = (4, 4, 4)
    width: tuple[int, int] = (128, 256)
    encoder_blocks: tuple[int, int] = (2, 2)
    decoder_blocks: tuple[int, int] = (3, 3)
    # How often latents are corrected by what they decode to (`model.corrector`), and sizes of the network that does.
    corrections: int = 0
    corrector_width: tuple[int, int] = (96, 192)
    corrector_blocks: tuple[int, int] = (1, 2)
    # Per-channel statistics of the encoder's output on the training world: latents leave `encode` with mean 0
    # and standard deviation 1, which is what the noise schedule assumes.
    latent_mean: tuple[float, ...] = ()
    latent_std: tuple[float, ...] = ()

    @property
    def temporal_ratio(self) -> int:
        return self.patch[0]

    @property
    def spatial_ratio(self) -> int:
        return self.patch[1] * 2


class Encoder(nn.Module):
    def __init__(self, cfg: VAEConfig) -> None:
        super().__init__()
        pt, ph, pw = cfg.patch
        c0, c1 = cfg.width
        self.stem = SpatialConv(3 * pt * ph * pw, c0)
        self.blocks0 = nn.ModuleList(ResBlock(c0) for _ in range(cfg.encoder_blocks[0]))
        self.down = Pointwise(4 * c0, c1)
        self.blocks1 = nn.ModuleList(ResBlock(c1) for _ in range(cfg.encoder_blocks[1]))
        self.norm = ChannelNorm(c1)
        self.head = SpatialConv(c1, cfg.latent_channels)

    def forward(self, patches: Tensor, cache: FeatureCache | None = None) -> Tensor:
        x = self.stem(patches)
        for block in self.blocks0:
            x = block(x, cache)
        x = self.down(rearrange(x, "b c t (h p) (w q) -> b (c p q) t h w", p=2, q=2))
        for block in self.blocks1:
            x = block(x, cache)
        return self.head(F.silu(self.norm(x)))


class Decoder(nn.Module):
    def __init__(self, cfg: VAEConfig) -> None:
        super().__init__()
        pt, ph, pw = cfg.patch
        c0, c1 = cfg.width
        self.stem = SpatialConv(cfg.latent_channels, c1)
        self.blocks1 = nn.ModuleList(ResBlock(c1) for _ in range(cfg.decoder_blocks[1]))
        self.up = Pointwise(c1, 4 * c0)
        self.blocks0 = nn.ModuleList(ResBlock(c0) for _ in range(cfg.decoder_blocks[0]))
        self.norm = ChannelNorm(c0)
        self.head = SpatialConv(c0, 3 * pt * ph * pw)

    def forward(self, z: Tensor, cache: FeatureCache | None = None) -> Tensor:
        x = self.stem(z)
        for block in self.blocks1:
            x = block(x, cache)
        x = rearrange(self.up(x), "b (c p q) t h w -> b c t (h p) (w q)", p=2, q=2)
        for block in self.blocks0:
            x = block(x, cache)
        return self.head(F.silu(self.norm(x)))


class VideoVAE(nn.Module):
    """Video `[B,3,1+4k,H,W]` in -1..1  <->  normalised latent `[B,C,1+k,H/8,W/8]`."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        if config.corrections:
            self.corrector = Corrector(
                config.latent_channels, config.patch, config.corrector_width, config.corrector_blocks
            )
        c = config.latent_channels
        stats = (config.latent_mean or (0.0,) * c, config.latent_std or (1.0,) * c)
        for name, values in zip(("mean", "std"), stats, strict=True):
            self.register_buffer(name, torch.tensor(values).view(1, c, 1, 1, 1), persistent=False)

    # -- shapes -------------------------------------------------------------------------------------------
    def latent_frames(self, frames: int) -> int:
        """Latent frames of a video of `frames` frames: 1 + ceil((frames - 1) / 4)."""
        return 1 + -(-(frames - 1) // self.config.temporal_ratio)

    def video_frames(self, latents: int) -> int:
        """Frames that `latents` latent frames decode to: 1 + 4 (latents - 1)."""
        return 1 + self.config.temporal_ratio * (latents - 1)

    def check_video(self, video: Tensor) -> None:
        r, t = self.config.spatial_ratio, self.config.temporal_ratio
        if video.ndim != 5 or video.shape[1] != 3:
            raise SoraError(f"The VAE encodes [B,3,T,H,W]; got {list(video.shape)}.")
        frames, h, w = video.shape[2:]
        if h % r or w % r:
            raise SoraError(f"The VAE needs height and width in multiples of {r}; got {w}x{h}. Resize or crop first.")
        if (frames - 1) % t:
            raise SoraError(
                f"The VAE encodes 1 + {t}k frames; got {frames}. Use {1 + (frames - 1) // t * t} or "
                f"{1 + -(-(frames - 1) // t) * t} frames."
            )

    # -- patches ------------------------------------------------------------------------------------------
    def to_patches(self, video: Tensor, first: bool = True) -> Tensor:
        """Group pixels into 4x4x4 patches; `first` says that the chunk begins with frame 0."""
        pt, ph, pw = self.config.patch
        if first:
            video = torch.cat((video[:, :, :1].expand(-1, -1, pt - 1, -1, -1), video), 2)
        return rearrange(video, "b c (t p) (h q) (w r) -> b (c p q r) t h w", p=pt, q=ph, r=pw)

    def from_patches(self, patches: Tensor, first: bool = True) -> Tensor:
        pt, ph, pw = self.config.patch
        video = rearrange(patches, "b (c p q r) t h w -> b c (t p) (h q) (w r)", p=pt, q=ph, r=pw)
        return video[:, :, pt - 1 :] if first else video

    # -- whole clips --------------------------------------------------------------------------------------
    def encode(self, video: Tensor) -> Tensor:
        """`[B,3,1+4k,H,W]` -> normalised latent `[B,C,1+k,H/8,W/8]`. Raises `SoraError` on other shapes."""
        self.check_video(video)
        x = self.to_patches(video).contiguous(memory_format=torch.channels_last_3d)
        return (self.encoder(x) - self.mean.to(x.dtype)) / self.std.to(x.dtype)

    def decode(self, latent: Tensor) -> Tensor:
        """Normalised latent `[B,C,1+k,h,w]` -> video `[B,3,1+4k,8h,8w]`, not clamped."""
        z = latent * self.std.to(latent.dtype) + self.mean.to(latent.dtype)
        return self.from_patches(self.decoder(z.contiguous(memory_format=torch.channels_last_3d)))

    # -- streams ------------------------------------------------------------------------------------------
    def stream_encode(self, chunks: Iterable[Tensor], cache: FeatureCache | None = None) -> Iterator[Tensor]:
        """Encode a video that arrives in chunks of any length; yields latents as groups complete.

        Memory is that of one chunk. Equals `encode` of the concatenation. With a `cache` that has seen frames,
        the stream continues the video that filled it.
        """
        started = cache is not None and bool(cache.frames)
        cache = cache if cache is not None else FeatureCache()
        t, rest = self.config.temporal_ratio, None
        for chunk in chunks:
            rest = chunk if rest is None else torch.cat((rest, chunk), 2)
            ready = rest.shape[2] // t * t if started else (1 + (rest.shape[2] - 1) // t * t if rest.shape[2] else 0)
            if ready:
                part, rest = rest[:, :, :ready], rest[:, :, ready:]
                x = self.to_patches(part, first=not started).contiguous(memory_format=torch.channels_last_3d)
                started = True
                yield (self.encoder(x, cache) - self.mean.to(x.dtype)) / self.std.to(x.dtype)
        if rest is not None and rest.shape[2]:
            raise SoraError(f"The video ends {rest.shape[2]} frames after a full group; it must have 1 + {t}k frames.")

    def stream_decode(
        self, latent: Tensor | Iterable[Tensor], chunk: int = 4, cache: FeatureCache | None = None
    ) -> Iterator[Tensor]:
        """Decode `chunk` latent frames at a time; yields video chunks. Equals `decode` of the whole.

        `latent` may itself be an iterable of latent chunks, so a render of any length needs one chunk's memory.
        """
        first = cache is None or not cache.frames
        cache = cache if cache is not None else FeatureCache()
        parts = latent.split(chunk, 2) if isinstance(latent, Tensor) else latent
        for part in parts:
            z = part * self.std.to(part.dtype) + self.mean.to(part.dtype)
            yield self.from_patches(self.decoder(z.contiguous(memory_format=torch.channels_last_3d), cache), first)
            first = False
