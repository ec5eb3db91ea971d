"""Pictures of more than 8 bits a colour, and the transparent colour of a PNG, which is one of its own numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SoraError, expect
from .structure import names_others
from .threads import converting

if TYPE_CHECKING:
    from PIL import Image

BITS_PER_SAMPLE, SAMPLE_FORMAT, PHOTOMETRIC = 258, 339, 262  # TIFF tags
PLANES, SEPARATE = 284, 2
UNSIGNED, WHITE_IS_ZERO = 1, 0
BRIGHT = 16.0  # a float picture that goes beyond counts to 255 or 65535; one that does not has highlights above white


def grey_of(picture: Image.Image, file: Image.Image, key: int | None = None) -> tuple[np.ndarray, bool]:
    """Return a grey picture of 16 or 32 bits or floats as `[H,W,4]` float 0..1, and whether it knows transparency.

    file: the picture as it was opened, which knows its tags. key: the number that is transparent.

    Raises SoraError for numbers that have no white, see `white_of`.
    """
    values = np.asarray(picture)
    tags = getattr(file, "tag_v2", None) or {}
    wide = picture.mode == "I" and file.format == "TIFF" and tags.get(BITS_PER_SAMPLE, (32,))[0] == 32
    if wide and tags.get(SAMPLE_FORMAT, (UNSIGNED,))[0] == UNSIGNED:
        values = values.astype(np.int32).view(np.uint32)
    # A PNG says its depth, whatever type its numbers are brought in.
    white = white_of(values) if wide or picture.mode == "F" else 65535.0
    pixels = np.empty((*values.shape, 4), np.float32)
    turned = wide and tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
    for row, grey, made in zip(values, pixels[..., 0], pixels, strict=True):  # with no copy of the whole
        np.clip(row / white, 0, 1, out=grey, casting="same_kind")
        if turned:
            np.subtract(1, grey, out=grey)
        made[:, 1] = made[:, 2] = grey
        made[:, 3] = 1 if key is None else row != key
    return pixels, key is not None


def white_of(values: np.ndarray) -> float:
    """Return the number that is white in a picture of floats or of 32 bits, which its file does not say.

    Floats are parts of 1, with highlights above it up to BRIGHT. Others count to 255 or 65535, if none goes beyond, and
    integers else to the largest of their type. Raises SoraError for floats beyond, and for NaN.
    """
    expect(bool(np.isfinite(values).all()), "The picture holds NaN or infinite values: save it again.")
    peak = float(values.max(initial=0))
    integers = not np.issubdtype(values.dtype, np.floating)
    if not integers and peak <= BRIGHT:
        return 1.0
    for white in (255.0, 65535.0):
        if peak <= white:
            return white
    expect(integers, f"The picture's numbers go up to {peak:g}: save it with white at 1, 255 or 65535.")
    return float(np.iinfo(values.dtype).max)


def keyed_png(picture: Image.Image, key: int | tuple[int, ...], path: Path, orientation: int = 1) -> np.ndarray | None:
    """Return a PNG with a transparent colour as `[H,W,4]` float 0..1; None where Pillow reads it rightly.

    The colour is given in the file's own numbers. Pillow compares it with its pixels, which it has brought to 8 bits.
    picture: upright. orientation: how the file's own rows lie, as EXIF counts.
    """
    with open(path, "rb") as file:
        depth = file.read(25)[24]
    if depth == 16 and picture.mode == "RGB":
        values = _decoded(path)
        return None if values is None else _upright(values, orientation)
    if depth < 8 and isinstance(key, int):
        white = (1 << depth) - 1
        grey = np.asarray(picture.convert("L"), dtype=np.float32) / 255
        # In one bit Pillow has made the number a colour already.
        wanted = (key > 0) if white == 1 else key / white
        clear = abs(grey - float(wanted)) < 0.5 / white
        return np.stack((grey, grey, grey, (~clear).astype(np.float32)), -1)
    return None


def _upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """Turn a picture `[H,W,C]` as EXIF's orientation says: 1 to 8."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return np.ascontiguousarray(values[::-1] if orientation in (3, 4, 7, 8) else values)


