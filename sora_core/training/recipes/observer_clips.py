"""Clips of the world as the observer sees them: shrunk once, half of them through the VAE, kept in the run's folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import SoraError
from ...loading.checkpoint import load_parts
from ...model.vae.mini import VideoVAE
from ...observer.network import SIZE, shrink
from ..data.latents import to_video
from ..data.shards import Bucket, open_buckets

_SHORTEST = 5  # frames of a clip


@dataclass(frozen=True)
class ShrinkSettings:
    """Which clips pass through the VAE."""

    vae: str = ""  # a checkpoint
    latents: str = ""  # folder of `sora train latents`, which saves the encoding
    vae_share: float = 0.5  # of the clips
    # The most noise on their latents: what a transformer makes is never quite on the manifold.
    latent_noise: float = 0.3
    per_bucket: int = 4000  # clips of each shape at most


@dataclass
class ShrunkClips:
    """Clips of one shape; the arrays are memory maps."""

    name: str
    facts: list[dict[str, Any]]
    frames: np.ndarray  # uint8 [N,T,64,64,3]
    decoded: np.ndarray  # uint8 [N], 1 for clips that passed through the VAE
    labels: np.ndarray  # uint8 [N,1+k,h,w], see `data.shards`; may hold more clips

    def __len__(self) -> int:
        return len(self.facts)


@torch.no_grad()
def shrink_clips(
    data: Path, out: Path, settings: ShrinkSettings, device: torch.device, bf16: bool
) -> list[ShrunkClips]:
    """Write every clip of `data` of five frames or more at 64x64 under `out`, and map them.

    bf16: what the VAE computes in. Resumes at the first unfinished bucket. Raises SoraError without a VAE where one is
    needed, for a folder of other data, and when no clip is long enough.
    """
    vae = load_parts(settings.vae, device=str(device))[0].get("vae") if settings.vae else None
    if not isinstance(vae, VideoVAE):
        vae = None
        if settings.vae_share > 0:
            advice = "Give the model.safetensors of a VAE run, or vae_share=0."
            raise SoraError(f"vae = {settings.vae!r} holds no VAE. {advice}")
    encoded = {b.name: b for b in open_buckets(Path(settings.latents))} if settings.latents else {}
    shrinker = _Shrinker(vae, encoded, settings.latent_noise, device, bf16)
    clips = []
    for bucket in open_buckets(data):
        if bucket.frames is None or bucket.frames.shape[1] < _SHORTEST:
            continue
        count = min(len(bucket), settings.per_bucket)
        folder = out / "pixels" / bucket.name
        if not folder.exists():
            shrinker.write(bucket, count, settings.vae_share, folder)
        pixels, decoded = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("frames", "through"))
        if len(pixels) != count:
            raise SoraError(f"{folder} holds {len(pixels)} clips of {count}: it is of other data. Use another `out`.")
        clips.append(ShrunkClips(bucket.name, bucket.facts[:count], pixels, decoded, bucket.array("labels")))
    if not clips:
        raise SoraError(f"{data} holds no clips of five frames or more. Render some: --shape 17x96x96=4000.")
    return clips


class _Shrinker:
    """Writes buckets of shrunk clips."""

    def __init__(
        self,
        vae: VideoVAE | None,
        encoded: Mapping[str, Bucket],  # latents of clips, by bucket
        latent_noise: float,
        device: torch.device,
        bf16: bool,
    ) -> None:
        self.vae, self.encoded, self.latent_noise = vae, encoded, latent_noise
        self.device, self.bf16 = device, bf16

    def write(self, bucket: Bucket, count: int, vae_share: float, folder: Path) -> None:
        """Write the first `count` clips, a share of them through the VAE; the folder appears when complete."""
        frames = bucket.array("frames")
        part = folder.with_name(folder.name + ".part")
        part.mkdir(parents=True, exist_ok=True)
        shape = (count, frames.shape[1], SIZE, SIZE, 3)
        small = np.lib.format.open_memmap(part / "frames.npy", "w+", np.uint8, shape)
        decoded = (np.random.default_rng(len(bucket)).random(count) < vae_share).astype(np.uint8)
        for i in range(count):
            video = to_video(frames[i], self.device)
            if decoded[i]:
                video = self._decode(video, bucket.name, i)
            pixels = (shrink((video[0].movedim(0, -1) + 1) / 2) + 1) * 127.5
            small[i] = pixels.movedim(1, -1).round().clamp(0, 255).byte().cpu().numpy()
        small.flush()
        np.save(part / "through.npy", decoded)
        os.replace(part, folder)
        print(f"{bucket.name}: {count} clips at {SIZE}x{SIZE}", flush=True)

    def _decode(self, video: Tensor, name: str, i: int) -> Tensor:
        """Return a clip as the decoder gives it back, from latents that are a little off."""
        assert self.vae is not None
        generator = torch.Generator().manual_seed(i)
        with torch.autocast(video.device.type, torch.bfloat16, enabled=self.bf16):
            if name in self.encoded:
                latents = self.encoded[name].array("latents")
                z = torch.from_numpy(np.array(latents[i : i + 1])).to(video.device)
            else:
                z = self.vae.encode(video)
            amount = self.latent_noise * float(torch.rand((), generator=generator))
            noise = torch.randn(z.shape, generator=generator).to(z.device)
            return self.vae.decode(z.float() + amount * noise).float().clamp(-1, 1)
