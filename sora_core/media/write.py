"""Video files out, frame by frame, so that memory does not grow with duration.

Written files are mp4: H.264, yuv420p, BT.709 (tagged and converted so), index in front so that a browser can play while
it loads, with the workflow in the metadata. PyAV does the coding.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from ..errors import SoraError, expect
from ..files import DISK_ERRORS, ensure_mp4, ensure_writable, released, write_error, written_beside
from ..interrupt import check_interrupted
from ..safety.gate import check_frames, noting, tell
from .copying import CopyPlan, copy_packets, plan_copy
from .saved import NotSavedError, check_saved
from .sizes import check_rate
from .sound import add_audio_stream, encode_audio, read_audio
from .tags import without_graph
from .threads import converting, use_threads
from .timing import read_timing
from .tracks import open_video
from .video import probe, steady_frames

if TYPE_CHECKING:
    from av import VideoStream
    from av.container import OutputContainer

MAX_WRITTEN_RATE = 1000  # frames per second: more than was made, for what was read is written at the rate it had
BT709 = 1  # FFmpeg's number of the colour matrix
SAVED_CRF = 16.0  # quality of what is saved for good, as Sora Save Video has it
CONTAINER = {"movflags": "use_metadata_tags+faststart"}  # any name of a tag; the index in front
Frames: TypeAlias = Tensor | np.ndarray | Iterable[Tensor | np.ndarray]


class SavingSteps(Protocol):
    """What a file gets while it is saved, as `sora_core.provenance.Saving` has it."""

    notes: list[str]  # what a person should know, one sentence each

    def keep(self, frames: Any) -> None:
        """Leave those of `frames` as they are that are known to be a user's own."""

    def marked(self, frames: Iterable[Tensor], fps: float | Fraction | None = None) -> Iterator[Tensor]:
        """Yield the pieces `[t,H,W,3]` of a video with their watermark and visible label."""

    def tags(self) -> dict[str, str]:
        """Return the tags that labels put into the file."""

    def seal(self, path: Path, title: str) -> None:
        """Put the credentials into the finished file `path`."""


def frame_rate(fps: float | Fraction) -> Fraction:
    """Return `fps` as a fraction that containers can hold. Raises SoraError outside 0..MAX_WRITTEN_RATE."""
    check_rate(fps, MAX_WRITTEN_RATE)
    rate = Fraction(fps).limit_denominator(1001)  # keeps film and NTSC rates (24000/1001) exact
    check_rate(rate, MAX_WRITTEN_RATE)  # less than one frame in 1001 seconds or so has become 0
    return rate


def write_video(
    path: str | Path,
    frames: Frames,
    fps: float | Fraction,
    *,
    metadata: dict[str, str] | None = None,
    crf: float = 18.0,
    audio: dict[str, Any] | None = None,
    saving: SavingSteps | None = None,
) -> int:
    """Write `frames` to the mp4 file `path`; returns how many there were.

    frames: `[T,H,W,3]`, or any iterable of `[H,W,3]` frames or `[t,H,W,3]` chunks; float 0..1 or uint8, tensor or
        array. An odd width or height is padded by repeating the last column or row (4:2:0 colour needs even sizes).
    metadata: texts by tag name.
    crf: quality, 0 (lossless) to 51.
    audio: `{"waveform": [1,channels,samples], "sample_rate"}`.
    saving: the watermark and the Content Credentials that the file gets, and where it is noted what the policy
        concealed; None for none of it.

    The file appears under `path` only when it is complete. Raises SoraError when there are no frames, sizes differ, the
    disk is full or the folder read-only, and, before any frame is made, for a name that is no mp4's.
    """
    import av

    path = Path(path)
    # Frames that come in pieces are checked as they are encoded.
    with released(path), noting(None if saving is None else saving.notes):
        ensure_mp4(path)
        rate = frame_rate(fps)
        ensure_writable(path.parent)
        audio = audio if audio and audio["waveform"].shape[-1] else None
        if saving is not None:
            saving.keep(frames)
        pieces = _pieces(check_frames(frames))
        pixels = _as_uint8_frames(pieces if saving is None else saving.marked(pieces, rate))
        # The first frame is made before the file: what cannot be written leaves nothing behind.
        first = next(pixels, None)
        if first is None:
            raise SoraError("There are no frames to write: the video is empty.")
        with written_beside(path) as part:
            try:
                tags = {**(metadata or {}), **({} if saving is None else saving.tags())}
                count = _encode(part, itertools.chain([first], pixels), rate, tags, crf, audio)
            except av.FFmpegError as error:
                raise write_error(path, OSError(error.errno, error.strerror)) from error
            if saving is not None:
                saving.seal(part, path.name)
            check_saved(part, path.name, count, sound=audio is not None)
    return count


def remux(source: str | Path, path: str | Path, metadata: dict[str, str], saving: SavingSteps | None = None) -> None:
    """Copy a video into an mp4 with `metadata` and the credentials of `saving`, without encoding its picture again.

    Sound that mp4 cannot hold is encoded as AAC, with a note. So is the picture where its file does not tell when a
    frame is shown, close to lossless.

    Raises SoraError as `write_video`, for what is no video, and if the copy has not all frames.
    """
    source, path = Path(source), Path(path)
    with released(path):
        ensure_mp4(path)
        ensure_writable(path.parent)
        _remux(source, path, metadata, saving)


