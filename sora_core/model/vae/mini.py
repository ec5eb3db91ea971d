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
from einops import rearrange
from torch import Tensor, nn

from ...errors import SoraError
from .causal import ChannelNorm, FeatureCache, Pointwise, ResBlock, SpatialConv
from .corrector import Corrector


@dataclass(frozen=True)
class VAEConfig:
    """Sizes of a `VideoVAE`. Pairs are for 1/4 and for 1/8 of the resolution."""

    latent_channels: int = 16
    patch: tuple[int, int, int] = (4, 4, 4)  # frames and pixels (t, y, x) of one position at 1/4
    width: tuple[int, int] = (128, 256)  # channels
    encoder_blocks: tuple[int, int] = (2, 2)
    decoder_blocks: tuple[int, int] = (3, 3)
    # How often latents are corrected by what they decode to (`corrector`), and sizes of the network that does.
    corrections: int = 0
    corrector_width: tuple[int, int] = (96, 192)
    corrector_blocks: tuple[int, int] = (1, 2)
    # Per-channel statistics of the encoder's output on the training world: latents leave `encode` with mean 0
    # and standard deviation 1, which is what the noise schedule assumes. Empty: 0 and 1, before they are measured.
    latent_mean: tuple[float, ...] = ()
    latent_std: tuple[float, ...] = ()

    @property
    def temporal_ratio(self) -> int:
        """Video frames of one latent."""
        return self.patch[0]

    @property
    def spatial_ratio(self) -> int:
        """Pixels a side of one cell of a latent."""
        return self.patch[1] * 2


class Encoder(nn.Module):
    """Patches to latents, before these are normalised."""

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
        """Encode patches `[B,192,t,H/4,W/4]` as `[B,C,t,H/8,W/8]`."""
        x = self.stem(patches)
        for block in self.blocks0:
            x = block(x, cache)
        x = self.down(rearrange(x, "b c t (h p) (w q) -> b (c p q) t h w", p=2, q=2))
        for block in self.blocks1:
            x = block(x, cache)
        return self.head(self.norm.silu(x))


class Decoder(nn.Module):
    """Latents, no longer normalised, to patches."""

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
        """Decode `[B,C,t,h,w]` to patches `[B,192,t,2h,2w]`."""
        x = self.stem(z)
        for block in self.blocks1:
            x = block(x, cache)
        x = rearrange(self.up(x), "b (c p q) t h w -> b c t (h p) (w q)", p=2, q=2)
        for block in self.blocks0:
            x = block(x, cache)
        return self.head(self.norm.silu(x))


