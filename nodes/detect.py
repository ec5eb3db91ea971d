"""Whether a video was made here."""

from __future__ import annotations

from .api import io, note
from .media import whole_file


class SoraDetect(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraDetect",
            display_name="Sora Detect",
            category="Sora/safety",
            description="Says whether a video was made here: by its credentials, its watermark, or how it is painted.",
            search_aliases=["detect", "ai detector", "watermark", "provenance", "deepfake", "c2pa", "verify"],
            inputs=[
                io.Video.Input("video", optional=True, tooltip="The video to examine, with its credentials."),
                io.Image.Input(
                    "images", optional=True, tooltip="Frames, in place of a video; they have no credentials."
                ),
            ],
            outputs=[
                io.String.Output(display_name="report", tooltip="What was found, and which evidence speaks."),
                io.Float.Output(display_name="probability", tooltip="0 to 1: that the video was made here."),
                io.Image.Output(display_name="plot", tooltip="The classifier's probability of each frame."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, video=None, images=None) -> io.NodeOutput:
        import numpy as np
        import torch

        from sora_core.errors import expect
        from sora_core.provenance.detector.detect import detect_file, detect_frames
        from sora_core.provenance.detector.plot import draw_frames
        from sora_core.provenance.saving import watermark_key

        expect((video is None) != (images is None), "Connect a video or images, one of the two.")
        path = whole_file(video) if video is not None else None
        if path is not None:
            found = detect_file(path, key=watermark_key())
        else:
            frames = images if video is None else video.get_components().images
            found = detect_frames(frames, key=watermark_key())
        text = found.text()
        plot = torch.from_numpy(np.asarray(draw_frames(found), dtype=np.float32) / 255)[None]
        return io.NodeOutput(text, found.probability, plot, ui=note(cls, text, plot))


NODES = [SoraDetect]
