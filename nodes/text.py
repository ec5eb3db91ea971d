"""Prompts: encoded, told again, checked for unknown words, laid out in shots, or read off a video."""

from __future__ import annotations

import json
from typing import Any

from .api import engine, essential, io, note, retold, said
from .inputs import expand_input, fps_input, seed_input, shown_shots, side_inputs, watched

DOUBTFUL = 0.6  # confidence below which a fact is named as in doubt
EXAMPLE = "2s: a cat moving right on a beach\n2s: a cat moving left in a forest"


class SoraTextEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraTextEncode",
            display_name="Sora Text Encode",
            category="Sora/text",
            description="Encodes a prompt, in words that the model knows, and says what it made of it.",
            search_aliases=["prompt", "clip text encode", "conditioning", "positive", "negative", "text"],
            **essential("Video Generation"),
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder of the model."),
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="What the video should show, in English or Chinese. (word:1.3) stresses a word.",
                ),
                expand_input(),
            ],
            outputs=[
                io.Conditioning.Output(display_name="conditioning", tooltip="For a sampler's positive or negative."),
                io.String.Output(display_name="unknown_words", tooltip="Words that the model does not know."),
                io.String.Output(display_name="prompt", tooltip="The prompt as the model reads it."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
        )

    @classmethod
    def execute(cls, clip: Any, text: str, expand: str = "auto") -> io.NodeOutput:
        from sora_core.pipeline.wording import encode_worded, notes_of
        from sora_core.provenance.credentials.history import only_negative

        # A node that is kept from the run before is not asked again when its link moves: its notes say what was read.
        negative = only_negative(cls.hidden.prompt, cls.hidden.unique_id)
        made = encode_worded(engine(), clip, text, expand, negative)
        message = "\n".join(notes_of(made)) or "The model knows every word."
        message = message if text.strip() else "The prompt is empty."
        shown = note(cls, message)
        return io.NodeOutput(made.conditioning, ", ".join(made.unknown), made.wording.prompt, ui=shown)


class SoraExpandPrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraExpandPrompt",
            display_name="Sora Expand Prompt",
            category="Sora/text",
            description="Tells a short prompt again in the descriptive words that the model knows, and keeps every "
            "fact of it.",
            search_aliases=["enhance prompt", "rewrite prompt", "prompt expansion", "llm", "magic prompt", "upsample"],
            inputs=[
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="A prompt, in English or Chinese. What is descriptive already is left alone.",
                ),
                seed_input("Same seed, same wording."),
                io.String.Input(
                    "language_model",
                    default="",
                    tooltip="Address of an OpenAI-compatible server, for example http://127.0.0.1:8080, whose language "
                    "model does the wording. Empty: no language model.",
                ),
                io.String.Input("language_model_name", default="", tooltip="Which of the server's models."),
                io.Float.Input(
                    "time_limit",
                    default=30.0,
                    min=1.0,
                    max=600.0,
                    step=1.0,
                    round=0.1,
                    tooltip="Seconds that the language model may take.",
                ),
                io.Clip.Input(
                    "clip", optional=True, tooltip="A text encoder: unknown_words are then those that it does not know."
                ),
            ],
            outputs=[
                io.String.Output(display_name="prompt", tooltip="The new wording, for a text encoder."),
                io.String.Output(display_name="unknown_words", tooltip="Words that the model does not know."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, text: str, seed: int, language_model: str, language_model_name: str, time_limit: float, clip: Any = None
    ) -> io.NodeOutput:
        from sora_core.language.expand import expand
        from sora_core.language.language_model import reword

        if language_model.strip():
            made = reword(text, language_model, language_model_name, seed, time_limit)
        else:
            made = expand(text, seed)
        # Another model may know other words than sora-mini, which the expansion is written for.
        unknown = made.unknown if clip is None else engine().encode_text(clip, made.prompt)[1]
        return io.NodeOutput(made.prompt, ", ".join(unknown), ui=note(cls, f"{made.prompt}\n{made.note}"))


class SoraStoryboard(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraStoryboard",
            display_name="Sora Storyboard",
            category="Sora/text",
            description="Two to eight shots in one video, made together: each follows its own prompt, with hard cuts "
            "between them, and a subject that is named again is the same one.",
            search_aliases=["shots", "multi prompt", "scenes", "prompt travel", "storyboard", "cut"],
            **essential("Video Generation"),
            **retold(),
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder of the model."),
                io.String.Input(
                    "shots",
                    multiline=True,
                    default=EXAMPLE,
                    tooltip="One shot per line: its seconds, a colon, its prompt. Without seconds it lasts 2.",
                ),
                fps_input(),
                *side_inputs(),
                io.Model.Input("model", optional=True, tooltip="For a model other than sora-mini."),
                expand_input(),
            ],
            outputs=[
                io.Conditioning.Output(display_name="conditioning", tooltip="Positive, for a sampler."),
                io.Latent.Output(display_name="latent", tooltip="Empty, of the right length, for the same sampler."),
                io.Float.Output(display_name="fps", tooltip="Frames per second, for Sora Save Video."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, shots: str | None = None) -> bool | str:
        from sora_core.tasks import parse_storyboard

        return said(parse_storyboard, shots)

    @classmethod
    def execute(
        cls, clip: Any, shots: str, fps: float, width: int, height: int, model: Any = None, expand: str = "auto"
    ) -> io.NodeOutput:
        from sora_core.pipeline.editing import storyboard
        from sora_core.tasks import parse_storyboard

        parsed = parse_storyboard(shots)
        size = {"width": width, "height": height}
        story = storyboard(engine(), clip, parsed, fps=fps, **size, model=model, expand=expand)
        shown = note(cls, "\n".join(story.notes), sora_shots=shown_shots(parsed))
        return io.NodeOutput(story.positive, story.latent, float(fps), ui=shown)


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
                seed_input("Same seed, same wording."),
            ],
            outputs=[
                io.String.Output(display_name="caption", tooltip="For a text encoder, or a data set."),
                io.String.Output(display_name="facts", tooltip="What was seen, and how sure each fact is, as JSON."),
                io.Float.Output(display_name="confidence", tooltip="0 to 1: subject, scene, motion and camera in one."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, length: str, language: str, fps: float, seed: int, video: Any = None, images: Any = None
    ) -> io.NodeOutput:
        from sora_core.observer.watch import watch, watch_file

        path, frames, rate = watched(video, images, fps)
        # Transparency tells nothing of what is shown.
        sight = watch(frames[..., :3], rate) if path is None else watch_file(path)
        text = sight.say(language, length, seed)
        sure = sight.confidence
        doubtful = [name for name, value in sure.items() if value < DOUBTFUL and name != "overall"]
        message = f"{text}\nSure: {100 * sure['overall']:.0f}%."
        if doubtful:
            message += f" In doubt about: {', '.join(doubtful)}."
        facts = json.dumps({"confidence": sure, **sight.facts}, ensure_ascii=False)
        return io.NodeOutput(text, facts, sure["overall"], ui=note(cls, message))


NODES = [SoraTextEncode, SoraExpandPrompt, SoraStoryboard, SoraCaption]
