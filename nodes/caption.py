"""What a video shows, in words."""

from __future__ import annotations

import json

from .api import io, note
from .media import whole_file


class SoraCaption(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraCaption",
            display_name="Sora Caption",
            category="Sora/text",
            description="Watches a video and says what it shows, in words that the model knows, and how sure it is.",
            search_aliases=["caption", "describe", "recaption", "tagger", "interrogate", "video to text", "blip"],
            inputs=[
                io.Video.Input("video", optional=True, tooltip="The video to watch."),
                io.Image.Input("images", optional=True, tooltip="Its frames, in place of a video; one is a picture."),
                io.Combo.Input(
                    "length", options=["short", "medium", "long"], default="medium", tooltip="How much is said."
                ),
                io.Combo.Input("language", options=["en", "zh"], default="en", tooltip="English or Chinese."),
                io.Float.Input(
                    "fps", default=8.0, min=0.1, max=240.0, step=1.0, tooltip="Frames per second of the images."
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**64 - 1,
                    control_after_generate=True,
                    tooltip="Same seed, same wording.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="caption", tooltip="For a text encoder, or a data set."),
                io.String.Output(display_name="facts", tooltip="What was seen, and how sure each fact is, as JSON."),
                io.Float.Output(display_name="confidence", tooltip="0 to 1: subject, scene, motion and camera in one."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, length: str, language: str, fps: float, seed: int, video=None, images=None) -> io.NodeOutput:
        from sora_core.errors import expect
        from sora_core.observer.watch import watch, watch_file

        expect((video is None) != (images is None), "Connect a video or images, one of the two.")
        path = whole_file(video) if video is not None else None
        if path is not None:
            sight = watch_file(path)
        else:
            if video is not None:
                parts = video.get_components()
                images, fps = parts.images, float(parts.frame_rate)
            sight = watch(images[..., :3], fps)
        text = sight.say(language, length, seed)
        sure = sight.confidence
        doubtful = [name for name, value in sure.items() if value < 0.6 and name != "overall"]
        message = f"{text}\nSure: {100 * sure['overall']:.0f}%."
        if doubtful:
            message += f" In doubt about: {', '.join(doubtful)}."
        facts = json.dumps({"confidence": sure, **sight.facts}, ensure_ascii=False)
        return io.NodeOutput(text, facts, sure["overall"], ui=note(cls, message))


NODES = [SoraCaption]
