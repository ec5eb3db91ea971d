"""The user's own pictures and videos as a model can take them: files, frames, or what a VIDEO socket holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import expect
from ..media.clips import MAX_SECONDS, Clip, read_clip
from ..media.frames import fit_frames, resample_frames
from ..media.origin import from_file, is_own_video, made, read_from, taken
from ..media.sizes import MAX_BYTES, frame_bytes
from ..media.stills import read_still
from ..media.video import probe
from .result import VideoResult

SAME_RATE = 1e-3  # frames per second: a rate that differs by less is written the same
WHOLE = 0.05  # seconds: a video that is shorter than its file by more than a frame or so was cut
Size = tuple[int, int]  # (width, height) in pixels
# A file's name, frames [T,H,W,1, 3 or 4] float 0..1 or uint8, a Clip, a VideoResult, or a VIDEO: an object with
# ComfyUI's methods get_duration, get_dimensions, get_components.
Video = Any
Picture = str | Path | Tensor  # a file's name, or [H,W,C] or [1,H,W,C] as of a video


def take_clip(
    source: Video, multiple: int, *, fps: float | None = None, size: Size | None = None, usual_fps: float = 8.0
) -> Clip:
    """Read a video and bring it to a rate and size that a model can work on.

    multiple: what width and height must be multiples of. fps, size: to bring it to; None keeps its own, cut to the
    multiple. usual_fps: of frames that come without a rate. Raises SoraError, before frames are decoded, for what is
    too long or too large.
    """
    if isinstance(source, (str, Path)):
        return read_clip(source, fps=fps, size=size, multiple=multiple)
    if isinstance(source, Tensor):
        rate = fps or usual_fps
        notes = () if fps else (f"Images have no rate of their own: taken for {rate:g} frames per second.",)
        return _fitted(Clip(source, rate, notes=notes), multiple, rate, size)
    if isinstance(source, VideoResult):
        source = source.clip()
    if isinstance(source, Clip):
        return _fitted(source, multiple, fps, size)
    kind = type(source).__name__
    expect(
        hasattr(source, "get_components"),
        f"A video is a path, frames as a tensor [T,H,W,3], a Clip, a VideoResult or a VIDEO, not {kind}.",
    )
    path = whole_file(source)
    if path is not None:
        clip = read_clip(path, fps=fps, size=size, multiple=multiple)
        # Whoever made the VIDEO knows best: the graph may have written the file.
        (from_file if is_own_video(source) else made)(clip.frames)
        return clip
    return _fitted(_from_socket(source, fps), multiple, fps, size)


def _fitted(clip: Clip, multiple: int, fps: float | None, size: Size | None) -> Clip:
    """Bring frames to a rate and size, and note what was changed, as `read_clip` does."""
    notes = list(clip.notes)
    rate = clip.fps if fps is None else fps
    if abs(rate - clip.fps) > SAME_RATE:
        notes.append(f"{clip.fps:g} to {rate:g} frames per second.")
    frames = fit_frames(resample_frames(clip.frames, clip.fps, rate), size, multiple)
    given, made = clip.frames.shape[1:3], frames.shape[1:3]
    if given != made:
        notes.append(f"{given[1]}x{given[0]} to {made[1]}x{made[0]}.")
    same = frames.shape == clip.frames.shape and abs(rate - clip.fps) <= SAME_RATE
    return Clip(frames, rate, clip.audio, tuple(notes), clip.latent if same else None)


def _from_socket(video: Any, fps: float | None) -> Clip:
    """Take the frames of a VIDEO that is no file, or a part of one. Raises SoraError for what is too long or large."""
    wide, high = video.get_dimensions()
    seconds = video.get_duration()
    expect(seconds <= MAX_SECONDS, f"video: {seconds:.0f} s, at most {MAX_SECONDS:.0f} s are read. Cut it.")
    parts = video.get_components()
    rate = float(parts.frame_rate)
    needed = frame_bytes(wide, high) * seconds * max(rate, fps or rate)
    expect(needed <= MAX_BYTES, f"video: {seconds:.0f} s of {wide}x{high} do not fit into {MAX_BYTES >> 30} GiB.")
    return Clip(from_file(parts.images) if is_own_video(video) else parts.images, rate, parts.audio)


def whole_file(video: Any) -> str | None:
    """Name the file of a VIDEO, which can be read as a stream; None if the graph made it, or uses a part of a file."""
    path = video.get_stream_source() if hasattr(video, "get_stream_source") else None
    # A video that was cut in the graph is still the whole file there.
    return path if isinstance(path, str) and abs(probe(path).duration - video.get_duration()) < WHOLE else None


def take_still(source: Picture, multiple: int, size: Size | None = None) -> Tensor:
    """Read a picture `[H,W,3]` float 0..1, scaled and cut to `size`, or cut to the multiple."""
    return fit_frames(open_still(source), size, multiple)[0]


def open_still(source: Picture) -> Tensor:
    """Read a picture as it is, `[1,H,W,C]`: of several the first. Raises SoraError for what is no picture."""
    if isinstance(source, (str, Path)):
        return read_from(read_still(source)[:1], source)
    kind = type(source).__name__
    expect(isinstance(source, Tensor), f"A picture is a path or a tensor [H,W,3], not {kind}.")
    return source[None] if source.ndim == 3 else taken(source[:1], (source, torch.tensor([0])))
