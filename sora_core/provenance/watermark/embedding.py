"""An invisible keyed watermark that carries 32 bits in every frame.

What is written. A still pattern, the same in all frames, is added to the luminance. It is a sum of the plane waves of a
square tile with 4 to 13 periods a side. The tile is as large as the frame (side = the root of its area), so a picture
that is made larger or smaller takes its mark along. Each wave has two signs (cosine and sine). A fifth of the signs,
the pilot, is fixed by the key. The others are the key's signs times the 128 signs of the error-correcting code
(`.ecc`), each repeated over several waves. The waves are too long for an eye or a codec to throw away, and short enough
to differ from the picture. Their strength follows what the frame hides, and each frame is measured as it is marked: it
keeps PSNR >= 42 dB and SSIM >= 0.99, in its colours and in its luminance. Where a colour is near black, and a little
more of it would show, the others carry the mark.

How it is read (`.reading`). Differences of neighbouring pixels are added up over the frames. Motion averages out and
the mark stays, so dropped frames and another speed do not matter. Each difference is weighted by how flat its
surroundings are: the mark's own differences are small, and what lies beside an edge or in a texture says little about
it. The sum is projected on the waves. Cropping shifts and enlarges the tile: all shifts and 84 scales, mirrored or not,
are tried by a Fourier transform of the pilot's correlation, and the best few are decoded. So are pictures that were
stretched, turned about their middle, or put between black bars. The payloads of the package's own models are looked for
by name: all their signs are known, and not the pilot's alone.

The false-positive rate is a bound, not an estimate. Let y in R^n be the projections at one alignment, a function of
the video alone, and S = <c, y> / |y| for signs c. If the video was made without the key, the signs of any one payload
are independent fair coins, and by Hoeffding's inequality (J. Am. Stat. Assoc. 58, 1963, theorem 2, for sums of signs)
P(S >= t) <= exp(-t^2 / 2), whatever the picture shows. The detector takes the best of all payloads m and of all
alignments h, with shares v_m and w_h that each sum to 1 (`reading.SHARES`: most for "not moved"; a tenth for the few
payloads that are looked for by name, the rest in equal parts for all 2^32); so by the union bound

    p = min over m and h of exp(-S_mh^2 / 2) / (v_m w_h)

is a valid p-value: P(p <= a) <= a for every a. The one assumption is that SHAKE-256 of an unknown key looks random.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import expect
from . import ecc
from .carrier import LUMA, SMALLEST_SIDE, WAVES, carrier_of, key_bytes, plane_waves, tile_side
from .payloads import known_payloads
from .reading import FALSE_POSITIVE_RATE, Accumulator, WatermarkReport, read

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


def check_payload(payload: int) -> int:
    """Return `payload`. Raises SoraError unless it fits 32 bits."""
    expect(0 <= int(payload) < 1 << ecc.BITS, f"The payload {payload} does not fit 32 bits: use 0 to {2**32 - 1}.")
    return int(payload)


class Embedder:
    """Marks frames one by one: `embedder(frame)`. It holds the pattern of the last size, and nothing of the frames.

    payload, key: as in `embed`.
    """

    def __init__(self, payload: int, key: bytes | str | None = None) -> None:
        self.carrier = carrier_of(key_bytes(key))
        self.signs = self.carrier.with_code(ecc.encode(check_payload(payload)))
        self._size: tuple[int, int] | None = None

    def __call__(self, frame: Tensor) -> Tensor:
        """Mark a frame `[H,W,3]` float 0..1, or several `[T,H,W,3]`. Raises SoraError for other frames."""
        if frame.ndim == 4:
            return torch.stack([self(one) for one in frame]) if len(frame) else frame
        expect(
            frame.ndim == 3 and frame.shape[-1] >= 3 and frame.is_floating_point(),
            f"A frame to mark must be float [H,W,3], not {frame.dtype} {list(frame.shape)}.",
        )
        size = frame.shape[0], frame.shape[1]
        expect(
            min(size) >= SMALLEST_SIDE,
            f"A frame of {size[1]}x{size[0]} is too small for a watermark: {SMALLEST_SIDE} pixels a side at least.",
        )
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
        grid[carrier.u + top, carrier.v + top] = strength * (self.signs[:count] + 1j * self.signs[count:])
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


def embed(frames: Tensor, payload: int, key: bytes | str | None = None) -> Tensor:
    """Mark `frames` `[T,H,W,3]` float 0..1.

    payload: what the mark carries, 0 to 2^32 - 1.
    key: who knows it can read the mark; None is the public key.

    Raises SoraError for a payload that does not fit, an empty key, and frames of less than 32 pixels a side.
    """
    return Embedder(payload, key)(frames)


def detect(
    frames: Any,
    key: bytes | str | None = None,
    *,
    false_positive_rate: float = FALSE_POSITIVE_RATE,
    known: Sequence[int] | None = None,
) -> WatermarkReport:
    """Look for the mark of `key` in `frames`.

    frames: `[T,H,W,3]`, or any iterable of `[H,W,3]` frames; uint8 or float 0..1. Memory does not grow with their
        number.
    known: payloads that are looked for by name, and found where others are not; None for those of the package's models.
    false_positive_rate: `found` means that the p-value is not above it, which bounds the rate of false positives.

    Raises SoraError when there are no frames, or they are smaller than 32 pixels a side.
    """
    summed = Accumulator()
    for frame in frames:
        summed.add(frame)
    named = known_payloads() if known is None else known
    return read(summed, key, false_positive_rate=false_positive_rate, known=named)