def _remux(source: Path, path: Path, metadata: dict[str, str], saving: SavingSteps | None) -> None:
    plan = plan_copy(source)
    if plan is None:
        why = "it does not say when its frames are shown"
    elif not (why := _copied(source, path, metadata, plan, saving)):
        for note in plan.notes:
            _note(saving, note)
        return
    _note(saving, f"{source.name} was encoded again: {why}.")
    rate, tags = read_timing(source).rate, {**without_graph(probe(source).metadata), **metadata}
    sound = read_audio(source)
    write_video(path, steady_frames(source), rate, metadata=tags, crf=SAVED_CRF, audio=sound, saving=saving)


def _note(saving: SavingSteps | None, note: str) -> None:
    with noting(None if saving is None else saving.notes):
        tell(note)


def _copied(source: Path, path: Path, metadata: dict[str, str], plan: CopyPlan, saving: SavingSteps | None) -> str:
    """Copy a video as planned; returns why it cannot be, "" where it was.

    Raises SoraError where nothing can be written there.
    """
    import av

    try:
        with (
            noting(None if saving is None else saving.notes),
            open_video(source) as given,
            written_beside(path) as part,
        ):
            with av.open(str(part), "w", format="mp4", options=CONTAINER) as made:
                labels = {} if saving is None else saving.tags()
                for key, value in {**without_graph(given.metadata), **metadata, **labels}.items():
                    made.metadata[key] = value
                heard = copy_packets(given, made, plan)
            if saving is not None:
                saving.seal(part, path.name)
            damage = check_saved(part, path.name, plan.frames, sound=heard, source=source)
            if note := damage.note(source):
                tell(note)
    except NotSavedError:
        return "a copy of its packets does not hold all its frames"
    except av.FFmpegError as error:
        if error.errno in DISK_ERRORS:
            raise write_error(path, OSError(error.errno, error.strerror)) from error
        return f"its packets cannot be copied ({error.strerror})"
    except ValueError as error:  # PyAV's own, for a codec
        return f"mp4 cannot hold it as it is ({error})"
    return ""


def _encode(
    part: Path,
    frames: Iterable[np.ndarray],
    rate: Fraction,
    metadata: dict[str, str],
    crf: float,
    audio: dict[str, Any] | None,
) -> int:
    """Encode `[H,W,3]` uint8 frames, and sound after them; returns how many frames there were."""
    import av

    with av.open(str(part), "w", format="mp4", options=CONTAINER) as container:
        for key, value in metadata.items():
            container.metadata[key] = value
        stream = _picture_stream(container, rate, crf)
        sound = add_audio_stream(container, audio) if audio else None
        shape: tuple[int, ...] | None = None
        count = 0
        for pixels in frames:
            check_interrupted()
            if shape is None:
                shape = pixels.shape
                stream.height, stream.width = (side + side % 2 for side in shape[:2])
            expect(
                pixels.shape == shape,
                f"Frame {count} is {pixels.shape[1]}x{pixels.shape[0]}, the first was {shape[1]}x{shape[0]}: all "
                "frames must have one size.",
            )
            frame = av.VideoFrame.from_ndarray(_even(pixels), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace=BT709, **converting())))
            count += 1
        container.mux(stream.encode(None))
        if sound is not None and audio is not None:
            encode_audio(container, sound, audio, count / rate)
    return count


def _picture_stream(container: OutputContainer, rate: Fraction, crf: float) -> VideoStream:
    """Add an H.264 stream, whose size is still to be set."""
    stream = container.add_stream("libx264", rate=rate)
    stream.pix_fmt = "yuv420p"
    use_threads(stream)
    stream.options = {
        "crf": str(crf),
        "colorspace": "bt709",
        "color_primaries": "bt709",
        "color_trc": "bt709",
        "color_range": "tv",
        # The macroblock tree's vector code reads past the end of a row, so that what it decides depends on what lies in
        # memory there. Without it the same frames make the same file.
        "x264-params": "mbtree=0",
    }
    return stream


def _pieces(frames: Frames) -> Iterator[Tensor]:
    """Yield what `write_video` takes as tensors `[n,H,W,3]`. Raises SoraError for other shapes."""
    single = isinstance(frames, (Tensor, np.ndarray)) and frames.ndim == 3
    for item in [frames] if single else frames:
        pixels = item.detach().cpu() if isinstance(item, Tensor) else torch.as_tensor(np.asarray(item))
        pixels = pixels[None] if pixels.ndim == 3 else pixels
        expect(
            pixels.ndim == 4 and pixels.shape[-1] in (3, 4),
            f"A frame must have the shape [H,W,3], not {list(pixels.shape[1:])}.",
        )
        yield pixels[..., :3]


def _as_uint8_frames(pieces: Iterable[Tensor]) -> Iterator[np.ndarray]:
    """Yield one `[H,W,3]` uint8 array after the other. Raises SoraError for values that are not finite."""
    for piece in pieces:
        for frame in piece:
            if frame.dtype != torch.uint8:
                expect(
                    bool(torch.isfinite(frame).all()),
                    "A frame holds NaN or infinite values: the model or VAE went wrong before this point.",
                )
                frame = (frame.float().clamp(0, 1) * 255).round().to(torch.uint8)
            yield np.ascontiguousarray(frame.numpy())


def _even(pixels: np.ndarray) -> np.ndarray:
    """Repeat the last row and column where a side is odd."""
    height, width = pixels.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return pixels
    return np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
