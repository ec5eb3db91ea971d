"""The observer: a small network that names what a clip of the world shows.

Pixels in, facts out. A convolutional trunk sees each frame and its change since the one before. Channels that are
shifted in time (Lin et al., TSM, ICCV 2019) let neighbouring frames see each other at no cost. A small transformer over
one vector a frame sees the whole clip. Where a lone subject is in a frame is told by a branch of its own (`Tracker`),
of twice the trunk's resolution. The observer never sees latents: a classifier of latents would flatter the model that
made them.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import SoraError
from ..loading import checkpoint

SIZE = 64  # pixels a side of what the network sees
GRID = 8  # cells a side of its maps
WINDOW = 17  # frames that it sees at once
FPS = 8


@dataclass(frozen=True)
class ObserverConfig:
    """What the network can say (each head's classes in order), and how large it is."""

    subjects: tuple[str, ...]
    scenes: tuple[str, ...]
    motions: tuple[str, ...]  # each turn of "spin" is a motion of its own
    cameras: tuple[str, ...]
    styles: tuple[str, ...]
    times: tuple[str, ...]  # of day
    weathers: tuple[str, ...]
    # "none" first; "side" is left and right, which are one relation seen from its two ends.
    relations: tuple[str, ...]
    events: tuple[str, ...]
    most_subjects: int = 2
    width: tuple[int, int, int] = (24, 48, 96)  # channels of the trunk at 32x32, 16x16 and 8x8
    track: tuple[int, int] = (24, 48)  # channels of the tracker at 32x32 and 16x16
    blocks: int = 3  # of the trunk at 8x8, and of the tracker
    dim: int = 128  # of the transformer's one vector a frame
    depth: int = 2  # its layers
    num_heads: int = 4

    def heads(self) -> dict[str, int]:
        """Return the number of classes of each head that says one thing a frame."""
        return {
            "scene": len(self.scenes),
            "camera": len(self.cameras),
            "style": len(self.styles),
            "time": len(self.times),
            "weather": len(self.weathers),
            "number": self.most_subjects,
            "relation": len(self.relations),
        }


def groups(frames: int) -> int:
    """Return how many maps a clip of `frames` = 1 + 4k frames has: one for the first, one for every four after it."""
    return 1 + (frames - 1) // 4


def to_groups(x: Tensor) -> Tensor:
    """Average `[B,1+4k,...]` over groups of frames, as `groups` counts them: `[B,1+k,...]`."""
    rest = x[:, 1:].unflatten(1, (-1, 4)).mean(2) if x.shape[1] > 1 else x[:, :0]
    return torch.cat((x[:, :1], rest), 1)


def shift_in_time(x: Tensor, share: int = 8) -> Tensor:
    """Shift `[B,T,C,H,W]`: one channel in `share` comes from the frame before, one from the frame after."""
    n = x.shape[2] // share
    before = F.pad(x[:, :-1, :n], (0, 0, 0, 0, 0, 0, 1, 0))
    after = F.pad(x[:, 1:, n : 2 * n], (0, 0, 0, 0, 0, 0, 0, 1))
    return torch.cat((before, after, x[:, :, 2 * n :]), 2)


class Block(nn.Module):
    """Residual 3x3 convolution of frames that have seen their neighbours."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(width, width, 3, padding=1)
        self.mix = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.mix.weight)  # a block starts as the identity

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Mix `[B*T,C,H,W]` in space, and with the neighbours in time; `frames` is T."""
        # RMS norm over the channels of each place.
        y = x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-6)
        y = shift_in_time(y.unflatten(0, (-1, frames))).flatten(0, 1)
        y = y.contiguous(memory_format=torch.channels_last)
        return x + self.mix(F.gelu(self.spatial(y)))


