"""High dynamic range to the standard one: PQ and HLG (ITU-R BT.2100) as a display of BT.709 shows them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import av

# Code points of ITU-T H.273.
LINEAR, PQ, HLG = 8, 16, 18
BT2020 = 9
# Gamma curves that players show as they lie in the file: 1, 4 to 7 and 11 to 15. 0, 2 and 3 say nothing.
SHOWN_AS_CODED = (0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
# Matrices that FFmpeg's scaler refuses, and the one that comes nearest: 9 is BT.2020, 1 BT.709.
MATRICES = {
    8: ("YCgCo", 1),
    10: ("BT.2020 with constant luminance", 9),
    11: ("SMPTE ST 2085", 9),
    12: ("a matrix derived from its primaries", 1),
    13: ("a matrix derived from its primaries, with constant luminance", 1),
    14: ("ICtCp", 9),
    15: ("SMPTE ST 2128", 9),
    16: ("YCgCo-Re", 1),
    17: ("YCgCo-Ro", 1),
}
NAMES = {9: "a logarithm (100:1)", 10: "a logarithm (316:1)", 17: "SMPTE ST 428"}

WHITE = 203.0  # cd/m2: HDR reference white, ITU-R BT.2408; 58% of PQ's signal, 75% of HLG's
HLG_PEAK = 1000.0  # cd/m2 of the nominal display
HLG_GAMMA = 1.2  # of that display
DISPLAY_GAMMA = 2.4  # ITU-R BT.1886
# From the primaries of BT.2020 to those of BT.709, for columns of linear light (ITU-R BT.2407, 2.2).
TO_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32)
STEPS = 4096  # of the table that encodes, over the square root of light, which spreads the dark


def transfer_of(frame: av.VideoFrame) -> str:
    """Name the transfer function of a frame if it is one that is neither converted nor shown as it is, else ""."""
    code = int(getattr(frame, "color_trc", 2))
    if code in SHOWN_AS_CODED or code in (LINEAR, PQ, HLG):
        return ""
    return NAMES.get(code, f"transfer function {code}")


def matrix_of(frame: av.VideoFrame) -> str:
    """Name the matrix of a frame's colours if it is one that is read as another, see `with_known_matrix`, else ""."""
    return MATRICES.get(int(getattr(frame, "colorspace", 2)), ("", 0))[0]


def with_known_matrix(frame: av.VideoFrame) -> av.VideoFrame:
    """Return a frame whose matrix can be read: where its own cannot, it is said to be the nearest that can."""
    code = int(getattr(frame, "colorspace", 2))
    if code in MATRICES:
        of_primaries = code in (12, 13) and int(getattr(frame, "color_primaries", 2)) == BT2020
        frame.colorspace = BT2020 if of_primaries else MATRICES[code][1]
    return frame


def to_bt709(frame: av.VideoFrame, read: Callable[[str], np.ndarray]) -> np.ndarray | None:
    """Convert a frame of PQ, HLG or linear light to `[H,W,3]` uint8 of BT.709; None where it is none of these.

    read: gives the frame's pixels in a layout, by name.

    The light of the display (BT.2100, tables 4 and 5) is scaled until the reference white of BT.2408, 203 cd/m2, is the
    white of BT.709, brought to its primaries (BT.2407, 2.2) and encoded by the inverse of BT.1886. Up to that white all
    light keeps its proportions. Highlights above it, and colours that BT.709 lacks, are cut off, the simple mapping
    of both reports: graphics, skin and grey come out at their level, whatever peak the file was mastered for.

    HLG's display gamma is taken by component, as BT.709's displays have it and FFmpeg's zscale does. BT.2100 takes it
    by luminance: greys are the same, saturated colours less so.
    """
    code = int(getattr(frame, "color_trc", 2))
    if code not in (LINEAR, PQ, HLG):
        return None
    light = _decoding(code)[read("rgb48le")]
    # Both are defined for BT.2020 alone; linear light comes in any primaries.
    if code != LINEAR or int(getattr(frame, "color_primaries", 2)) == BT2020:
        light = light @ TO_709.T
    return _encoding()[(np.sqrt(light.clip(0, 1)) * (STEPS - 1) + 0.5).astype(np.int32)]


@cache
def _decoding(code: int) -> np.ndarray:
    """Make the table from a 16-bit signal to light of the display, 1 at WHITE; linear light as it is."""
    signal = np.arange(65536, dtype=np.float64) / 65535
    if code == LINEAR:
        return signal.astype(np.float32)
    if code == PQ:
        m1, m2 = 2610 / 16384, 2523 / 4096 * 128
        c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
        root = signal ** (1 / m2)
        light = 10000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
        return (light / WHITE).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return (HLG_PEAK / WHITE * light**HLG_GAMMA).astype(np.float32)


@cache
def _encoding() -> np.ndarray:
    """Make the table from the square root of light 0..1, in STEPS, to an 8-bit signal."""
    light = (np.arange(STEPS) / (STEPS - 1)) ** 2
    return (255 * light ** (1 / DISPLAY_GAMMA) + 0.5).astype(np.uint8)
