"""What tests of long videos share: a sampler that needs no model, renders that stop, files that are compared."""

from __future__ import annotations

from pathlib import Path

import av
import torch

from sora_core.tasks.long.rolling import Roller, Rolling


class Stop(Exception):
    pass


def stop_after(segments: int):
    def tell(progress):
        if progress.segment >= segments:
            raise Stop

    return tell


def toy_roller(rolling: Rolling, drift: float = 0.0, seen: list | None = None) -> Roller:
    """A sampler that goes on from the last kept latent, a little brighter each time, with noise on top."""

    def sample(latent, conditioning, sigmas, seed):
        samples, mask = latent["samples"], latent.get("noise_mask")
        if seen is not None:
            seen.append((latent, sigmas))
        noise = torch.randn(samples.shape, generator=torch.Generator().manual_seed(seed % 2**63))
        last = samples[:, :, :1] * 0 if mask is None else samples[:, :, int((mask[0, 0, :, 0, 0] == 0).sum()) - 1, None]
        made = 0.9 * noise + last.mean((2, 3, 4), keepdim=True) + drift
        return made if mask is None else torch.where(mask > 0, made, samples)

    sigmas = torch.tensor([1.0, 0.8, 0.5, 0.2, 0.0])
    return Roller(sample, lambda first, length: [], sigmas, (4, 6, 6), 7, rolling)


def same_video(a: Path, b: Path) -> bool:
    """Whether two files hold the same pictures, bit by bit; a signature has a time and an id of its own."""

    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(video=0)]

    return packets(a) == packets(b)
