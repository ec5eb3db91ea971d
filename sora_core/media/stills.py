"""Pictures in: any file that Pillow opens, as float pixels. What is too large is refused before it is decoded."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..errors import SoraError, expect
from ..files import is_file
from .deep import grey_of, keyed_png, read_deep
from .sizes import MAX_BYTES, frame_bytes

if TYPE_CHECKING:
    from PIL import Image

ORIENTATION = 0x0112  # in EXIF
MAX_STILL_PIXELS = 50_000_000  # as floats with transparency they take 0.8 GB
ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")
# What Pillow's parsers raise on damaged files; its own error of an unknown file is an OSError.
MALFORMED = (ValueError, SyntaxError, EOFError, LookupError, TypeError, OverflowError, struct.error, zlib.error)


def read_still(path: str | Path) -> Tensor:
    """Read a picture as `[1,H,W,3]` float 0..1, transparency over white. Raises SoraError as `read_picture`."""
    return flatten_alpha(read_picture(path)[0])


def read_picture(path: str | Path) -> tuple[Tensor, bool]:
    """Read a picture as RGBA `[1,H,W,4]` float 0..1, and whether the file knows transparency.

    It is turned upright after its EXIF tag. Of several frames the first is read, see `read_pictures`.

    Numbers of more than 8 bits: see `deep.white_of`. Raises SoraError for what is no picture, and for a declared size
    over the limit before it is decoded.
    """
    return _read(path, 1)


def read_pictures(path: str | Path) -> tuple[Tensor, bool]:
    """Read all frames of a picture as `read_picture` does, `[T,H,W,4]`: those of an animated GIF, WebP, PNG or AVIF.

    Raises SoraError as `read_picture`, and for frames that need more than MAX_BYTES.
    """
    return _read(path, None)


def _read(path: str | Path, most: int | None) -> tuple[Tensor, bool]:
    """Read `most` frames of a picture, None for all."""
    from PIL import Image, UnidentifiedImageError

    path = Path(path)
    expect(is_file(path), f"There is no picture {str(path)!r}: check the name.")
    try:
        with warnings.catch_warnings():
            # Pillow warns from 89 million pixels on; the limit below decides. What its parsers find odd and read all
            # the same is nobody's concern here.
            warnings.simplefilter("ignore")
            try:
                opened = Image.open(path)
            except UnidentifiedImageError:
                # TIFF with colours as floats, which Pillow does not know.
                colours = read_deep(path)
                if colours is None:
                    raise
                _check_pixels(path.name, colours.shape[1], colours.shape[0])
                return torch.from_numpy(colours)[None], bool((colours[..., 3] < 1).any())
            _check_pixels(path.name, *opened.size)
            shown = _frames_of(opened) if most is None else range(1)
            side = frame_bytes(*opened.size) * 4 // 3
            expect(
                len(shown) == 1 or len(shown) * side <= MAX_BYTES,
                f"{path.name} has {len(shown)} frames of {opened.size[0]}x{opened.size[1]}, which need more than "
                f"{MAX_BYTES >> 30} GiB. Make it smaller or shorter.",
            )
            frames, has_alpha = [], False
            for number in shown:
                if number:
                    opened.seek(number)
                pixels, clear = _rgba(opened, path)
                frames.append(torch.from_numpy(pixels))
                has_alpha |= clear
    except (OSError, *MALFORMED, Image.DecompressionBombError) as error:
        raise SoraError(f"{path.name} cannot be read as a picture ({error}): use a PNG, JPEG or WebP.") from error
    # Pages may differ in size; a picture that moves has one.
    return torch.stack([frame for frame in frames if frame.shape == frames[0].shape]), has_alpha


def _check_pixels(name: str, width: int, height: int) -> None:
    expect(
        width * height <= MAX_STILL_PIXELS and max(width, height) < 1 << 16,
        f"{name} says it is {width}x{height} pixels; at most {MAX_STILL_PIXELS // 1_000_000} million "
        "are opened, and 65535 a side. Make it smaller.",
    )


def _frames_of(opened: Image.Image) -> range:
    """List the frames of a picture that moves; of any other, and of pages, the first."""
    count = getattr(opened, "n_frames", 1)
    if opened.format not in ANIMATED or count < 2:
        return range(1)
    # A PNG may show another picture where it cannot move.
    return range(1 if getattr(opened, "default_image", False) else 0, count)


def _rgba(opened: Image.Image, path: Path) -> tuple[np.ndarray, bool]:
    """Return the current frame upright, `[H,W,4]` float 0..1, and whether it knows transparency."""
    from PIL import ImageOps

    key = opened.info.get("transparency")
    picture = ImageOps.exif_transpose(opened)
    if picture.mode[0] in "IF":
        return grey_of(picture, opened, key)
    if key is not None and picture.mode in ("1", "L", "RGB") and opened.format == "PNG":
        keyed = keyed_png(picture, key, path, opened.getexif().get(ORIENTATION, 1))
        if keyed is not None:
            return keyed, True
    has_alpha = "A" in picture.getbands() or "a" in picture.getbands() or "transparency" in picture.info
    pixels = np.array(picture.convert("RGBA"), dtype=np.float32)
    pixels /= 255
    return pixels, has_alpha


def flatten_alpha(frames: Tensor) -> Tensor:
    """Lay `[T,H,W,4]` over white: `[T,H,W,3]`."""
    alpha = frames[..., 3:]
    return frames[..., :3] * alpha + (1 - alpha)
