"""Crops of rendered clips, half of them at a subject: what a VAE learns from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import expect
from ..loop.config import LoopConfig
from ..loop.draws import Ranks
from .shards import BucketSampler, open_buckets

_AT_SUBJECT = 0.6  # of the crops: there is the motion, and the detail that people look at


@dataclass(frozen=True)
class CropConfig(LoopConfig):
    """Settings of a run on crops of clips."""

    init: str = ""  # a model whose VAE to go on from
    batch: int = 16  # crops
    crop: int = 64  # pixels, of either side
    frames: int = 9
    holdout: int = 64  # clips that are kept for scores, the last ones of the buckets


class Crops:
    """Draws batches of crops from the shards of `config.data` that are long enough. Raises SoraError without any."""

    def __init__(self, config: CropConfig, ranks: Ranks) -> None:
        found = open_buckets(Path(config.data))
        self.buckets = [b for b in found if b.frames is not None and b.frames.shape[1] >= config.frames]
        expect(
            bool(self.buckets),
            f"{config.data} holds no clips of {config.frames} frames or more. Render some, or use fewer `frames`.",
        )
        self.size, self.frames, self.seed, self.rank = config.crop, config.frames, config.seed, ranks.rank
        sizes = [len(b) - config.holdout // len(self.buckets) for b in self.buckets]
        self.sampler = BucketSampler(sizes, [config.batch] * len(sizes), sizes, config.seed, ranks)

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """Draw crops uint8 `[B,T,S,S,3]` and how much of them is a subject's, uint8 `[B,T,S/4,S/4]`."""
        number, indices = self.sampler.draw(step)
        bucket = self.buckets[number]
        frames, alpha = bucket.array("frames"), bucket.array("alpha")
        rng = np.random.default_rng([self.seed, step, self.rank, 1])
        size, count = self.size, self.frames
        _, t, h, w, _ = frames.shape
        videos, weights = [], []
        for i in indices:
            # In cells of 4 x 4 pixels, as the alpha has them.
            y, x = (int(rng.integers(0, (h - size) // 4 + 1)), int(rng.integers(0, (w - size) // 4 + 1)))
            start = int(rng.integers(0, (t - count) + 1))
            if rng.random() < _AT_SUBJECT:
                ys, xs = np.nonzero(alpha[i, start + count // 2])
                if len(ys):
                    k = int(rng.integers(len(ys)))
                    y = int(np.clip(ys[k] - rng.integers(0, size // 4), 0, (h - size) // 4))
                    x = int(np.clip(xs[k] - rng.integers(0, size // 4), 0, (w - size) // 4))
            video = frames[i, start : start + count, 4 * y : 4 * y + size, 4 * x : 4 * x + size]
            weight = alpha[i, start : start + count, y : y + size // 4, x : x + size // 4]
            if rng.random() < 0.5:
                video, weight = video[:, :, ::-1], weight[:, :, ::-1]
            videos.append(torch.from_numpy(np.ascontiguousarray(video)))
            weights.append(torch.from_numpy(np.ascontiguousarray(weight)))
        return torch.stack(videos), torch.stack(weights)


def crop_tensors(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Turn a draw into videos `[B,3,T,S,S]` in -1..1 and subject weights `[B,1,T,S,S]` in 0..1."""
    video, weight = batch
    video = video.permute(0, 4, 1, 2, 3).float() / 127.5 - 1
    weight = weight[:, None].float() / 255
    return video, weight.repeat_interleave(4, -1).repeat_interleave(4, -2)
