"""Video files and the VIDEO type."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from torch import Tensor

from ...media.origin import own_video
from ...media.signs import sign_of
from ..api import io, ui
from ..api.video import VideoComponents, VideoFromComponents, VideoFromFile, VideoInput
from ..desk.folders import VIDEO_SUFFIXES, current
from ..saving import saving_of, tell_saved
from .files import ReadsInput, WritesOutput


class LoadVideo(ReadsInput):
    """Opens a video file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "LoadVideo",
            display_name="Load Video",
            category="video",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=current().files("input", VIDEO_SUFFIXES),
                    upload=io.UploadType.video,
                    tooltip="A video from the input folder, or upload one.",
                )
            ],
            outputs=[io.Video.Output()],
        )

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        path = current().existing(file)
        video = own_video(VideoFromFile(path), not current().is_made(file) and not sign_of(path))
        video.get_dimensions()  # A damaged file should fail here, where its name is, not at a later node.
        return io.NodeOutput(video)


class GetVideoComponents(io.ComfyNode):
    """Takes a video apart."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "GetVideoComponents",
            display_name="Get Video Components",
            category="video",
            inputs=[io.Video.Input("video")],
            outputs=[
                io.Image.Output(display_name="images"),
                io.Audio.Output(display_name="audio"),
                io.Float.Output(display_name="fps"),
                io.Int.Output(display_name="bit_depth"),
                io.Combo.Output(display_name="color_space"),
            ],
        )

    @classmethod
    def execute(cls, video: VideoInput) -> io.NodeOutput:
        parts, depth, space = video.get_components(), video.get_bit_depth(), video.get_color_space()
        return io.NodeOutput(parts.images, parts.audio, float(parts.frame_rate), depth, space)


class CreateVideo(io.ComfyNode):
    """Puts frames and sound together."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "CreateVideo",
            display_name="Create Video",
            category="video",
            inputs=[
                io.Image.Input("images"),
                io.Float.Input("fps", default=30.0, min=1.0, max=120.0, step=1.0, tooltip="Frames per second."),
                io.Audio.Input("audio", optional=True),
                io.Int.Input(
                    "bit_depth", default=8, min=8, max=10, step=2, optional=True, display_mode=io.NumberDisplay.number
                ),
            ],
            outputs=[io.Video.Output()],
        )

    @classmethod
    def execute(
        cls, images: Tensor, fps: float, audio: dict[str, Any] | None = None, bit_depth: int = 8
    ) -> io.NodeOutput:
        parts = VideoComponents(images, Fraction(fps), audio)
        return io.NodeOutput(VideoFromComponents(parts, bit_depth))


def _codec(optional: bool = False) -> io.Input:
    """Make the input that says how to encode. The optional one, of old workflows, is not drawn."""
    crf = io.Float.Input("crf", default=23.0, min=0.0, max=51.0, step=1.0, tooltip="Lower is better and larger.")
    auto = io.DynamicCombo.Option("auto", [])
    modes = [auto, io.DynamicCombo.Option("re-encode", [crf])]
    encoding = io.DynamicCombo.Input("encoding", modes, display_name="encoding mode", optional=True)
    codecs = [auto, io.DynamicCombo.Option("h264", [encoding])]
    return io.DynamicCombo.Input("codec", codecs, optional=optional, extra_dict={"hidden": True} if optional else None)


class SaveVideo(WritesOutput):
    """Saves mp4. Where ComfyUI offers mkv, webm and AV1, this host has none of them and says so."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SaveVideo",
            display_name="Save Video",
            category="video",
            is_output_node=True,
            inputs=[
                io.Video.Input("video", tooltip="The video to save."),
                io.String.Input(
                    "filename_prefix", default="video/ComfyUI", tooltip="Name before the counter; may hold a subfolder."
                ),
                io.DynamicCombo.Input(
                    "format",
                    options=[io.DynamicCombo.Option("auto", [_codec()]), io.DynamicCombo.Option("mp4", [_codec()])],
                ),
                # Workflows of 2025 have the codec here; newer ones inside the format.
                _codec(optional=True),
            ],
            outputs=[io.Video.Output("video")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, video: VideoInput, filename_prefix: str, format: dict[str, Any], codec: dict[str, Any] | None = None
    ) -> io.NodeOutput:
        # Where both are there the newer place counts, inside the format.
        chosen = format.get("codec") or codec or {}
        crf = (chosen.get("encoding") or {}).get("crf")
        # For %width% and %height% in the prefix.
        width, height = video.get_dimensions()
        saving = saving_of(cls.hidden)
        path, subfolder = current().next_file(filename_prefix, ".mp4", "output", width, height)
        tags = dict(cls.hidden.extra_pnginfo or {})
        if cls.hidden.prompt is not None:
            tags["prompt"] = cls.hidden.prompt
        video.save_to(path, metadata=tags, crf=crf, saving=saving)
        tell_saved(cls.hidden, saving)
        saved = ui.SavedResult(path.name, subfolder, io.FolderType.output)
        return io.NodeOutput(video, ui=ui.PreviewVideo([saved]))


NODES = [LoadVideo, GetVideoComponents, CreateVideo, SaveVideo]
