"""Pictures in: any file that Pillow opens, as float pixels. What is too large is refused before it is decoded."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..errors import SoraError, expect
from ..files import is_file
from ..interrupt import check_interrupted
from ..memory import expect_memory, gib
from .deep import grey_of, keyed_png, read_deep, separate_planes
from .sizes import MAX_BYTES, frame_bytes

if TYPE_CHECKING:
    from PIL import Image

ORIENTATION = 0x0112  # in EXIF
MAX_STILL_PIXELS = 50_000_000  # as floats with transparency they take 0.8 GB
BAND = 1 << 22  # pixels that are converted at a time
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
    for _, pixels, clear in _read(path, 1):
        return torch.from_numpy(pixels)[None], clear
    raise SoraError(f"{Path(path).name} has no frames: use another picture.")


def read_pictures(path: str | Path) -> tuple[Tensor, bool]:
    """Read all frames of a picture as `read_picture` does, `[T,H,W,4]`: those of an animated GIF, WebP, PNG or AVIF.

    Raises SoraError as `read_picture`, and for frames that need more than MAX_BYTES, or than is free.
    """
    frames, has_alpha, at = torch.empty(0), False, 0
    for count, pixels, clear in _read(path, None):
        if at == 0:
            frames = torch.from_numpy(pixels)[None] if count == 1 else torch.empty(count, *pixels.shape)
        elif pixels.shape != frames.shape[1:]:  # a picture that moves has one size
            continue
        if count > 1:
            frames[at] = torch.from_numpy(pixels)
        at, has_alpha = at + 1, has_alpha or clear
    return frames[:at], has_alpha


def read_layers(path: str | Path) -> tuple[Tensor, Tensor | None]:
    """Read all frames as `read_pictures` does, in two: their colours `[T,H,W,3]`, their opacity `[T,H,W]`.

    The opacity is None where the file knows no transparency.
    """
    colours, opacity, at = torch.empty(0), None, 0
    for count, pixels, clear in _read(path, None):
        if at == 0:
            colours = torch.empty(count, *pixels.shape[:2], 3)
        elif pixels.shape[:2] != colours.shape[1:3]:  # a picture that moves has one size
            continue
        given = torch.from_numpy(pixels)
        colours[at] = given[..., :3]
        if clear and opacity is None:
            opacity = torch.ones(colours.shape[:3])
        if opacity is not None:
            opacity[at] = given[..., 3]
        at += 1
    return colours[:at], None if opacity is None else opacity[:at]


def _read(path: str | Path, most: int | None) -> Iterator[tuple[int, np.ndarray, bool]]:
    """Yield `most` frames of a picture, None for all, one by one.

    With each come how many there are, its pixels `[H,W,4]` float 0..1, and whether it knows transparency.
    """
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
                colours = read_deep(path, lambda wide, high: _check_pixels(path.name, wide, high))
                if colours is None:
                    raise
                yield 1, colours, bool((colours[..., 3] < 1).any())
                return
            _check_pixels(path.name, *opened.size)
            shown = _frames_of(opened) if most is None else range(1)
            side = frame_bytes(*opened.size) * 4 // 3
            what = f"{path.name}, {len(shown)} frames of {opened.size[0]}x{opened.size[1]},"
            if len(shown) > 1:
                needed = len(shown) * side
                expect(
                    needed <= MAX_BYTES,
                    f"{what} needs {gib(needed)}; at most {gib(MAX_BYTES)} are read. Make it smaller or shorter.",
                )
                expect_memory(needed + 2 * side, what, "make it smaller or shorter.")
            for number in shown:
                check_interrupted()
                if number:
                    opened.seek(number)
                yield len(shown), *_rgba(opened, path)
    except (OSError, *MALFORMED, Image.DecompressionBombError) as error:
        raise SoraError(f"{path.name} cannot be read as a picture ({error}): use a PNG, JPEG or WebP.") from error


def _check_pixels(name: str, width: int, height: int) -> None:
    expect(
        width * height <= MAX_STILL_PIXELS and max(width, height) < 1 << 16,
        f"{name} says it is {width}x{height} pixels; at most {MAX_STILL_PIXELS // 1_000_000} million "
        "are opened, and 65535 a side. Make it smaller.",
    )
    # What is kept, and as much again where numbers are brought from one kind to another.
    expect_memory(width * height * 32, f"{name}, {width}x{height} pixels,", "make it smaller.")


def _frames_of(opened: Image.Image) -> range:
    """List the frames of a picture that moves; of any other, and of pages, the first."""
    # Pages are not even counted: there may be any number of them.
    count = getattr(opened, "n_frames", 1) if opened.format in ANIMATED else 1
    if count < 2:
        return range(1)
    # A PNG may show another picture where it cannot move.
    return range(1 if getattr(opened, "default_image", False) else 0, count)


def _rgba(opened: Image.Image, path: Path) -> tuple[np.ndarray, bool]:
    """Return the current frame upright, `[H,W,4]` float 0..1, and whether it knows transparency."""
    from PIL import ImageOps

    key = opened.info.get("transparency")
    planes = separate_planes(opened, path)
    if planes is not None:
        return planes, bool((planes[..., 3] < 1).any())
    picture = ImageOps.exif_transpose(opened)
    if picture.mode[0] in "IF":
        return grey_of(picture, opened, key)
    if key is not None and picture.mode in ("1", "L", "RGB") and opened.format == "PNG":
        keyed = keyed_png(picture, key, path, opened.getexif().get(ORIENTATION, 1))
        if keyed is not None:
            return keyed, True
    has_alpha = "A" in picture.getbands() or "a" in picture.getbands() or "transparency" in picture.info
    wide, high = picture.size
    pixels = np.empty((high, wide, 4), np.float32)
    rows = max(1, BAND // wide)  # at a time, so that memory holds little more than what is kept
    for top in range(0, high, rows):
        check_interrupted()
        part = picture if rows >= high else picture.crop((0, top, wide, min(top + rows, high)))
        pixels[top : top + rows] = np.asarray(part.convert("RGBA"))
        pixels[top : top + rows] /= 255
    return pixels, has_alpha


def flatten_alpha(frames: Tensor) -> Tensor:
    """Lay `[T,H,W,4]` over white: `[T,H,W,3]`."""
    alpha = frames[..., 3:]
    return frames[..., :3] * alpha + (1 - alpha)
