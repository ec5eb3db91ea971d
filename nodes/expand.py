"""Short prompts into descriptive ones."""

from __future__ import annotations

from .api import backend, io, note


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
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**64 - 1,
                    control_after_generate=True,
                    tooltip="Same seed, same wording.",
                ),
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
        cls, text: str, seed: int, language_model: str, language_model_name: str, time_limit: float, clip=None
    ) -> io.NodeOutput:
        from sora_core.language.expand import expand
        from sora_core.language.language_model import reword

        if language_model.strip():
            made = reword(text, language_model, language_model_name, seed, time_limit)
        else:
            made = expand(text, seed)
        unknown = made.unknown if clip is None else backend().encode_text(clip, made.prompt)[1]
        return io.NodeOutput(made.prompt, ", ".join(unknown), ui=note(cls, f"{made.prompt}\n{made.note}"))


NODES = [SoraExpandPrompt]