class Layer(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.up, self.down = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Attend among the frames of `[B,T,dim]`."""
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


def time_code(frames: int, dim: int) -> Tensor:
    """Return the sinusoidal code `[T,dim]` of the frame number (Vaswani et al. 2017)."""
    # Base 100, not 10,000: a window has 17 frames.
    rate = torch.exp(torch.arange(0, dim, 2) * (-math.log(100.0) / dim))
    angle = torch.arange(frames)[:, None] * rate
    return torch.cat((angle.sin(), angle.cos()), 1)


def cell_centres(side: int = GRID) -> Tensor:
    """Return x and y `[side*side,2]` of a map's cells, row by row, as fractions of the frame."""
    y, x = torch.meshgrid(*[(torch.arange(side) + 0.5) / side] * 2, indexing="ij")
    return torch.stack((x.flatten(), y.flatten()), 1)


class Tracker(nn.Module):
    """Where a lone subject is in every frame: the mean of the places that 16x16 cells vote for.

    This is a soft argmax (Levine et al., JMLR 17, 2016). Each frame is seen alone and against what stays: a path that
    is judged by its fit to a parabola and by where it ends must not be drawn to where things usually are, least of all
    at a touchdown, which lasts a frame.
    """

    def __init__(self, config: ObserverConfig) -> None:
        super().__init__()
        a, b = config.track
        self.stem = nn.Conv2d(9, a, 3, stride=2, padding=1)
        self.down = nn.Conv2d(a, b, 3, stride=2, padding=1)
        self.hint = nn.Conv2d(config.width[-1], b, 1)
        self.blocks = nn.ModuleList(Block(b) for _ in range(config.blocks))
        self.head = nn.Conv2d(b, 3, 1)

    def forward(self, video: Tensor, change: Tensor, seen: Tensor) -> Tensor:
        """Track the subject: `[B,T,2]`, x and y as fractions of the frame.

        video, change: the frames and their change since the one before, `[B,T,3,64,64]`. seen: the trunk's maps
        `[B*T,C,8,8]`.
        """
        frames = video.shape[1]
        x = torch.cat((video, change, video - video.mean(1, keepdim=True)), 2).flatten(0, 1)
        x = self.down(F.gelu(self.stem(x.contiguous(memory_format=torch.channels_last))))
        x = F.gelu(x + F.interpolate(self.hint(seen), scale_factor=2))
        for block in self.blocks:
            x = block(x, frames)
        votes, offsets = self.head(x).float().flatten(2).split((1, 2), 1)
        # A cell votes for a place up to two cells from its own centre.
        places = cell_centres(2 * GRID).T.to(offsets) + offsets.tanh() / GRID
        return (places * votes.softmax(-1)).sum(-1).unflatten(0, (-1, frames))


class Observer(nn.Module):
    """The whole network: trunk, transformer, tracker and heads."""

    def __init__(self, config: ObserverConfig) -> None:
        super().__init__()
        self.config = config
        a, b, c = config.width
        self.stem = nn.Conv2d(6, a, 3, stride=2, padding=1)
        self.down1 = nn.Conv2d(a, b, 3, stride=2, padding=1)
        self.block1 = Block(b)
        self.down2 = nn.Conv2d(b, c, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(Block(c) for _ in range(config.blocks))
        self.squeeze = nn.Conv2d(c, 16, 1)
        self.gather = nn.Linear(16 * GRID * GRID, config.dim)
        self.layers = nn.ModuleList(Layer(config.dim, config.num_heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim)
        self.spread = nn.Linear(config.dim, c)
        self.map_mix = nn.Conv2d(c, c, 1)
        self.map_head = nn.Conv2d(c, 1 + len(config.subjects) + len(config.motions), 1)
        self.frame_head = nn.Linear(config.dim, sum(config.heads().values()) + 1 + len(config.events))
        self.tracker = Tracker(config)

    def forward(self, video: Tensor) -> dict[str, Tensor]:
        """Watch `[B,T,3,64,64]` in -1..1, T = 1 + 4k up to 17; returns logits by name.

        "subjects": `[B,1+k,S+1,8,8]`, class 0 is nothing.
        "motions": `[B,1+k,M,8,8]`, of what is there.
        Each head of `config.heads()`: `[B,T,n]`.
        "cut": `[B,T]`, a shot begins here.
        "states": `[B,T,E]`, the event's effect is seen now.
        "centre": `[B,T,2]`, no logits but x and y of a lone subject as fractions of the frame.
        """
        cfg, frames = self.config, video.shape[1]
        change = torch.cat((torch.zeros_like(video[:, :1]), video[:, 1:] - video[:, :-1]), 1)
        x = torch.cat((video, change), 2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        x = self.block1(F.gelu(self.down1(F.gelu(self.stem(x)))), frames)
        x = F.gelu(self.down2(x))
        for block in self.blocks:
            x = block(x, frames)
        clip = self.gather(F.gelu(self.squeeze(x)).flatten(1)).unflatten(0, (-1, frames))
        clip = clip + time_code(frames, cfg.dim).to(clip)
        for layer in self.layers:
            clip = layer(clip)
        clip = self.norm(clip)
        x = x + self.spread(clip).flatten(0, 1)[..., None, None].to(x.dtype)
        centre = self.tracker(video, change, x)
        maps = to_groups(F.gelu(self.map_mix(x)).unflatten(0, (-1, frames)))
        maps = self.map_head(maps.flatten(0, 1)).unflatten(0, (-1, groups(frames))).float()
        subjects, motions = maps.split((1 + len(cfg.subjects), len(cfg.motions)), 2)
        heads = cfg.heads()
        *said, cut, states = self.frame_head(clip).float().split((*heads.values(), 1, len(cfg.events)), -1)
        out = dict(zip(heads, said, strict=True))
        return {"subjects": subjects, "motions": motions, **out, "cut": cut[..., 0], "states": states, "centre": centre}


def shrink(frames: Tensor) -> Tensor:
    """Shrink `[T,H,W,3]` float 0..1 of any size to what the observer sees: `[T,3,64,64]` in -1..1."""
    small = F.interpolate(frames.movedim(-1, 1).float(), (SIZE, SIZE), mode="area")
    return small * 2 - 1


def save_observer(path: Path, observer: Observer) -> None:
    """Write an observer as a checkpoint. Raises SoraError where that cannot be written."""
    checkpoint.save_part(path, "observer", observer)


@lru_cache(maxsize=2)
def load_observer(name: str | Path = "observer") -> Observer:
    """Load the embedded observer, or that of a file. Raises SoraError for what is no observer or does not fit."""
    path = checkpoint.resolve(name, "observer")
    meta, tensors = checkpoint.read(path)
    data = meta["parts"].get("observer")
    if data is None:
        raise SoraError(f"{path.name} holds {', '.join(meta['parts'])}, no observer. Train one: `sora train observer`.")
    known = {field.name for field in dataclasses.fields(ObserverConfig)}
    if set(data) != known:
        differ = ", ".join(sorted(set(data) ^ known))
        raise SoraError(f"{path.name} is of another version ({differ}). Train one: `sora train observer`.")
    # JSON has no tuples.
    config: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    with torch.device("meta"):
        observer = Observer(ObserverConfig(**config))
    state = {key.removeprefix("observer."): value.float() for key, value in tensors.items()}
    checkpoint.assign(observer, state, path.name)
    return observer
