"""An invisible keyed watermark that carries 32 bits in every frame.

What is written. A still pattern, the same in all frames, is added to the luminance: a sum of the plane waves of a
square tile with 4 to 13 periods a side, the tile as large as the frame (side = the root of its area), so a picture that
is made larger or smaller takes its mark along. Each wave has two signs (cosine and sine). A fifth of the signs, the
pilot, is fixed by the key; the others are the key's signs times the 128 signs of the error-correcting code
(`.ecc`), each repeated over several waves. The waves are too long for an eye or a codec to throw away, and short enough
to differ from the picture; their strength follows what the frame hides (PSNR >= 42 dB, SSIM >= 0.99).

How it is read (`.reading`). Differences of neighbouring pixels, without those that are edges, are averaged over the
frames (motion averages out, the mark stays: this is why dropped frames and another speed do not matter) and projected
on the waves. Cropping shifts and enlarges the tile: all shifts and 84 scales, mirrored or not, are tried by a Fourier
transform of the pilot's correlation; the best few are decoded.

The false-positive rate is a bound, not an estimate. Let y in R^n be the projections at one alignment, a function of
the video alone, and S = <c, y> / |y| for signs c. If the video was made without the key, the signs of any one payload
are independent fair coins, and by Hoeffding's inequality (J. Am. Stat. Assoc. 58, 1963, theorem 2, for sums of signs)
P(S >= t) <= exp(-t^2 / 2), whatever the picture shows. The detector takes the best of 2^32 payloads and of all
alignments h, with shares w_h that sum to 1 (half for "not moved", the rest in equal parts); so by the union bound

    p = min over h of 2^32 exp(-S_h^2 / 2) / w_h

is a valid p-value: P(p <= a) <= a for every a. The one assumption is that SHAKE-256 of an unknown key looks random.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import expect
from . import ecc
from .carrier import DEFAULT_KEY, SMALLEST_SIDE, WAVES, carrier_of, key_bytes, plane_waves, tile_side
from .reading import FALSE_POSITIVE_RATE, Accumulator, WatermarkReport, read

__all__ = ["DEFAULT_KEY", "Accumulator", "Embedder", "WatermarkReport", "detect", "embed", "embed_stream", "read"]

MEAN_SQUARE = 3.7  # of the mark in small frames, in 8-bit units: 42.4 dB
SSIM_LOSS = 0.0073  # what rounding to 8 bits adds comes on top
SSIM_C1, SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
TILT = 0.6  # amplitudes fall with the frequency to this power: long waves cost less SSIM and survive more
STEPS = 1024  # of the pattern and of its gain, per 8-bit unit
MASK = 0.05, 3.0  # power of the mark relative to a flat mid-grey, from and to


def check_payload(payload: int) -> int:
    """`payload` if it fits 32 bits; SoraError otherwise."""
    expect(0 <= int(payload) < 1 << ecc.BITS, f"The payload {payload} does not fit 32 bits: use 0 to {2**32 - 1}.")
    return int(payload)


class Embedder:
    """Marks frames one by one: `embedder(frame)`. Holds the pattern for the last size, nothing of the frames."""

    def __init__(self, payload: int, key: bytes | str | None = None) -> None:
        self.carrier = carrier_of(key_bytes(key))
        self.signs = self.carrier.with_code(ecc.encode(check_payload(payload)))
        self._size: tuple[int, int] | None = None

    def __call__(self, frame: Tensor) -> Tensor:
        """`[H,W,3]` float 0..1, or `[T,H,W,3]`, with the mark."""
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
        gain = self._gain(frame)
        marked = frame.clone()
        marked[..., :3] = (frame[..., :3] + (gain * self._pattern).to(frame)[..., None] / 255).clamp(0, 1)
        return marked

    def _prepare(self, height: int, width: int) -> None:
        carrier, top, side = self.carrier, int(WAVES[1]), tile_side(height, width)
        count = len(carrier.u)
        grid = np.zeros((2 * top + 1, 2 * top + 1), complex)
        strength = np.hypot(carrier.u, carrier.v) ** -TILT
        grid[carrier.u + top, carrier.v + top] = strength * (self.signs[:count] + 1j * self.signs[count:])
        pattern = (plane_waves(height, side, top, 1).T @ grid @ plane_waves(width, side, top, 1)).real
        # In steps, as the gain is: the last bits of a product depend on where its factors lie in memory, and a frame
        # that is made twice must be marked the same.
        steps = np.round(pattern / math.sqrt((strength**2).sum()) * STEPS) / STEPS
        self._pattern = torch.from_numpy(steps)
        level, self._spread = _local(self._pattern[None])
        self._level = level.square()
        self._mean_square = MEAN_SQUARE / min(max(side / 256, 1.0), 2.0)
        self._size = height, width

    def _gain(self, frame: Tensor) -> Tensor:
        """How strong the mark is at each pixel `[H,W]`, in 8-bit units.

        With d the mark and x the frame, 1 - SSIM is to first order var(d) / (2 var(x) + C2) + mean(d)^2 / (2 mean(x)^2
        + C1), means and variances over the window of SSIM (Wang et al., IEEE Trans. Image Process. 13(4), 2004). So d
        may be stronger where x varies, and must be weaker where a colour is dark; the whole is then scaled to the
        tighter of the two limits, on SSIM and on the mean square.
        """
        mean, variance = _local(frame[..., :3].detach().double().cpu().movedim(-1, 0) * 255)
        of_spread = 1 / (2 * variance + SSIM_C2)
        of_level = 1 / (2 * mean.square() + SSIM_C1)
        spread, level = self._spread.mean(), self._level.mean()
        cost = (spread * of_spread + level * of_level).mean(0)
        power = (spread / SSIM_C2 / cost).clamp(*MASK)
        loss = (power * (self._spread * of_spread + self._level * of_level)).mean()
        square = (power * self._pattern.square()).mean()
        gain = (power * torch.minimum(SSIM_LOSS / loss, self._mean_square / square)).sqrt()
        return (gain * STEPS).round() / STEPS


def _local(planes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of `[C,H,W]` in a window of 5x5, which has the spread of SSIM's Gaussian."""
    mean, square = F.avg_pool2d(torch.stack((planes, planes.square())), 5, 1, 2, count_include_pad=False)
    return mean, (square - mean.square()).clamp_min(0)


def embed(frames: Tensor, payload: int, key: bytes | str | None = None) -> Tensor:
    """`frames` `[T,H,W,3]` float 0..1 with a mark that carries `payload` (0 to 2^32 - 1).

    key: who knows it can read the mark; None is the public key. Raises SoraError for a payload that does not
    fit, an empty key, and frames of less than 32 pixels a side.
    """
    return Embedder(payload, key)(frames)


def embed_stream(frames: Iterable[Tensor], payload: int, key: bytes | str | None = None) -> Iterator[Tensor]:
    """`embed` for frames (or chunks of frames) that come one after the other."""
    embedder = Embedder(payload, key)
    for frame in frames:
        yield embedder(frame)


def detect(
    frames: Any, key: bytes | str | None = None, *, false_positive_rate: float = FALSE_POSITIVE_RATE
) -> WatermarkReport:
    """Look for the mark of `key` in `frames`.

    frames: `[T,H,W,3]`, or any iterable of `[H,W,3]` frames; uint8 or float 0..1. Memory does not grow with
    their number. `found` means p_value <= false_positive_rate, which bounds the rate of false positives.

    Raises SoraError when there are no frames, or they are smaller than 32 pixels a side.
    """
    summed = Accumulator()
    for frame in frames:
        summed.add(frame)
    return read(summed, key, false_positive_rate=false_positive_rate)
