"""Joining a VAE run and a DiT run into the one file that users load."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..checkpoint import load_parts, save
from ..errors import SoraError
from ..model.vae import VideoVAE
from .data import Bucket, open_buckets
from .latents import to_video


@torch.no_grad()
def latent_rgb(vae: VideoVAE, bucket: Bucket, clips: int = 24) -> dict[str, list]:
    """Least-squares map from a latent to the mean colour of its 8x8 cell: `rgb = z @ factors + bias`, 0..1.

    Previews use it: it costs nothing next to a decoder.
    """
    zs, colours = [], []
    for i in np.linspace(0, len(bucket) - 1, min(clips, len(bucket))).astype(int):
        video = to_video(bucket.frames[i])
        z = vae.encode(video)
        groups = torch.cat((video[:, :, :1], video[:, :, 4::4]), 2)  # the last frame of each group
        cells = F.avg_pool3d(groups, (1, 8, 8))
        zs.append(z.permute(0, 2, 3, 4, 1).flatten(0, 3))
        colours.append((cells.permute(0, 2, 3, 4, 1).flatten(0, 3) + 1) / 2)
    z: Tensor = torch.cat(zs)
    solution = torch.linalg.lstsq(torch.cat((z, torch.ones(len(z), 1)), 1), torch.cat(colours)).solution
    return {"factors": solution[:-1].tolist(), "bias": solution[-1].tolist()}


def assemble(
    vae_path: Path, dit_path: Path, data: Path, out: Path, name: str, shift: float = 3.0,
    steps: int | None = None, cfg: float | None = None, sampler: str | None = None,
) -> None:  # fmt: skip
    """Write `out` with dit, vae and text, and what a user of the model must know: fps, size, shift, preview colours,
    and how it samples best, where that is not as usual (`sora_core.editing.USUAL`)."""
    vae_parts, _ = load_parts(vae_path)
    dit_parts, dit_info = load_parts(dit_path)
    parts = {**dit_parts, **{k: v for k, v in vae_parts.items() if k == "vae"}}
    if lacking := sorted({"dit", "vae", "text"} - set(parts)):
        raise SoraError(
            f"No {', '.join(lacking)} in {vae_path.name} and {dit_path.name}: give the exports of both runs."
        )
    bucket = next(b for b in open_buckets(data) if b.frames is not None and b.frames.shape[1] > 1)
    info = {
        "name": name,
        "shift": shift,
        "fps": 8,
        "width": 128,
        "height": 128,
        "frames": 17,
        **{k: v for k, v in (("steps", steps), ("cfg", cfg), ("sampler", sampler)) if v is not None},
        "latent_rgb": latent_rgb(parts["vae"], bucket),
        "provenance": {
            "trained_on": "procedural video world of this project",
            "dit_steps": dit_info.get("step"),
        },
    }
    save(out, parts, info)
