"""What a player shows of a decoded frame: square pixels, upright, over white, in the colours of BT.709."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from .colour import matrix_of, to_bt709, transfer_of, with_known_matrix
from .packets import Damage, decoded
from .threads import converting

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

MAX_ASPECT = 4  # of one pixel, either way; what a damaged header says beyond is not believed
MAX_FIRST_PIXELS = 8192 * 8192  # of a frame that is decoded to learn how it lies
FIRST_PACKETS = 64  # within which a first frame is looked for
# FFmpeg's own decoders leave the transparency of these out.
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
PLAIN = (1, 0, 0, 1)
DISPLAY_MATRIX = 6  # of FFmpeg's AV_FRAME_DATA_*, the kinds of data beside the pixels
MOST_SIDES = 64  # more kinds than there are


@dataclass(frozen=True)
class View:
    """How the frames of one file are shown."""

    aspect: Fraction = Fraction(1)  # width over height of one pixel
    # The display matrix (a, b, c, d), each -1, 0 or 1: a pixel at (x, y) is shown at (ax + cy, bx + dy).
    turn: tuple[int, int, int, int] = PLAIN
    transfer: str = ""  # name of the transfer function, if it is one that is not converted
    matrix: str = ""  # name of the matrix of the colours, if it is read as another
    # Width and height of the first frame as it is coded. Where clips of several sizes were joined without encoding
    # them, all are shown in this one.
    coded: tuple[int, int] | None = None

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return the width and height that a frame of `width` x `height` is shown in."""
        width, height = self._square(width, height)
        return (height, width) if self.turn[0] == 0 else (width, height)

    def pixels(self, frame: av.VideoFrame) -> np.ndarray:
        """Return a frame as it is shown, `[H,W,3]` uint8."""
        return turned(_converted(frame, *self._square(*(self.coded or (frame.width, frame.height)))), self.turn)

    def _square(self, width: int, height: int) -> tuple[int, int]:
        """Return the size that makes pixels square. A side grows, so that nothing is lost."""
        aspect = float(self.aspect)
        return round(width * max(aspect, 1.0)), round(height / min(aspect, 1.0))

    def notes(self, name: str) -> tuple[str, ...]:
        """Say what of the file `name` could not be shown as it is meant."""
        told = (("brightness is", self.transfer), ("colours are", self.matrix))
        return tuple(
            f"{name}: its {what} coded as {way}, which is not converted; colours may be off."
            for what, way in told
            if way
        )


def view_of(container: InputContainer, stream: VideoStream) -> View:
    """Find how a picture track of an open file is shown. Its first frame is decoded, so the file has moved on.

    Players take the matrix from the frame, where a container's and a codec's own come together.
    """
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    if not Fraction(1, MAX_ASPECT) <= aspect <= MAX_ASPECT:
        aspect = Fraction(1)
    turn, transfer, matrix, coded = PLAIN, "", "", None
    pixels = getattr(stream, "width", 0) * getattr(stream, "height", 0)  # no size without a decoder
    if 0 < pixels <= MAX_FIRST_PIXELS:
        # What is damaged is told of where frames are read.
        frame = next(decoded(container, stream, Damage(most=FIRST_PACKETS)), None)
        if frame is not None:
            turn, coded = turn_of(frame), (frame.width, frame.height)
            transfer, matrix = transfer_of(frame), matrix_of(frame)
    return View(aspect, turn, transfer, matrix, coded)


def turn_of(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """Return the display matrix of a frame, see `View.turn`, to the nearest quarter turn."""
    for side in _sides(frame):
        if side.buffer_size >= 36:
            a, b, _, c, d = struct.unpack("=5i", bytes(side)[:20])
            if abs(a) + abs(d) >= abs(b) + abs(c):
                return (-1 if a < 0 else 1, 0, 0, -1 if d < 0 else 1)
            return (0, -1 if b < 0 else 1, -1 if c < 0 else 1, 0)
    return PLAIN


def _sides(frame: av.VideoFrame) -> Iterator[Any]:
    """Yield the display matrix of a frame, as PyAV lists what is told beside the pixels.

    What else is there is taken off before, by FFmpeg's filters: PyAV lists nothing where there is a kind that it has no
    name for, such as the EXIF of a camera's JPEG, and crashes where one has a name of its own, as a colour profile has.
    """
    import av

    graph = av.filter.Graph()
    first = last = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 1000)
    )
    for kind in range(MOST_SIDES):
        if kind != DISPLAY_MATRIX:
            remover = graph.add("sidedata", f"mode=delete:type={kind}")
            last.link_to(remover)
            last = remover
    end = graph.add("buffersink")
    last.link_to(end)
    try:
        graph.configure()
        first.push(frame)
        sides: Any = end.pull().side_data  # PyAV's types say that it lists names
        yield from sides
    except (av.FFmpegError, ValueError):
        return


def turned(pixels: np.ndarray, turn: tuple[int, int, int, int]) -> np.ndarray:
    """Turn and mirror `[H,W,C]` as a display matrix says, see `View.turn`."""
    if turn == PLAIN:
        return pixels
    a, b, c, d = turn
    if a == 0:
        pixels = pixels.swapaxes(0, 1)
        across, down = c, b
    else:
        across, down = a, d
    return np.ascontiguousarray(pixels[::down, ::across])


def _converted(frame: av.VideoFrame, width: int, height: int) -> np.ndarray:
    """Return `[height,width,3]` uint8 in BT.709's colours over white."""
    frame = with_known_matrix(frame)

    threads = converting()

    def read(layout: str) -> np.ndarray:
        if (width, height) == (frame.width, frame.height):
            return frame.to_ndarray(format=layout, **threads)
        return frame.reformat(
            width=width, height=height, format=layout, interpolation="BICUBIC", **threads
        ).to_ndarray()

    colours = to_bt709(frame, read)
    if not has_alpha(frame):
        return read("rgb24") if colours is None else colours
    rgba = read("rgba")
    return over_white(rgba[..., :3] if colours is None else colours, rgba[..., 3:])


def has_alpha(frame: av.VideoFrame) -> bool:
    """Tell whether a frame knows transparency, in a plane or in its palette."""
    layout = frame.format
    return bool(layout.has_palette) or any(part.is_alpha for part in layout.components)


def over_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Lay `[H,W,3]` over white, by `alpha` `[H,W,1]`; all uint8."""
    share = alpha.astype(np.uint32)
    return ((pixels * share + 255 * (255 - share) + 127) // 255).astype(np.uint8)


def decoder_of(stream: VideoStream) -> Any:
    """Make the decoder that knows the transparency of a picture track; None where the stream's own does."""
    import av

    name = ALPHA_DECODERS.get(stream.codec_context.name if stream.codec_context else "")
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    if name is None or tags.get("alpha_mode") != "1" or name not in av.codecs_available:
        return None
    return av.CodecContext.create(name, "r")
