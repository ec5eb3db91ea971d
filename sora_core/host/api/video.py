"""The VIDEO type: frames in memory, or a file that is read when its frames are needed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

from ...errors import expect
from ...media.sound import read_audio
from ...media.video import VideoInfo, probe, read_video
from ...media.write import remux, write_video

if TYPE_CHECKING:
    from ...provenance import Saving


class VideoContainer(StrEnum):
    AUTO = "auto"
    MP4 = "mp4"

    @classmethod
    def as_input(cls) -> list[str]:
        return [member.value for member in cls]

    @classmethod
    def get_extension(cls, value: str) -> str:
        return "mp4"


class VideoCodec(StrEnum):
    AUTO = "auto"
    H264 = "h264"

    @classmethod
    def as_input(cls) -> list[str]:
        return [member.value for member in cls]


@dataclass
class VideoComponents:
    """images `[T,H,W,3]` float 0..1; audio `{"waveform", "sample_rate"}` or None."""

    images: torch.Tensor
    frame_rate: Fraction
    audio: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = field(default=None)


class VideoInput:
    """Base of all videos on a VIDEO socket."""

    def get_components(self) -> VideoComponents:
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
        """Write an mp4. `metadata` values that are not texts are stored as JSON; saving as in `write_video`."""
        expect(bit_depth in (None, 8), f"A bit depth of {bit_depth} is not supported here: use 8.")
        parts = self.get_components()
        write_video(
            path,
            parts.images,
            parts.frame_rate,
            metadata=as_tags(metadata),
            audio=parts.audio,
            saving=saving,
            **({} if crf is None else {"crf": crf}),
        )

    def get_dimensions(self) -> tuple[int, int]:
        """(width, height)"""
        images = self.get_components().images
        return images.shape[2], images.shape[1]

    def get_frame_count(self) -> int:
        return self.get_components().images.shape[0]

    def get_frame_rate(self) -> Fraction:
        return Fraction(self.get_components().frame_rate)

    def get_duration(self) -> float:
        """Seconds."""
        return float(self.get_frame_count() / self.get_frame_rate())

    def get_bit_depth(self) -> int:
        return 8

    def get_color_space(self) -> str:
        return "sRGB"


class VideoFromComponents(VideoInput):
    def __init__(self, components: VideoComponents, bit_depth: int = 8):
        self._components = components
        self._bit_depth = bit_depth

    def get_components(self) -> VideoComponents:
        return self._components

    def get_bit_depth(self) -> int:
        return self._bit_depth


class VideoFromFile(VideoInput):
    """A video file. Frames are decoded on each `get_components`, so that an idle video costs no memory."""

    def __init__(self, file: str | Path):
        self._file = Path(file)
        self._info: VideoInfo | None = None

    @property
    def info(self) -> VideoInfo:
        if self._info is None:
            self._info = probe(self._file)
        return self._info

    def get_components(self) -> VideoComponents:
        images, rate = read_video(self._file)
        return VideoComponents(images, rate, read_audio(self._file), self.info.metadata)

    def save_to(
        self,
        path: str | Path,
        format: str = VideoContainer.AUTO,
        codec: str = VideoCodec.AUTO,
        metadata: dict[str, Any] | None = None,
        bit_depth: int | None = None,
        crf: float | None = None,
        saving: Saving | None = None,
        **kwargs: Any,
    ) -> None:
        """H.264 without new settings is copied as it is, sound included; anything else is encoded again."""
        if self.info.codec == "h264" and crf is None:
            remux(self._file, path, as_tags(metadata), saving)
        else:
            super().save_to(path, format, codec, metadata, bit_depth, crf, saving, **kwargs)

    def get_stream_source(self) -> str:
        return str(self._file)

    def get_dimensions(self) -> tuple[int, int]:
        return self.info.width, self.info.height

    def get_frame_count(self) -> int:
        return self.info.frames

    def get_frame_rate(self) -> Fraction:
        return self.info.fps

    def get_duration(self) -> float:
        return self.info.duration

    def get_container_format(self) -> str:
        return self._file.suffix.lstrip(".").lower()


def as_tags(metadata: dict[str, Any] | None) -> dict[str, str]:
    """Metadata as a container holds it: texts by name."""
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in (metadata or {}).items()}


Input = SimpleNamespace(Video=VideoInput, Image=torch.Tensor, Mask=torch.Tensor, Latent=dict, Audio=dict)
InputImpl = SimpleNamespace(VideoFromFile=VideoFromFile, VideoFromComponents=VideoFromComponents)
Types = SimpleNamespace(VideoCodec=VideoCodec, VideoContainer=VideoContainer, VideoComponents=VideoComponents)
