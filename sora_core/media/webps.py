"""Animated WebP, which FFmpeg does not read: Pillow decodes its pictures, and they are given on without loss."""

from __future__ import annotations

import functools
import io
from fractions import Fraction
from pathlib import Path

from ..errors import SoraError, expect
from ..interrupt import check_interrupted

ANIMATED = 0x02  # flag of the VP8X chunk (WebP container specification, "Extended File Format")
MOST_PIXELS = 1 << 30  # of all pictures together: as much as 500 of 1920x1080
USUAL = 100  # milliseconds of a picture that says none, as browsers show it


def as_video(path: Path) -> bytes | None:
    """Return the pictures of an animated WebP, with alpha and times, as a file that FFmpeg reads; None for other files.

    Raises SoraError for one that is damaged, or too large.
    """
    with open(path, "rb") as file:
        head = file.read(21)
    if head[:4] != b"RIFF" or head[8:16] != b"WEBPVP8X" or len(head) < 21 or not head[20] & ANIMATED:
        return None
    stat = path.stat()
    return _converted(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=1)  # a file is opened several times in a row: for its size, its times, its frames
def _converted(path: Path, changed: int, size: int) -> bytes:
    import av
    import numpy as np
    from PIL import Image

    made, index, time = io.BytesIO(), 0, 0
    try:
        with Image.open(path, formats=["WEBP"]) as image, av.open(made, "w", format="nut") as container:
            frames = getattr(image, "n_frames", 1)
            expect(
                frames * image.width * image.height <= MOST_PIXELS,
                f"{path.name} has {frames} pictures of {image.width}x{image.height}, too many for an "
                "animated WebP: convert it to an mp4.",
            )
            stream = container.add_stream("ffv1", rate=1000)
            stream.width, stream.height, stream.pix_fmt = image.width, image.height, "bgra"
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
            for index in range(frames):
                check_interrupted()
                image.seek(index)
                image.load()
                frame = av.VideoFrame.from_ndarray(np.asarray(image.convert("RGBA")), format="rgba").reformat(
                    format="bgra"
                )
                frame.pts, frame.time_base = time, Fraction(1, 1000)
                container.mux(stream.encode(frame))
                time += int(image.info.get("duration") or USUAL)
            container.mux(stream.encode(None))
    except (OSError, ValueError, EOFError, SyntaxError, Image.DecompressionBombError) as error:
        raise SoraError(f"{path.name} is damaged (at picture {index + 1}): use another file.") from error
    return made.getvalue()