class VideoVAE(nn.Module):
    """Video `[B,3,1+4k,H,W]` in -1..1 to normalised latent `[B,C,1+k,H/8,W/8]`, and back."""

    corrector: Corrector  # where the config has corrections
    # Statistics of the latents `[1,C,1,1,1]`, from the config: no tensors of a checkpoint, so they are not persistent.
    mean: Tensor
    std: Tensor

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
            # A checkpoint's parts are built on the meta device, which holds no values; nothing would bring these.
            buffer = torch.tensor(values, device="cpu").view(1, c, 1, 1, 1)
            self.register_buffer(name, buffer, persistent=False)

    # -- shapes -------------------------------------------------------------------------------------------
    def latent_frames(self, frames: int) -> int:
        """Count the latents of a video of `frames` frames: 1 + ceil((frames - 1) / 4)."""
        return 1 + -(-(frames - 1) // self.config.temporal_ratio)

    def video_frames(self, latents: int) -> int:
        """Count the frames that `latents` latents decode to: 1 + 4 (latents - 1)."""
        return 1 + self.config.temporal_ratio * (latents - 1)

    def check_video(self, video: Tensor) -> None:
        """Raise SoraError unless `video` is `[B,3,1+4k,H,W]`, H and W multiples of 8."""
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
        """Group pixels `[B,3,T,H,W]` into patches `[B,192,t,H/4,W/4]`; `first`: the chunk begins with frame 0."""
        pt, ph, pw = self.config.patch
        if first:
            # Frame 0 is a group of its own: repeated, so that it has as many frames as the others.
            video = torch.cat((video[:, :, :1].expand(-1, -1, pt - 1, -1, -1), video), 2)
        return rearrange(video, "b c (t p) (h q) (w r) -> b (c p q r) t h w", p=pt, q=ph, r=pw)

    def from_patches(self, patches: Tensor, first: bool = True) -> Tensor:
        """Put patches together again, see `to_patches`."""
        pt, ph, pw = self.config.patch
        video = rearrange(patches, "b (c p q r) t h w -> b c (t p) (h q) (w r)", p=pt, q=ph, r=pw)
        return video[:, :, pt - 1 :] if first else video

    def _encoded(self, video: Tensor, cache: FeatureCache | None = None, first: bool = True) -> Tensor:
        """Encode whole groups of frames and normalise them."""
        # Channels last is where the convolutions are fastest, see `SpatialConv`.
        x = self.to_patches(video, first).contiguous(memory_format=torch.channels_last_3d)
        # In the precision of the pixels: under autocast what the encoder gives has fewer bits.
        return (self.encoder(x, cache) - self.mean.to(x.dtype)) / self.std.to(x.dtype)

    def _decoded(self, latent: Tensor, cache: FeatureCache | None = None, first: bool = True) -> Tensor:
        """Undo the normalisation and decode whole groups of frames."""
        z = latent * self.std.to(latent.dtype) + self.mean.to(latent.dtype)
        return self.from_patches(self.decoder(z.contiguous(memory_format=torch.channels_last_3d), cache), first)

    # -- whole clips --------------------------------------------------------------------------------------
    def encode(self, video: Tensor) -> Tensor:
        """Encode `[B,3,1+4k,H,W]` as a normalised latent `[B,C,1+k,H/8,W/8]`. Raises SoraError for other shapes."""
        self.check_video(video)
        return self._encoded(video)

    def decode(self, latent: Tensor) -> Tensor:
        """Decode a normalised latent `[B,C,1+k,h,w]` to a video `[B,3,1+4k,8h,8w]`, not clamped."""
        return self._decoded(latent)

    # -- streams ------------------------------------------------------------------------------------------
    def stream_encode(self, chunks: Iterable[Tensor], cache: FeatureCache | None = None) -> Iterator[Tensor]:
        """Encode a video that arrives in chunks `[B,3,T,H,W]` of any length; yields latents as groups complete.

        Memory is that of one chunk. Equals `encode` of the concatenation. With a `cache` that has seen frames,
        the stream continues the video that filled it. Raises SoraError when the video ends within a group.
        """
        started = cache is not None and bool(cache.frames)
        cache = cache if cache is not None else FeatureCache()
        t, rest = self.config.temporal_ratio, None
        for chunk in chunks:
            rest = chunk if rest is None else torch.cat((rest, chunk), 2)
            ready = rest.shape[2] // t * t if started else (1 + (rest.shape[2] - 1) // t * t if rest.shape[2] else 0)
            if ready:
                part, rest = rest[:, :, :ready], rest[:, :, ready:]
                first, started = not started, True
                yield self._encoded(part, cache, first)
        if rest is not None and rest.shape[2]:
            raise SoraError(f"The video ends {rest.shape[2]} frames after a full group; it must have 1 + {t}k frames.")

    def stream_decode(
        self, latent: Tensor | Iterable[Tensor], chunk: int = 4, cache: FeatureCache | None = None
    ) -> Iterator[Tensor]:
        """Decode a normalised latent `[B,C,T,h,w]`, `chunk` latents at a time; yields chunks of video, not clamped.

        Equals `decode` of the whole. `latent` may itself be an iterable of chunks, so that a render of any length needs
        one chunk's memory. With a `cache` that has seen frames, the stream continues the video that filled it.
        """
        first = cache is None or not cache.frames
        cache = cache if cache is not None else FeatureCache()
        parts = latent.split(chunk, 2) if isinstance(latent, Tensor) else latent
        for part in parts:
            if part.shape[2]:
                yield self._decoded(part, cache, first)
                first = False
