"""Which tracks of a file are its picture and its sound. PyAV opens the file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SoraError, expect
from ..files import is_file
from ..interrupt import check_interrupted
from .gifs import with_times
from .structure import codec_of, has_index, names_others
from .webps import as_video

if TYPE_CHECKING:
    from av import AudioStream, VideoStream
    from av.container import InputContainer

# Bits of FFmpeg's AV_DISPOSITION_*, which older PyAV has no names for.
DEFAULT, ATTACHED_PIC, TIMED_THUMBNAILS = 1, 1 << 10, 1 << 11


def open_video(path: str | Path) -> InputContainer:
    """Open a file that has a picture track. Raises SoraError if there is no such file, or it has none."""
    import av

    path = Path(path)
    check_interrupted()
    expect(is_file(path), f"There is no video file {str(path)!r}: check the name.")
    # Before FFmpeg opens what it names.
    expect(not names_others(path), f"{path.name} is a list of other files, not a video: use one of those.")
    try:
        mended = with_times(path) or as_video(path)
        given: Any = str(path) if mended is None else io.BytesIO(mended)
        container = av.open(given, "r")
    except (av.FFmpegError, OSError) as error:
        _expect_index(path, error)
        raise SoraError(
            f"{path.name} cannot be read as a video ({error.strerror}): use an mp4, webm or mov file."
        ) from error
    if not _pictures(container):
        cover = " (its picture is a cover)" if container.streams.video else ""
        container.close()
        raise SoraError(f"{path.name} has no picture track{cover}: use a video file.")
    if picture_stream(container).codec_context is None:
        container.close()
        _expect_index(path)
        code = codec_of(path)
        raise SoraError(
            f"{path.name}: its picture has {f'the codec {code}' if code else 'a codec'}, which cannot be read: convert "
            "it to H.264, or use another file."
        )
    return container


def _expect_index(path: Path, error: Exception | None = None) -> None:
    """Raise SoraError where the index of a file is missing, because of an `error` or without one."""
    if not has_index(path):
        raise SoraError(
            f"{path.name} is cut short: its index is missing, which stands at its end. Copy or record it again."
        ) from error


def picture_stream(container: InputContainer) -> VideoStream:
    """Choose the picture track of what `open_video` opened: the default one, of several the largest."""

    def rank(stream: VideoStream) -> tuple[bool, bool, int]:
        # A stream without a decoder, as in a file that is cut short, says no size.
        size = getattr(stream, "width", 0) * getattr(stream, "height", 0)
        return _disposition(stream) & DEFAULT != 0, stream.frames != 1, size

    return max(_pictures(container), key=rank)  # the first of equal ones


def sound_stream(container: InputContainer) -> AudioStream | None:
    """Choose the sound track: the default one, or else the first; None where there is none."""
    streams = container.streams.audio
    return max(streams, key=lambda stream: _disposition(stream) & DEFAULT != 0, default=None)


def _pictures(container: InputContainer) -> list[VideoStream]:
    """List the picture tracks that are no cover of an album and no thumbnail."""
    return [s for s in container.streams.video if not _disposition(s) & (ATTACHED_PIC | TIMED_THUMBNAILS)]


def _disposition(stream: VideoStream | AudioStream) -> int:
    return int(getattr(stream, "disposition", DEFAULT))
