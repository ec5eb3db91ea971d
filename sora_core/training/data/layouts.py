"""Layouts of rendered clips, from the world's truth, and which tokens stand around their subjects."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...model.layout import FIGURES, SLOTS

_FAR = 0.1  # share of the tokens far from all subjects that are chosen before what is around them


def layout_of(fact: dict[str, Any], latents: int) -> np.ndarray:
    """Return the layout float32 `[latents,SLOTS,FIGURES]` of a clip, see `model.layout`; fact: the world's truth."""
    out = np.zeros((latents, SLOTS, FIGURES), np.float32)
    placed = [s for s in fact.get("subjects", ()) if np.ndim(s.get("path", ())) == 2]  # of a user's own clips, none
    frame = np.array([fact.get(side, 1) for side in ("width", "height")], float)
    frame = np.append(frame, frame.min())
    for slot, subject in enumerate(placed[:SLOTS]):
        path = np.asarray(subject["path"], float)
        # How much of it is seen is known of rendered clips; of others, all of it is.
        seen = np.asarray(subject.get("visible"), float)
        seen = seen / max(seen.max(), 1e-3) if seen.shape == path.shape[:1] else np.ones(len(path))
        for latent in range(latents):
            part = slice(max(0, 4 * latent - 3), 4 * latent + 1)  # the frames of a latent: one, then four each
            at = path[part]
            at = at[np.isfinite(at).all(1)]
            if not len(at):
                continue
            x, y, size = at.mean(0) / frame
            way = (at[-1, :2] - at[0, :2]) / max(1, len(at) - 1) / max(at[:, 2].mean(), 1.0)
            out[latent, slot] = (x, y, size, subject.get("facing") or 0, *way, seen[part].mean(), 1)
    return out


def shaken(layout: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Move and resize the subjects of a layout `[T,SLOTS,FIGURES]` by about `amount` of their size, as a whole.

    What is planned at run time is never quite what the clip then shows.
    """
    out = layout.copy()
    out[..., :2] += rng.normal(size=(1, SLOTS, 2)) * amount * layout[..., 2:3]
    out[..., 2] *= 1 + rng.normal(size=(1, SLOTS)) * amount
    return out


def tokens_around(labels: np.ndarray, grid: tuple[int, int, int], count: int, rng: np.random.Generator) -> np.ndarray:
    """Choose `count` tokens of a clip, in rising order: those of subjects, what is around them, then any.

    labels: subject class per token `[N]`, 0 = none, of a grid of (t, h, w) tokens.
    """
    shows = (labels > 0).reshape(grid)
    wide = np.pad(shows, ((0, 0), (1, 1), (1, 1)))
    near = np.lib.stride_tricks.sliding_window_view(wide, (3, 3), (1, 2)).any((-1, -2)).ravel()
    # Some of what is far away is always among them, or the model would forget what a background is.
    far = ~near & (rng.random(near.size) < _FAR)
    score = 2.0 * shows.ravel() + near + 1.5 * far + 0.9 * rng.random(near.size)
    return np.sort(np.argsort(-score, kind="stable")[:count])
