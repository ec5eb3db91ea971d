"""Looking at results side by side."""

from __future__ import annotations

from typing import Any

from .api import desk, io, note, ui
from .inputs import video_input

NAMES = ("first", "second", "third", "fourth")


class SoraCompare(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraCompare",
            display_name="Sora Compare",
            category="Sora/look",
            is_output_node=True,
            description="Plays two to four videos in step, behind a divider that you drag or side by side. Frame by "
            "frame, too.",
            search_aliases=["compare", "a/b", "wipe", "slider", "side by side", "grid", "player", "difference"],
            inputs=[
                video_input("first", "The video on the left of the divider."),
                video_input("second", "The one on its right."),
                video_input("third", "One more.", optional=True),
                video_input("fourth", "One more.", optional=True),
                io.Float.Input(
                    "fps", default=8.0, min=0.1, max=240.0, step=1.0, tooltip="Frames per second of images."
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, first: Any, second: Any, fps: float, third: Any = None, fourth: Any = None) -> io.NodeOutput:
        from sora_core.host.comparing import preview_video

        given = zip(NAMES, (first, second, third, fourth), strict=True)
        made = {name: preview_video(desk().folders(), video, fps) for name, video in given if video is not None}
        lines = [
            f"{name}: {clip.frames} frame{'s' * (clip.frames != 1)} of {clip.width}x{clip.height} at {clip.fps:g} fps"
            for name, clip in made.items()
        ]
        files = [ui.SavedResult(clip.path.name, clip.subfolder, io.FolderType.temp) for clip in made.values()]
        facts = [{"name": name, "fps": clip.fps, "frames": clip.frames} for name, clip in made.items()]
        shown = note(cls, "\n".join(lines), sora_compare=facts)
        return io.NodeOutput(ui=shown | ui.PreviewVideo(files).as_dict())


NODES = [SoraCompare]
