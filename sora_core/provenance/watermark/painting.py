"""How a mark is painted into a frame: as strong as the frame hides it, and never stronger."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import expect
from .carrier import LUMA, SMALLEST_SIDE, WAVES, Carrier, plane_waves, tile_side

MEAN_SQUARE = 4.0  # of the mark in small frames, in 8-bit units, rounded to them: 42.1 dB
SSIM_LOSS = 0.0094  # the same, in SSIM
SSIM_C1, SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
PRICE = SSIM_LOSS / MEAN_SQUARE  # what a unit of mean square costs beside a unit of SSIM when both are short
TILT = 0.6  # amplitudes fall with the frequency to this power: long waves cost less SSIM and survive more
STEPS = 1024  # of the mark, per 8-bit unit
MASK = 0.2, 1.5  # power of the mark relative to a flat mid-grey, from and to
ROUNDS = 2  # of measuring and correcting the strength; the second leaves an error of less than 0.0002 of SSIM
WINDOW = torch.exp(-torch.arange(-5.0, 6.0, dtype=torch.float64).square() / (2 * 1.5**2))  # SSIM's
WINDOW = WINDOW / WINDOW.sum()


def check_frame(frame: Tensor) -> tuple[int, int]:
    """Return height and width of a frame `[H,W,3]`. Raises SoraError for one that cannot be marked."""
    expect(
        frame.ndim == 3 and frame.shape[-1] >= 3 and frame.is_floating_point(),
        f"A frame to mark must be float [H,W,3], not {frame.dtype} {list(frame.shape)}.",
    )
    size = frame.shape[0], frame.shape[1]
    expect(
        min(size) >= SMALLEST_SIDE,
        f"A frame of {size[1]}x{size[0]} is too small for a watermark: {SMALLEST_SIDE} pixels a side at least.",
    )
    return size


class Painter:
    """Adds waves with given signs to frames. It holds the pattern of the last size, and nothing of the frames."""

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier
        self._signs = np.ones(2 * len(carrier.u))
        self._size: tuple[int, int] | None = None

    @property
    def signs(self) -> np.ndarray:
        """The signs `[2n]` of the waves, of cosines and then of sines."""
        return self._signs

    @signs.setter
    def signs(self, signs: np.ndarray) -> None:
        self._signs, self._size = signs, None

    def __call__(self, frame: Tensor) -> Tensor:
        """Mark a frame `[H,W,3]` float 0..1. Raises SoraError as `check_frame`."""
        size = check_frame(frame)
        if size != self._size:
            self._prepare(*size)
        marked = frame.clone()
        marked[..., :3] = (frame[..., :3] + self._mark(frame).to(frame) / 255).clamp(0, 1)
        return marked

    def _prepare(self, height: int, width: int) -> None:
        """Make the pattern `[H,W]` of mean square 1 for a size, and measure it in SSIM's window."""
        carrier, top, side = self.carrier, int(WAVES[1]), tile_side(height, width)
        count = len(carrier.u)
        grid = np.zeros((2 * top + 1, 2 * top + 1), complex)
        strength = np.hypot(carrier.u, carrier.v) ** -TILT
        grid[carrier.u + top, carrier.v + top] = strength * (self._signs[:count] + 1j * self._signs[count:])
        pattern = (plane_waves(height, side, top, 1).T @ grid @ plane_waves(width, side, top, 1)).real
        # In steps, as the mark is: the last bits of a product depend on where its factors lie in memory, and a frame
        # that is made twice must be marked the same.
        steps = np.round(pattern / math.sqrt((strength**2).sum()) * STEPS) / STEPS
        self._pattern = torch.from_numpy(steps)
        level, spread = _local(self._pattern[None])
        self._level, self._spread = level.square().mean(), spread.mean()
        # A larger frame has more pixels to find the mark in, so it may be weaker there.
        self._mean_square = MEAN_SQUARE / min(max(side / 256, 1.0), 2.0)
        self._size = height, width

    def _mark(self, frame: Tensor) -> Tensor:
        """Return what is added to the frame's colours `[H,W,3]`, in 8-bit units.

        With d the mark and x a colour, 1 - SSIM is to first order var(d) / (2 var(x) + C2) + mean(d)^2 / (2 mean(x)^2
        + C1), means and variances over the window of SSIM (Wang et al., IEEE Trans. Image Process. 13(4), 2004). So d
        may be stronger where x varies, and must be weaker where a colour is dark. That decides how the mark is shared
        out over places and colours. How strong the whole may be is then measured on the marked frame itself.
        """
        colours = frame[..., :3].detach().double().cpu().movedim(-1, 0) * 255
        luma = torch.tensor(LUMA, dtype=torch.float64)[:, None, None]
        mean, variance = _local(colours)
        cost = self._spread / (2 * variance + SSIM_C2) + self._level / (2 * mean.square() + SSIM_C1)
        share = 1 / (cost / (self._spread + self._level) + PRICE)
        share = share / (luma * share).sum(0)  # of each colour, so that the luminance takes all of the mark
        cost = (share.square() * cost).mean(0)
        power = (self._spread / SSIM_C2 / cost).clamp(*MASK)
        mark = power.sqrt() * share * self._pattern
        square = torch.maximum(mark.square().mean(), (luma * mark).sum(0).square().mean())
        strength = torch.minimum(SSIM_LOSS / (power * cost).mean(), self._mean_square / square).sqrt()
        before = colours.round()
        before = torch.cat((before, (luma * before).sum(0, keepdim=True)))
        known = _windowed(before), _windowed(before.square())
        for _ in range(ROUNDS):
            seen = (colours + strength * mark).clamp(0, 255).round()
            seen = torch.cat((seen, (luma * seen).sum(0, keepdim=True)))
            loss, square = _loss(before, seen, *known), (seen - before).square().mean((1, 2))
            # Colours together and luminance, each within both limits.
            loss, square = (torch.maximum(value[:3].mean(), value[3]).clamp_min(1e-9) for value in (loss, square))
            strength = strength * torch.minimum(SSIM_LOSS / loss, self._mean_square / square).sqrt().clamp(0.5, 2)
        return ((strength * mark * STEPS).round() / STEPS).movedim(0, -1)


def _local(planes: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of `[C,H,W]` in a window of 5x5, which has the spread of SSIM's Gaussian."""
    mean, square = F.avg_pool2d(torch.stack((planes, planes.square())), 5, 1, 2, count_include_pad=False)
    return mean, (square - mean.square()).clamp_min(0)


def _windowed(planes: Tensor) -> Tensor:
    """Return the mean of `[C,H,W]` in SSIM's window; of large frames at some 128 x 128 places."""
    kernel, step = WINDOW.view(1, 1, 1, -1), max(1, round(tile_side(*planes.shape[1:]) / 128))
    return F.conv2d(F.conv2d(planes[:, None], kernel.mT, stride=(step, 1)), kernel, stride=(1, step))[:, 0]


def _loss(x: Tensor, y: Tensor, mean_x: Tensor, square_x: Tensor) -> Tensor:
    """Return 1 - SSIM `[C]` of planes `[C,H,W]`; mean_x, square_x: x and its square in the window."""
    mean_y = _windowed(y)
    var_x, var_y = square_x - mean_x.square(), _windowed(y * y) - mean_y.square()
    both = _windowed(x * y) - mean_x * mean_y
    value = (2 * mean_x * mean_y + SSIM_C1) * (2 * both + SSIM_C2)
    return 1 - (value / ((mean_x.square() + mean_y.square() + SSIM_C1) * (var_x + var_y + SSIM_C2))).mean((1, 2))
