"""Which latent frames a training clip keeps: the tasks of the model as random masks."""

from __future__ import annotations

import numpy as np

KINDS = ("first", "last", "ends", "prefix", "suffix", "scattered")


def frame_mask(rng: np.random.Generator, frames: int, share: float) -> np.ndarray:
    """Boolean `[frames]`, True = generate. With probability `share` some frames are kept, else none.

    first: image to video; prefix and suffix: extension; ends: connect and infill; scattered: keyframes.
    At least one frame is always generated. Connecting and filling in know how things move at either end, so `ends`
    keeps several frames there as often as one.
    """
    generate = np.ones(frames, bool)
    if frames == 1 or rng.random() >= share:
        return generate
    kind = KINDS[rng.choice(len(KINDS), p=(0.3, 0.1, 0.25, 0.2, 0.1, 0.05))]
    count = int(rng.integers(1, frames))
    if kind in ("first", "ends", "prefix"):
        generate[: count if kind == "prefix" else 1] = False
    if kind in ("last", "ends", "suffix"):
        generate[-(count if kind == "suffix" else 1) :] = False
    if kind == "ends" and frames > 4 and rng.random() < 0.5:
        hidden = int(rng.integers(1, frames - 2))
        start = int(rng.integers(1, frames - hidden))
        generate[:start], generate[start + hidden :] = False, False
    if kind == "scattered":
        generate[rng.permutation(frames)[:count]] = False
    if not generate.any():
        generate[rng.integers(frames)] = True
    return generate
