"""Encoding of rendered clips into latent shards, and the latent statistics of a VAE."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...loading.checkpoint import assign
from ...model.vae.mini import VideoVAE
from ..checkpoints import load_part
from .shards import Bucket, open_buckets


def to_video(frames: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Turn uint8 frames `[...,T,H,W,3]` into a float video `[B,3,T,H,W]` in -1..1."""
    x = torch.from_numpy(np.array(frames)).to(device)
    x = x[None] if x.ndim == 4 else x
    return x.permute(0, 4, 1, 2, 3).float() / 127.5 - 1


@torch.no_grad()
def with_latent_statistics(vae: VideoVAE, bucket: Bucket, device: torch.device | str, clips: int = 48) -> VideoVAE:
    """Copy `vae` so that its latents have mean 0 and standard deviation 1 per channel over `clips` clips."""
    frames = bucket.array("frames")
    picks = np.linspace(0, len(bucket) - 1, min(clips, len(bucket))).astype(int)
    z = torch.cat([vae.encode(to_video(frames[i], device)) for i in picks])
    # What the encoder gave before this VAE's own statistics.
    z = z.float() * torch.as_tensor(vae.std, device=z.device) + torch.as_tensor(vae.mean, device=z.device)
    mean, std = z.mean((0, 2, 3, 4)), z.std((0, 2, 3, 4))
    config = dataclasses.replace(vae.config, latent_mean=tuple(mean.tolist()), latent_std=tuple(std.tolist()))
    copy = VideoVAE(config)
    assign(copy, vae.state_dict(), "VAE")
    return copy.to(device)


@torch.no_grad()
def encode_shards(
    data: Path, out: Path, vae_path: Path, device: str = "cpu", batch: int = 8, bf16: bool = True
) -> None:
    """Encode every bucket of `data` with the VAE at `vae_path`, `batch` clips at a time.

    Resumes at the first unfinished bucket. Raises SoraError for a file without a VAE, and without shards.
    """
    vae = load_part(vae_path, VideoVAE, device)
    for bucket in open_buckets(data):
        final = Path(out) / bucket.name
        if final.exists() or bucket.frames is None:
            continue
        part = final.with_name(final.name + ".part")
        part.mkdir(parents=True, exist_ok=True)
        array: np.memmap | None = None
        for i in range(0, len(bucket), batch):
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bf16):
                z = vae.encode(to_video(bucket.frames[i : i + batch], device)).float()
            if array is None:
                shape = (len(bucket), *z.shape[1:])
                array = np.lib.format.open_memmap(part / "latents.npy", "w+", np.float16, shape)
            array[i : i + batch] = z.cpu().numpy()
        if array is not None:
            array.flush()
        for name in ("labels.npy", "facts.jsonl"):
            shutil.copyfile(Path(data) / bucket.name / name, part / name)
        os.replace(part, final)
        print(f"{bucket.name}: {len(bucket)} clips", flush=True)
