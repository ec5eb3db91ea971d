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

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import expect
from .carrier import key_bytes
from .clipcode import NUMBERS, clip_code
from .content import contrasts, is_same_scene, looks
from .painting import Painter, check_frame
from .payloads import known_payloads
from .reading import FALSE_POSITIVE_RATE, WatermarkReport, read
from .summing import Accumulator, luminance


class Embedder:
    """Marks frames of one clip, one by one: `embedder(frame)`. It holds the pattern of a size, and none of the frames.

    key: as in `embed`. number: of the clip, 0 to 65535; None for one that its first frame determines.
    """

    def __init__(self, key: bytes | str | None = None, number: int | None = None) -> None:
        expect(
            number is None or 0 <= number < NUMBERS,
            f"The number {number} of a clip does not fit 16 bits: use 0 to {NUMBERS - 1}.",
        )
        self.code = clip_code(key_bytes(key))
        self.number = number
        self._painter = Painter(self.code.carrier)
        self._scene: np.ndarray | None = None  # contrasts of the first frame of what is shown now

    def __call__(self, frame: Tensor) -> Tensor:
        """Mark a frame `[H,W,3]` float 0..1, or several `[T,H,W,3]`. Raises SoraError for other frames."""
        if frame.ndim == 4:
            return torch.stack([self(one) for one in frame]) if len(frame) else frame
        check_frame(frame)
        luma = luminance(frame)
        contrast = contrasts(luma)
        if self.number is None:
            self.number = number_of(luma, self.code.key)
        if self._scene is None or not is_same_scene(contrast, self._scene):
            self._scene = contrast
            self._painter.signs = self.code.whole(self.number, looks(contrast))
        return self._painter(frame)


def number_of(luma: Tensor, key: bytes) -> int:
    """Return the number of the clip that begins with a frame of this luminance `[h,w]`: a hash of it and the key.

    So a clip that is made or saved again has the number that it had.
    """
    pixels = hashlib.sha256(luma.round().byte().numpy().tobytes()).digest()
    return int.from_bytes(hashlib.shake_256(b"sora watermark 2 number\0" + pixels + key).digest(2), "big")


def embed(frames: Tensor, key: bytes | str | None = None, number: int | None = None) -> Tensor:
    """Mark `frames` `[T,H,W,3]` float 0..1 as one clip.

    key: who knows it can read the mark; None is the public key.
    number: of the clip, 0 to 65535; None for one that its first frame determines.

    Raises SoraError for a number that does not fit, an empty key, and frames of less than 32 pixels a side.
    """
    return Embedder(key, number)(frames)


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
    known: payloads of marks of before that are looked for by name, and found where others are not; None for those of
        the package's models.
    false_positive_rate: `found` means that the p-value is not above it, which bounds the rate of false positives.

    Raises SoraError when there are no frames, or they are smaller than 32 pixels a side.
    """
    summed = Accumulator()
    for frame in frames:
        summed.add(frame)
    named = known_payloads() if known is None else known
    return read(summed, key, false_positive_rate=false_positive_rate, known=named)
