"""The VIDEO type: frames in memory, or a file that is read when its frames are needed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

from ...errors import expect
from ...media.origin import from_file, is_own_video
from ...media.sound import read_audio
from ...media.timing import read_timing
from ...media.video import VideoInfo, probe, read_video
from ...media.write import remux, write_video

if TYPE_CHECKING:
    from ...provenance import Saving


class VideoContainer(StrEnum):
    """The file formats that this host writes."""

    AUTO = "auto"
    MP4 = "mp4"

    @classmethod
    def as_input(cls) -> list[str]:
        """Return the choices of a widget."""
        return [member.value for member in cls]

    @classmethod
    def get_extension(cls, value: str) -> str:
        """Return the suffix of a file in the format `value`, less its dot."""
        return "mp4"


class VideoCodec(StrEnum):
    """The codecs that this host writes."""

    AUTO = "auto"
    H264 = "h264"

    @classmethod
    def as_input(cls) -> list[str]:
        """Return the choices of a widget."""
        return [member.value for member in cls]


@dataclass
class VideoComponents:
    """A video taken apart."""

    images: torch.Tensor  # [T,H,W,3] float 0..1
    frame_rate: Fraction  # frames per second
    audio: dict[str, Any] | None = None  # {"waveform": [1,C,samples], "sample_rate"}
    metadata: dict[str, Any] | None = None  # the tags of its file


class VideoInput:
    """Base of all videos on a VIDEO socket."""

    def get_components(self) -> VideoComponents:
        """Return frames, rate and sound, decoded."""
        raise NotImplementedError

    def save_to(
        self,
        path: str | Path,
        format: str = VideoContainer.AUTO,
        codec: str = VideoCodec.AUTO,
        metadata: dict[str, Any] | None = None,
        bit_depth: int | None = None,
        crf: float | None = None,
        saving: Saving | None = None,
        **_: Any,
    ) -> None:
        """Write an mp4. `metadata` values that are not texts are stored as JSON; saving as in `write_video`.

        Raises SoraError for a bit depth other than 8.
        """
        tags = as_tags(metadata)
        if crf is None and self._copy_to(path, tags, saving):
            return
        expect(bit_depth in (None, 8), f"A bit depth of {bit_depth} is not supported here: use 8.")
        parts, quality = self.get_components(), {} if crf is None else {"crf": crf}
        write_video(path, parts.images, parts.frame_rate, metadata=tags, audio=parts.audio, saving=saving, **quality)

    def _copy_to(self, path: str | Path, tags: dict[str, str], saving: Saving | None) -> bool:
        """Write the video as it is encoded already, if it is; False leaves it to be encoded."""
        return False

    def get_dimensions(self) -> tuple[int, int]:
        """Return (width, height) in pixels."""
        images = self.get_components().images
        return images.shape[2], images.shape[1]

    def get_frame_count(self) -> int:
        """Return the number of frames."""
        return self.get_components().images.shape[0]

    def get_frame_rate(self) -> Fraction:
        """Return the frames per second."""
        return Fraction(self.get_components().frame_rate)

    def get_duration(self) -> float:
        """Return the seconds."""
        return float(self.get_frame_count() / self.get_frame_rate())

    def get_bit_depth(self) -> int:
        """Return the bits per channel."""
        return 8

    def get_color_space(self) -> str:
        """Return the name of the colour space."""
        return "sRGB"


class VideoFromComponents(VideoInput):
    """A video in memory."""

    def __init__(self, components: VideoComponents, bit_depth: int = 8) -> None:
        self._components = components
        self._bit_depth = bit_depth

    def get_components(self) -> VideoComponents:
        """Return the components it was made of."""
        return self._components

    def get_bit_depth(self) -> int:
        """Return the bits per channel that were asked for."""
        return self._bit_depth


class VideoFromFile(VideoInput):
    """A video file. Frames are decoded on each `get_components`, so that an idle video costs no memory."""

    def __init__(self, file: str | Path) -> None:
        self._file = Path(file)
        self._info: VideoInfo | None = None

    @property
    def info(self) -> VideoInfo:
        """What the file's header says. Raises SoraError for a file that is no video."""
        if self._info is None:
            self._info = probe(self._file)
        return self._info

    def get_components(self) -> VideoComponents:
        """Decode the file."""
        images, rate = read_video(self._file)
        if is_own_video(self):
            from_file(images)
        return VideoComponents(images, rate, read_audio(self._file), self.info.metadata)

    def _copy_to(self, path: str | Path, tags: dict[str, str], saving: Saving | None) -> bool:
        """Copy H.264 without loss, sound included."""
        if self.info.codec != "h264":
            return False
        if saving is not None and not is_own_video(self) and not saving.is_marked(self._file):
            return False  # a model made it, and it was saved without its mark
        remux(self._file, path, tags, saving)
        return True

    def get_stream_source(self) -> str:
        """Return the path of the file."""
        return str(self._file)

    def get_dimensions(self) -> tuple[int, int]:
        """Return (width, height) in pixels, without decoding."""
        return self.info.width, self.info.height

    def get_frame_count(self) -> int:
        """Return the number of frames, without decoding."""
        return read_timing(self._file).frames

    def get_frame_rate(self) -> Fraction:
        """Return the frames per second, without decoding; the mean where they vary."""
        return read_timing(self._file).rate

    def get_duration(self) -> float:
        """Return the seconds, without decoding."""
        return read_timing(self._file).duration

    def get_container_format(self) -> str:
        """Return the file's suffix, less its dot."""
        return self._file.suffix.lstrip(".").lower()


def as_tags(metadata: dict[str, Any] | None) -> dict[str, str]:
    """Convert metadata to what a container holds: texts by name, JSON for what is no text."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in (metadata or {}).items()}


Input = SimpleNamespace(Video=VideoInput, Image=torch.Tensor, Mask=torch.Tensor, Latent=dict, Audio=dict)
InputImpl = SimpleNamespace(VideoFromFile=VideoFromFile, VideoFromComponents=VideoFromComponents)
Types = SimpleNamespace(VideoCodec=VideoCodec, VideoContainer=VideoContainer, VideoComponents=VideoComponents)
