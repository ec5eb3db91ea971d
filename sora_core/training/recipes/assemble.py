"""Joining a VAE run and a DiT run into the one file that users load."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ...errors import SoraError, expect
from ...loading.checkpoint import load_parts, save
from ...model.vae.mini import VideoVAE
from ..checkpoints import part_of
from ..data.latents import to_video
from ..data.shards import Bucket, open_buckets


@torch.no_grad()
def latent_rgb(vae: VideoVAE, bucket: Bucket, clips: int = 24) -> dict[str, list]:
    """Fit the map from a latent to the mean colour of its 8x8 cell: `rgb = z @ factors + bias`, 0..1, least squares.

    Previews use it: it costs nothing next to a decoder.
    """
    latents, colours = [], []
    for i in np.linspace(0, len(bucket) - 1, min(clips, len(bucket))).astype(int):
        video = to_video(bucket.array("frames")[i])
        z = vae.encode(video)
        groups = torch.cat((video[:, :, :1], video[:, :, 4::4]), 2)  # the last frame of each group
        cells = F.avg_pool3d(groups, (1, 8, 8))
        latents.append(z.permute(0, 2, 3, 4, 1).flatten(0, 3))
        colours.append((cells.permute(0, 2, 3, 4, 1).flatten(0, 3) + 1) / 2)
    inputs = torch.cat(latents)
    solution = torch.linalg.lstsq(torch.cat((inputs, torch.ones(len(inputs), 1)), 1), torch.cat(colours)).solution
    return {"factors": solution[:-1].tolist(), "bias": solution[-1].tolist()}


def mean_parts(paths: Sequence[Path]) -> tuple[dict[str, nn.Module], dict[str, Any]]:
    """Read parts and info of a model file, or the mean of the weights of several files of one training run.

    The mean is often better than each (model soups, arXiv 2203.05482). Raises SoraError for models of different layers.
    """
    (parts, info), *others = [load_parts(path) for path in paths]
    for name, part in parts.items():
        states = [part.state_dict(), *(other.get(name, nn.Module()).state_dict() for other, _ in others)]
        shapes = [{key: value.shape for key, value in state.items()} for state in states]
        if any(shape != shapes[0] for shape in shapes):
            raise SoraError(f"{', '.join(path.name for path in paths)} are not of one kind: their layers differ.")
        part.load_state_dict({key: torch.stack([s[key] for s in states]).mean(0) for key in states[0]})
    return parts, info


def assemble(
    vae_path: Path,
    dit_paths: Sequence[Path],
    data: Path,
    out: Path,
    name: str,
    shift: float = 3.0,
    steps: int | None = None,
    cfg: float | None = None,
    sampler: str | None = None,
) -> None:
    """Write `out` with dit, vae and text, and what a user of the model must know.

    That is fps, size, shift, preview colours from the clips in `data`, and how it samples best (steps, cfg, sampler)
    where that is not as usual. Several dit_paths: their mean. Raises SoraError for a shift
    out of range, and for parts that lack or do not fit.
    """
    expect(0 < shift <= 100, f"shift is {shift}. Use a number above 0, at most 100 (1 is no shift).")
    vae_parts, _ = load_parts(vae_path)
    dit_parts, dit_info = mean_parts(dit_paths)
    parts = {**dit_parts, **{k: v for k, v in vae_parts.items() if k == "vae"}}
    if lacking := sorted({"dit", "vae", "text"} - set(parts)):
        raise SoraError(
            f"No {', '.join(lacking)} in {vae_path.name} and {dit_paths[0].name}: give the exports of both runs."
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
        "latent_rgb": latent_rgb(part_of(parts, VideoVAE, vae_path), bucket),
        "provenance": {"trained_on": "procedural video world of this project", "dit_steps": dit_info.get("step")},
    }
    save(out, parts, info)
