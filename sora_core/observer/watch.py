"""Watching a video: what the observer sees in it as facts, as the world has them, and how sure it is.

A video of any size, length and rate is resampled to 8 frames a second and seen in windows of 17 frames that overlap by
half. What the windows say of a frame is averaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import expect
from ..language.captions import caption
from ..media.clips import MAX_READ_RATE, read_clip
from ..media.frames import resample_frames
from ..media.sizes import check_rate
from ..media.video import probe
from .facts import groups_until, read_facts, subject_area
from .network import FPS, SIZE, WINDOW, Observer, cell_centres, groups, load_observer, shrink

HOP = 8  # frames between windows
MAPS = ("subjects", "motions")  # what the observer says of four frames at a time
FIRST_WEIGHT = 0.1  # of the first frame of a later window, which lacks what came before it


@dataclass(frozen=True)
class Sight:
    """What was seen in a video, at 8 frames a second."""

    facts: dict[str, Any]  # as `sora_core.training.world` has them, enough for `caption`
    confidence: dict[str, float]  # 0..1 of each fact, and "overall"
    # By name: "centre" `[T,2]` of a lone subject, x and y as fractions of the frame; "cut" `[T]`, "states" `[T,E]` and
    # "scenes" `[T,n]`, probabilities; "subjects" `[1+k,S]`, the share of the frame that shows each, and "places"
    # `[1+k,S,2]`, where it does.
    tracks: dict[str, np.ndarray]

    def say(self, language: str = "en", length: str = "medium", seed: int = 0) -> str:
        """Return a caption; `seed` draws the wording."""
        return caption(self.facts, np.random.default_rng(seed), language, length)


def watch_file(path: str | Path, observer: Observer | None = None) -> Sight:
    """Watch a video file. Raises SoraError for what is no video or too long."""
    info = probe(path)
    # Twice what the observer sees is enough to shrink from, and keeps a long video small in memory.
    expect(min(info.width, info.height) > 0, f"{path} holds no picture that can be read: it is cut short or damaged.")
    scale = min(2 * SIZE / min(info.width, info.height), 1)
    width, height = (max(2, round(side * scale / 2) * 2) for side in (info.width, info.height))
    clip = read_clip(path, fps=FPS, size=(width, height), multiple=2, sound=False)
    return watch(clip.frames, FPS, observer)


def watch(frames: Tensor, fps: float = FPS, observer: Observer | None = None) -> Sight:
    """Watch frames `[T,H,W,3]` float 0..1 that run at `fps`. A picture is a clip of one frame.

    Raises SoraError for other shapes, no frames, and a rate out of range.
    """
    expect(
        frames.ndim == 4 and frames.shape[0] > 0 and frames.shape[-1] == 3,
        f"Frames have the shape [T,H,W,3], not {list(frames.shape)}.",
    )
    check_rate(fps, MAX_READ_RATE)
    return watch_pixels(shrink(resample_frames(frames, fps, FPS)), observer or load_observer())


def watch_pixels(pixels: Tensor, observer: Observer) -> Sight:
    """Watch what `shrink` gives, `[T,3,64,64]` at 8 frames a second."""
    (sight,) = watch_batch(pixels[None], observer)
    return sight


@torch.no_grad()
def watch_batch(pixels: Tensor, observer: Observer) -> list[Sight]:
    """Watch clips of one length, `[B,T,3,64,64]` as `shrink` gives them."""
    averaged = _average_windows(pixels, observer)
    sights = []
    for i in range(len(pixels)):
        logits = {name: value[i] for name, value in averaged.items()}
        tracks = _tracks(logits)
        facts, confidence = read_facts(logits, tracks, observer.config)
        sights.append(Sight(facts, {name: round(value, 3) for name, value in confidence.items()}, tracks))
    return sights


def _average_windows(pixels: Tensor, observer: Observer) -> dict[str, Tensor]:
    """Show clips `[B,T,3,64,64]` to the observer window by window; returns the mean of its logits, on the CPU."""
    total = pixels.shape[1]
    device = next(observer.parameters()).device
    length = min(WINDOW, 1 + 4 * -(-(total - 1) // 4))
    starts = range(0, max(1, total - length + HOP), HOP)
    padded = starts[-1] + length - total
    if padded > 0:  # the last frame stands still until the last window is full
        pixels = torch.cat((pixels, pixels[:, -1:].expand(-1, padded, -1, -1, -1)), 1)
    sums: dict[str, Tensor] = {}
    counts: dict[str, Tensor] = {}
    for start in starts:
        out = observer(pixels[:, start : start + length].to(device))
        for name, value in out.items():
            at = start // 4 if name in MAPS else start
            whole = groups(total + padded) if name in MAPS else total + padded
            if name not in sums:
                sums[name] = value.new_zeros(len(value), whole, *value.shape[2:])
                counts[name] = value.new_zeros(whole)
            weight = torch.ones(value.shape[1], device=device)
            weight[0] = FIRST_WEIGHT if start else 1.0
            sums[name][:, at : at + value.shape[1]] += value * weight.view(-1, *[1] * (value.ndim - 2))
            counts[name][at : at + value.shape[1]] += weight
    means = {n: (v / counts[n].view(-1, *[1] * (v.ndim - 2))).cpu() for n, v in sums.items()}
    return {n: v[:, : groups_until(total) if n in MAPS else total] for n, v in means.items()}


def _tracks(logits: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Turn the logits of one clip into what `Sight.tracks` holds."""
    area = subject_area(logits)
    return {
        "centre": logits["centre"].numpy(),
        "cut": logits["cut"].sigmoid().numpy(),
        "states": logits["states"].sigmoid().numpy(),
        "scenes": logits["scene"].softmax(-1).numpy(),
        "subjects": area.mean(-1).numpy(),
        "places": (area @ cell_centres() / area.sum(-1, keepdim=True).clamp_min(1e-6)).numpy(),
    }