def read_deep(path: Path, check: Callable[[int, int], None] = lambda wide, high: None) -> np.ndarray | None:
    """Read a TIFF that Pillow cannot as `[H,W,4]` float 0..1, by FFmpeg; None for other files and where it cannot.

    check: is called with width and height before it is decoded, and raises where they are too large.
    """
    with open(path, "rb") as file:
        if file.read(4) not in (b"II*\0", b"MM\0*"):
            return None
    return _decoded(path, check)


def separate_planes(file: Image.Image, path: Path) -> np.ndarray | None:
    """Return a TIFF whose colours of more than 8 bits lie in planes of their own as `[H,W,4]` float 0..1.

    None for all others. Pillow reads such a plane as if it had 8 bits. Raises SoraError where FFmpeg cannot read it.
    """
    tags = getattr(file, "tag_v2", None) or {}
    if file.format != "TIFF" or tags.get(PLANES) != SEPARATE or len(tags.get(BITS_PER_SAMPLE, ())) < 3:
        return None
    if max(tags[BITS_PER_SAMPLE]) <= 8:
        return None
    pixels = _decoded(path)
    if pixels is None:
        raise SoraError(
            f"{path.name} has colours of {max(tags[BITS_PER_SAMPLE])} bits in separate planes: save it again."
        )
    return pixels


def _integers(path: Path) -> bool:
    """Tell whether a TIFF says that its numbers of 32 bits are integers, which FFmpeg takes for floats."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    with open(path, "rb") as file:
        tags = ImageFileDirectory_v2(file.read(8))
        file.seek(tags.next)
        tags.load(file)
    return bool(tags.get(SAMPLE_FORMAT, (UNSIGNED,))[0] == UNSIGNED)


def _as_integers(frame: Any, with_alpha: bool) -> np.ndarray:
    """Return a frame of what FFmpeg took for floats as `[H,W,3 or 4]` uint32; converting it would change some."""
    name, samples = frame.format.name, 4 if with_alpha else 3
    if name.startswith("gb"):  # in planes
        return np.asarray(frame.to_ndarray(format=name)).view(np.uint32)
    lines = np.frombuffer(frame.planes[0], ">u4" if name.endswith("be") else "<u4").reshape(frame.height, -1)
    return lines[:, : frame.width * samples].reshape(frame.height, frame.width, samples).astype(np.uint32)


def _decoded(path: Path, check: Callable[[int, int], None] = lambda wide, high: None) -> np.ndarray | None:
    """Decode a still with FFmpeg, `[H,W,4]` float 0..1; None where it cannot."""
    import av

    if names_others(path):
        return None
    try:
        with av.open(str(path)) as container:
            if container.streams.video and container.streams.video[0].codec_context is not None:
                check(container.streams.video[0].width, container.streams.video[0].height)
            frame = next(container.decode(video=0), None)
    except (av.FFmpegError, OSError):
        return None
    if frame is None:
        return None
    floats = "f32" in frame.format.name
    with_alpha = any(part.is_alpha for part in frame.format.components)
    if floats and _integers(path):
        values, white = _as_integers(frame, with_alpha), 1.0
    else:
        layout = "rgba64le" if not floats else "gbrapf32le" if with_alpha else "gbrpf32le"
        values, white = frame.to_ndarray(format=layout, **converting()), 65535.0
    del frame
    white = white_of(values[..., :3]) if floats else white
    pixels = np.empty((*values.shape[:2], 4), np.float32)
    for row, made in zip(values, pixels, strict=True):  # with no copy of the whole
        made[:, :3] = row[:, :3] / white
        made[:, 3] = row[:, 3] / (1 if values.dtype == np.float32 else white) if with_alpha or not floats else 1
    return pixels.clip(0, 1, out=pixels)
