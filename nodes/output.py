"""Files."""

from __future__ import annotations

from .api import backend, io, ui, video_file


class SoraSaveVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraSaveVideo",
            display_name="Sora Save Video",
            category="Sora/output",
            is_output_node=True,
            description="Writes an mp4 that carries its workflow: drop it on the canvas and the graph "
            "comes back.",
            search_aliases=["save video", "mp4", "video combine", "export", "output"],
            inputs=[
                io.Image.Input("images", tooltip="The frames."),
                io.Float.Input(
                    "fps", default=8.0, min=0.1, max=240.0, step=1.0, tooltip="Frames per second."
                ),
                io.String.Input(
                    "filename_prefix",
                    default="video/sora",
                    tooltip="Name before the number; may hold a folder and %date:yyyy-MM-dd%.",
                ),
                io.Float.Input(
                    "crf",
                    default=16.0,
                    min=0.0,
                    max=51.0,
                    step=1.0,
                    optional=True,
                    advanced=True,
                    tooltip="Compression: lower is better and larger. 0 is lossless.",
                ),
                io.Audio.Input("audio", optional=True, tooltip="Sound, cut to the length of the video."),
            ],
            outputs=[io.Video.Output(display_name="video", tooltip="The saved file.")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
        )

    @classmethod
    def execute(cls, images, fps, filename_prefix, crf=16.0, audio=None) -> io.NodeOutput:
        from sora_core.video import write_video

        host = backend()
        path, subfolder = host.output_path(filename_prefix, ".mp4", images.shape[2], images.shape[1])
        write_video(path, images, fps, metadata=host.metadata(cls.hidden), crf=crf, audio=audio)
        saved = ui.SavedResult(path.name, subfolder, io.FolderType.output)
        return io.NodeOutput(video_file(path), ui=ui.PreviewVideo([saved]))


NODES = [SoraSaveVideo]
