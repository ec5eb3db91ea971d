"""The check of prompts, in the path of the text."""

from __future__ import annotations

from .api import io, note


class SoraPromptSafety(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraPromptSafety",
            display_name="Sora Prompt Safety",
            category="Sora/safety",
            description="Checks what is asked for before any work is done: violence, sexual content, hate, likeness of "
            "real people, others' characters and brands. Texts that pass come out as they went in.",
            search_aliases=["safety", "moderation", "nsfw", "guard", "filter", "policy", "prompt check"],
            inputs=[
                io.String.Input("prompt", multiline=True, default="", tooltip="What the video should show."),
                io.String.Input(
                    "negative",
                    multiline=True,
                    default="",
                    tooltip="The negative prompt. Bare words of what to keep out (nudity, blood) are fine.",
                ),
                io.String.Input(
                    "shots",
                    multiline=True,
                    default="",
                    tooltip="A storyboard, one shot per line; every shot is checked.",
                ),
                io.String.Input(
                    "policy",
                    default="",
                    tooltip="default, strict, or a policy file (TOML); empty: the one in force. A locked one stays.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="prompt", tooltip="The prompt, checked: for Sora Text Encode."),
                io.String.Output(display_name="negative", tooltip="The negative prompt, checked."),
                io.String.Output(display_name="shots", tooltip="The storyboard, checked: for Sora Storyboard."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, prompt="", negative="", shots="", policy="") -> io.NodeOutput:
        from sora_core.safety.prompts import check_request, chosen_policy, require_allowed

        chosen = chosen_policy(policy.strip())
        reports = check_request(prompt, negative, shots, chosen)
        messages = require_allowed(reports, chosen.prompt.action)
        if chosen.prompt.action == "off":
            messages = [f"The policy {chosen.name!r} does not check prompts."]
        passed = f"Checked by the policy {chosen.name!r}: nothing against it."
        return io.NodeOutput(prompt, negative, shots, ui=note(cls, "\n".join(messages) or passed))


NODES = [SoraPromptSafety]
