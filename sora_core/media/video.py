"""Video files in and out, frame by frame, so that memory does not grow with duration.

Written files are mp4: H.264, yuv420p, BT.709 (tagged and converted so), index in front so that a browser can
play while it loads, with the workflow in the metadata. PyAV does the coding.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..errors import SoraError, expect
from ..files import ensure_writable, write_error, written_beside
from ..safety.gate import check_frames

if TYPE_CHECKING:
    from ..provenance import Saving

# Decoded video as float32 is large: 10 s of 1080p is 7 GB. Refuse more than this in one piece.
MAX_READ_BYTES = 8 << 30
BT709 = 1


@dataclass
class VideoInfo:
    """What a video file says about itself. `frames` is estimated where the container does not count them."""

    width: int
    height: int
    fps: Fraction
    frames: int
    duration: float
    codec: str
    has_audio: bool
    metadata: dict[str, str] = field(default_factory=dict)


def frame_rate(fps: float | Fraction) -> Fraction:
    """`fps` as a fraction that containers can hold. Raises SoraError outside 0..1000."""
    rate = Fraction(fps).limit_denominator(1001) if fps == fps and abs(fps) < 1e6 else Fraction(0)
    expect(0 < rate <= 1000, f"{fps} frames per second cannot be written: use a value above 0, at most 1000.")
    return rate


def write_video(
    path: str | Path,
    frames: Any,
    fps: float | Fraction,
    *,
    metadata: dict[str, str] | None = None,
    crf: float = 18.0,
    audio: dict[str, Any] | None = None,
    saving: Saving | None = None,
) -> int:
    """Write `frames` to the mp4 file `path`; returns how many there were.

    frames: `[T,H,W,3]`, or any iterable of `[H,W,3]` frames or `[t,H,W,3]` chunks; float 0..1 or uint8,
        tensor or array. An odd width or height is padded by repeating the last column or row (4:2:0 colour
        needs even sizes).
    metadata: texts by tag name.
    crf: quality, 0 (lossless) to 51.
    audio: `{"waveform": [1,channels,samples], "sample_rate"}`.
    saving: the watermark and the Content Credentials that the file gets; None for neither.

    The file appears under `path` only when it is complete. Raises SoraError when there are no frames, sizes
    differ, the disk is full or the folder read-only.
    """
    import av

    path = Path(path)
    rate = frame_rate(fps)
    ensure_writable(path.parent)
    frames = check_frames(frames)
    stream_of_frames = _as_uint8_frames(_pieces(frames) if saving is None else saving.marked(_pieces(frames)))
    first = next(stream_of_frames, None)
    expect(first is not None, "There are no frames to write: the video is empty.")
    with written_beside(path) as part:
        try:
            count = _encode(part, itertools.chain([first], stream_of_frames), rate, metadata or {}, crf, audio)
        except av.FFmpegError as error:
            raise write_error(path, OSError(error.errno, error.strerror)) from error
        if saving is not None:
            saving.seal(part, path.name)
    return count


def _encode(
    part: Path,
    frames: Iterator[np.ndarray],
    rate: Fraction,
    metadata: dict[str, str],
    crf: float,
    audio: dict[str, Any] | None,
) -> int:
    import av

    options = {"movflags": "use_metadata_tags+faststart"}
    with av.open(str(part), "w", format="mp4", options=options) as container:
        for key, value in metadata.items():
            container.metadata[key] = value
        stream = container.add_stream("libx264", rate=rate)
        stream.pix_fmt = "yuv420p"
        # The macroblock tree's vector code reads past the end of a row, so that what it decides depends on what lies
        # in memory there. Without it the same frames make the same file.
        stream.options = {
            "crf": str(crf),
            "colorspace": "bt709",
            "color_primaries": "bt709",
            "color_trc": "bt709",
            "color_range": "tv",
            "x264-params": "mbtree=0",
        }
        sound = container.add_stream("aac", rate=int(audio["sample_rate"])) if audio else None
        shape: tuple[int, ...] | None = None
        count = 0
        for pixels in frames:
            if shape is None:
                shape = pixels.shape
                stream.height, stream.width = (side + side % 2 for side in shape[:2])
            expect(
                pixels.shape == shape,
                f"Frame {count} is {pixels.shape[1]}x{pixels.shape[0]}, the first was "
                f"{shape[1]}x{shape[0]}: all frames must have one size.",
            )
            frame = av.VideoFrame.from_ndarray(_even(pixels), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace=BT709)))
            count += 1
        container.mux(stream.encode(None))
        if sound is not None:
            _encode_audio(container, sound, audio, count / rate)
    return count


def _encode_audio(container: Any, stream: Any, audio: dict[str, Any], seconds: Fraction) -> None:
    """Sound cut to the length of the picture; more than two channels are mixed to one."""
    import av

    rate = int(audio["sample_rate"])
    wave = audio["waveform"][0, :, : round(seconds * rate)].float().cpu()
    if wave.shape[0] > 2:
        wave = wave.mean(0, keepdim=True)
    layout = "mono" if wave.shape[0] == 1 else "stereo"
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave.numpy()), format="fltp", layout=layout)
    frame.sample_rate = rate
    frame.pts = 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _pieces(frames: Any) -> Iterator[torch.Tensor]:
    """What `write_video` takes, as tensors `[n,H,W,3]`."""
    single = isinstance(frames, (torch.Tensor, np.ndarray)) and frames.ndim == 3
    for item in [frames] if single else frames:
        pixels = item.detach().cpu() if isinstance(item, torch.Tensor) else torch.as_tensor(np.asarray(item))
        pixels = pixels[None] if pixels.ndim == 3 else pixels
        expect(
            pixels.ndim == 4 and pixels.shape[-1] in (3, 4),
            f"A frame must have the shape [H,W,3], not {list(pixels.shape[1:])}.",
        )
        yield pixels[..., :3]


def _as_uint8_frames(frames: Iterable[torch.Tensor]) -> Iterator[np.ndarray]:
    """One `[H,W,3]` uint8 array after the other."""
    for pixels in frames:
        for frame in pixels:
            if frame.dtype != torch.uint8:
                expect(
                    bool(torch.isfinite(frame).all()),
                    "A frame holds NaN or infinite values: the model or VAE went wrong before this point.",
                )
                frame = (frame.float().clamp(0, 1) * 255).round().to(torch.uint8)
            yield np.ascontiguousarray(frame.numpy())


def _even(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return pixels
    return np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")


def probe(path: str | Path) -> VideoInfo:
    """Size, rate, length and metadata of a video file. Raises SoraError if it is none."""
    with _open(path) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        seconds = float(stream.duration * stream.time_base) if stream.duration else 0.0
        if not seconds and container.duration:
            seconds = container.duration / 1_000_000
        return VideoInfo(
            width=stream.width,
            height=stream.height,
            fps=Fraction(rate),
            frames=stream.frames or round(seconds * rate),
            duration=seconds,
            codec=stream.codec_context.name,
            has_audio=bool(container.streams.audio),
            metadata=dict(container.metadata),
        )


def iter_frames(path: str | Path, *, start: float = 0.0, max_frames: int | None = None) -> Iterator[np.ndarray]:
    """Frames `[H,W,3]` uint8, turned upright, from `start` seconds on. Memory holds one frame."""
    import av

    count = 0
    with _open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        if start > 0:
            container.seek(int(start / stream.time_base), stream=stream)
        try:
            for frame in container.decode(stream):
                if max_frames is not None and count >= max_frames:
                    return
                if start > 0 and frame.time is not None and frame.time < start - 1e-6:
                    continue
                yield _upright(frame)
                count += 1
        except av.FFmpegError as error:
            raise SoraError(
                f"{path} is damaged after frame {count} ({error.strerror}): re-encode it or use another file."
            ) from error


def _upright(frame: Any) -> np.ndarray:
    pixels = frame.to_ndarray(format="rgb24")
    turns = round((getattr(frame, "rotation", 0) or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def read_video(
    path: str | Path, *, start: float = 0.0, max_frames: int | None = None, max_bytes: int = MAX_READ_BYTES
) -> tuple[torch.Tensor, Fraction]:
    """All frames `[T,H,W,3]` float 0..1, and the frame rate.

    Raises SoraError if the file is no video, has no frames, or would need more than `max_bytes` of memory.
    """
    info = probe(path)
    frame_bytes = info.width * info.height * 3 * 4
    limit = max_bytes // max(frame_bytes, 1)
    frames = []
    for pixels in iter_frames(path, start=start, max_frames=max_frames):
        expect(
            len(frames) < limit,
            f"{Path(path).name} has more than {limit} frames of {info.width}x"
            f"{info.height}, too many for memory: cut it or make it smaller.",
        )
        frames.append(torch.from_numpy(pixels))
    expect(bool(frames), f"{Path(path).name} has no frames from {start} s on: use an earlier start.")
    video = torch.stack(frames)
    return video.float().div_(255), info.fps


def read_audio(path: str | Path) -> dict[str, Any] | None:
    """The first sound track as `{"waveform": [1,channels,samples], "sample_rate"}`, or None."""
    import av

    with _open(path) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
        chunks = [chunk.to_ndarray() for frame in container.decode(stream) for chunk in resampler.resample(frame)]
        if not chunks:
            return None
        wave = torch.from_numpy(np.concatenate(chunks, axis=1))
        return {"waveform": wave[None], "sample_rate": stream.rate}


def remux(source: str | Path, path: str | Path, metadata: dict[str, str], saving: Saving | None = None) -> None:
    """Copy a video into an mp4 with `metadata` and the Content Credentials of `saving`, without encoding it again."""
    import av

    ensure_writable(Path(path).parent)
    options = {"movflags": "use_metadata_tags+faststart"}
    with _open(source) as given, written_beside(path) as part:
        try:
            with av.open(str(part), "w", format="mp4", options=options) as made:
                for key, value in {**given.metadata, **metadata}.items():
                    made.metadata[key] = value
                streams = {
                    s.index: made.add_stream_from_template(s)
                    for s in (*given.streams.video[:1], *given.streams.audio[:1])
                }
                for packet in given.demux(*(given.streams[index] for index in streams)):
                    if packet.dts is not None:
                        packet.stream = streams[packet.stream.index]
                        made.mux(packet)
        except av.FFmpegError as error:
            raise write_error(Path(path), OSError(error.errno, error.strerror)) from error
        if saving is not None:
            saving.seal(part, Path(path).name)


def _open(path: str | Path) -> Any:
    import av

    path = Path(path)
    expect(path.is_file(), f"There is no video file {str(path)!r}: check the name.")
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise SoraError(
            f"{path.name} cannot be read as a video ({error.strerror}): use an mp4, webm or mov file."
        ) from error
    if not container.streams.video:
        container.close()
        raise SoraError(f"{path.name} has no picture track: use a video file.")
    return container
