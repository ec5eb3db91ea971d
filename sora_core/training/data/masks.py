"""Which latent frames a training clip keeps: the tasks of the model as random masks."""

from __future__ import annotations

import numpy as np

# first: image to video; prefix and suffix: extension; ends: connect and infill; scattered: keyframes.
KINDS = {"first": 0.3, "last": 0.1, "ends": 0.25, "prefix": 0.2, "suffix": 0.1, "scattered": 0.05}


def frame_mask(rng: np.random.Generator, frames: int, share: float) -> np.ndarray:
    """Draw a mask, bool `[frames]`, True = generate.

    With probability `share` some frames are kept, by one of KINDS; else none. At least one frame is always generated.
    """
    generate = np.ones(frames, bool)
    if frames == 1 or rng.random() >= share:
        return generate
    kind = tuple(KINDS)[rng.choice(len(KINDS), p=tuple(KINDS.values()))]
    count = int(rng.integers(1, frames))
    if kind in ("first", "ends", "prefix"):
        generate[: count if kind == "prefix" else 1] = False
    if kind in ("last", "ends", "suffix"):
        generate[-(count if kind == "suffix" else 1) :] = False
    # Connecting and filling in know how things move at either end: several frames are kept there as often as one.
    if kind == "ends" and frames > 4 and rng.random() < 0.5:
        hidden = int(rng.integers(1, frames - 2))
        start = int(rng.integers(1, frames - hidden))
        generate[:start], generate[start + hidden :] = False, False
    if kind == "scattered":
        generate[rng.permutation(frames)[:count]] = False
    if not generate.any():
        generate[rng.integers(frames)] = True
    return generate
