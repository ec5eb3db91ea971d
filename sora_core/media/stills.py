"""Pictures in: any file that Pillow opens, as float pixels. What is too large is refused before it is decoded."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import SoraError, expect
from ..files import is_file

MAX_STILL_PIXELS = 50_000_000  # as floats with transparency they take 0.8 GB


def read_still(path: str | Path) -> Tensor:
    """Read a picture as `[1,H,W,3]` float 0..1, transparency over white. Raises SoraError as `read_picture`."""
    return flatten_alpha(read_picture(path)[0])


def read_picture(path: str | Path) -> tuple[Tensor, bool]:
    """Read a picture as RGBA `[1,H,W,4]` float 0..1, and whether the file knows transparency.

    It is turned upright after its EXIF tag. Of several frames the first is read.

    Raises SoraError for what is no picture, and for a declared size over the limit before it is decoded.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    path = Path(path)
    expect(is_file(path), f"There is no picture {str(path)!r}: check the name.")
    try:
        with warnings.catch_warnings():
            # Pillow warns from 89 million pixels on; the limit below decides.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(path)
        width, height = opened.size
        expect(
            width * height <= MAX_STILL_PIXELS and max(width, height) < 1 << 16,
            f"{path.name} says it is {width}x{height} pixels; at most {MAX_STILL_PIXELS // 1_000_000} million "
            "are opened, and 65535 a side. Make it smaller.",
        )
        picture = ImageOps.exif_transpose(opened)
        if picture.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion to colour clips it
            picture = picture.point(lambda value: value / 256).convert("L")
        has_alpha = "A" in picture.getbands() or "transparency" in picture.info
        pixels = np.array(picture.convert("RGBA"), dtype=np.float32)
        pixels /= 255
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise SoraError(f"{path.name} cannot be read as a picture ({error}): use a PNG, JPEG or WebP.") from error
    return torch.from_numpy(pixels)[None], has_alpha


def flatten_alpha(frames: Tensor) -> Tensor:
    """Lay `[T,H,W,4]` over white: `[T,H,W,3]`."""
    alpha = frames[..., 3:]
    return frames[..., :3] * alpha + (1 - alpha)
