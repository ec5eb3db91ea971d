"""Prompts."""

from __future__ import annotations

from .api import backend, io, note


class SoraTextEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraTextEncode",
            display_name="Sora Text Encode",
            category="Sora/text",
            description="Encodes a prompt, and says which of its words the model does not know.",
            search_aliases=["prompt", "clip text encode", "conditioning", "positive", "negative", "text"],
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder of the model."),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="What the video should show, in English or Chinese. (word:1.3) stresses a word.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(display_name="conditioning", tooltip="For a sampler's positive or negative."),
                io.String.Output(display_name="unknown_words", tooltip="Words that the model does not know."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, clip, text: str) -> io.NodeOutput:
        conditioning, unknown = backend().encode_text(clip, text)
        words = ", ".join(unknown)
        if not text.strip():
            message = "The prompt is empty."
        elif unknown:
            message = f"The model does not know: {words}. It leaves these words out."
        else:
            message = "The model knows every word."
        return io.NodeOutput(conditioning, words, ui=note(cls, message))


NODES = [SoraTextEncode]
