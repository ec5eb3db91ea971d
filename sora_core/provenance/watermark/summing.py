"""What frames have in common: the sums in which a mark is looked for, and the scenes to which it may be tied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import expect
from .carrier import LUMA, SMALLEST_SIDE, TILE, tile_side
from .content import contrasts, is_same_scene
from .places import Box

FLAT = 1.1  # a step from one pixel to the next (8-bit units) that is as large as the mark's own
DARK = 24  # luminance (8-bit units) that black bars never exceed, whatever codec they went through
MOST_SCENES = 12  # that are summed up by themselves; what comes later counts for the whole alone


def luminance(frame: Any) -> Tensor:
    """Return the luminance `[h,w]` of a frame `[H,W,3]`, uint8 or float 0..1, in 8-bit units, some 128 pixels a side.

    Raises SoraError for another shape.
    """
    pixels = torch.as_tensor(frame)[..., :3]
    expect(pixels.ndim == 3, f"A frame must have the shape [H,W,3], not {list(pixels.shape)}.")
    luma = pixels.detach().cpu().float() @ torch.tensor(LUMA)
    if pixels.is_floating_point():
        luma = luma * 255
    shrink = round(tile_side(*luma.shape) / TILE)
    # The waves are long: at some 128 pixels a side a period still has 10 of them.
    return F.avg_pool2d(luma[None], shrink)[0] if shrink > 1 else luma


@dataclass
class Scene:
    """Frames, one after the other, that show the same."""

    luma: Tensor  # [h,w] of the first
    sums: tuple[Tensor, Tensor]  # of steps across and down
    contrast: np.ndarray  # [8,8] of the first
    frames: int = 0


class Accumulator:
    """Sums up what frames have in common: differences of neighbouring pixels, those in flat places above all.

    A step s counts as s / (v + FLAT^2), v the mean square of the steps around it. That is the weight of a Gaussian of
    that variance: edges and textures, which are far larger than the mark, do not drown it.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.scenes: list[Scene] = []  # the first MOST_SCENES
        self._late: Scene | None = None  # all that comes behind them
        self._brightest = torch.zeros(0, 0)
        self._size: tuple[int, ...] = ()

    def add(self, frame: Any) -> None:
        """Add a frame `[H,W,3]`, uint8 or float 0..1, tensor or array.

        Raises SoraError for other shapes, less than 32 pixels a side, and a size that is not the first frame's.
        """
        luma = luminance(frame)
        if not self.frames:
            height, width = torch.as_tensor(frame).shape[:2]
            expect(
                min(luma.shape) >= SMALLEST_SIDE,
                f"Frames of {width}x{height} are too small to look for a watermark: {SMALLEST_SIDE} pixels a side at "
                "least.",
            )
            self._size, self._brightest = tuple(luma.shape), torch.zeros(luma.shape)
        expect(tuple(luma.shape) == self._size, "The frames have different sizes: give one video at a time.")
        torch.maximum(self._brightest, luma, out=self._brightest)
        scene = self._scene(luma)
        for axis, sums in zip((1, 0), scene.sums, strict=True):
            step = luma.diff(dim=axis)
            around = F.avg_pool2d(step.square()[None], 3, 1, 1, count_include_pad=False)[0]
            sums += step / (around + FLAT**2)
        scene.frames += 1
        self.frames += 1

    def _scene(self, luma: Tensor) -> Scene:
        """Return the scene to which the next frame belongs."""
        if self._late is not None:
            return self._late
        contrast = contrasts(luma)
        if self.scenes and is_same_scene(contrast, self.scenes[-1].contrast):
            return self.scenes[-1]
        height, width = luma.shape
        new = Scene(luma, (torch.zeros(height, width - 1), torch.zeros(height - 1, width)), contrast)
        if len(self.scenes) == MOST_SCENES:
            self._late = new
        else:
            self.scenes.append(new)
        return new

    def picture(self) -> np.ndarray:
        """Return minus the divergence of the summed differences `[h,w]`: the mark, and little of the scene."""
        all_scenes = [*self.scenes, *([] if self._late is None else [self._late])]
        across, down = (sum(scene.sums[axis] for scene in all_scenes) for axis in (0, 1))
        return _divergence(across, down)

    def pictures(self) -> list[np.ndarray]:
        """Return the same of each scene by itself."""
        return [self.picture()] if len(self.scenes) == 1 else [_divergence(*scene.sums) for scene in self.scenes]

    def box(self) -> Box | None:
        """Find the picture between black bars: its rows and columns, None where there are none."""
        found = []
        for axis in (1, 0):
            lit = (self._brightest.quantile(0.98, dim=axis) > DARK).nonzero().flatten().tolist()
            found.append(slice(lit[0], lit[-1] + 1) if lit else slice(0, self._size[1 - axis]))
        rows, columns = found
        whole = (rows.stop - rows.start, columns.stop - columns.start)
        return None if whole == self._size or min(whole) < SMALLEST_SIDE else (rows, columns)


def _divergence(across: Any, down: Any) -> np.ndarray:
    out = F.pad(across, (1, 0)) - F.pad(across, (0, 1))
    return (out + F.pad(down, (0, 0, 1, 0)) - F.pad(down, (0, 0, 0, 1))).numpy()
