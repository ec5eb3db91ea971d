"""Checks of prompts and frames, and of where a video is from."""

from __future__ import annotations

import json
from typing import Any

from .api import badge, io, note, retold
from .inputs import watched

AS_POLICY = "policy"


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
            **retold(),
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
    def execute(cls, prompt: str = "", negative: str = "", shots: str = "", policy: str = "") -> io.NodeOutput:
        from sora_core.safety.prompts import check_request, chosen_policy, require_allowed

        chosen = chosen_policy(policy.strip())
        # All at once and not each by itself: what two texts say together counts too.
        reports = check_request(prompt, negative, shots, chosen)
        messages = require_allowed(reports, chosen.prompt.action)
        if chosen.prompt.action == "off":
            unchecked = note(cls, f"The policy {chosen.name!r} does not check prompts.")
            return io.NodeOutput(prompt, negative, shots, ui=unchecked)
        text = "\n".join(messages) or f"Checked by the policy {chosen.name!r}: nothing against it."
        return io.NodeOutput(prompt, negative, shots, ui=note(cls, text, sora_badges=badge("checked", text)))


class SoraFrameSafety(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraFrameSafety",
            display_name="Sora Frame Safety",
            category="Sora/safety",
            description="Looks at every frame before it goes on. What the policy forbids stops the work, or is blurred "
            "or blacked out; the node says which frames, and why. If a check cannot run, nothing passes.",
            search_aliases=["nsfw", "safety checker", "content filter", "likeness", "face", "moderation", "censor"],
            **retold(),
            inputs=[
                io.Image.Input("images", tooltip="The frames, before they are saved or shown."),
                io.Combo.Input(
                    "action",
                    options=[AS_POLICY, "block", "blur", "black"],
                    default=AS_POLICY,
                    tooltip="What is done: stop the work, blur the frame, black it out. policy: what the policy says.",
                ),
                io.String.Input(
                    "policy",
                    default="",
                    optional=True,
                    tooltip="default, strict, or a policy file (TOML); empty: the one in force. A locked one stays.",
                ),
                io.String.Input(
                    "faces",
                    default="",
                    optional=True,
                    tooltip="A folder with pictures of people whose likeness is protected.",
                ),
                io.Float.Input(
                    "likeness",
                    default=0.363,
                    min=0.05,
                    max=1.0,
                    step=0.01,
                    round=0.001,
                    optional=True,
                    advanced=True,
                    tooltip="With faces: how alike a face may not be. 0.363 is where SFace takes two for one person.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The frames as they may be shown."),
                io.String.Output(display_name="report", tooltip="Which frames, and why, as JSON."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls, images: Any, action: str, policy: str = "", faces: str = "", likeness: float = 0.363
    ) -> io.NodeOutput:
        from sora_core.errors import expect
        from sora_core.safety.frames import FramesBlocked, checker_for
        from sora_core.safety.prompts import chosen_policy

        chosen = chosen_policy(policy.strip())
        # None leaves what the policy says; `override` refuses what a locked policy does not leave to the user.
        changes: dict[str, Any] = {"frames.action": None if action == AS_POLICY else action}
        if faces:
            changes["frames.faces"] = faces
            # The threshold means something only with faces: without them it would change a locked policy for nothing.
            changes["frames.thresholds"] = {**chosen.frames.thresholds, "likeness": likeness}
        chosen = chosen.override(changes)
        expect(
            chosen.frames.action != "off",
            f"The policy {chosen.name!r} checks no frames (action off): choose an action here, or remove this node.",
        )
        report = checker_for(chosen).review(images)
        # Before the error: what was blocked stays readable on the node.
        shown = note(cls, report.message(), sora_badges=badge("checked", report.message()))
        if not report.allowed:
            raise FramesBlocked(report.message(), report.findings)
        return io.NodeOutput(report.frames, json.dumps(report.as_dict()), ui=shown)


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
    def execute(cls, video: Any = None, images: Any = None) -> io.NodeOutput:
        import numpy as np
        import torch

        from sora_core.provenance.detector.detect import detect_file, detect_frames
        from sora_core.provenance.detector.plot import draw_frames
        from sora_core.provenance.watermark.secret import watermark_key

        # A whole file has credentials to read; frames have the watermark and the look only.
        path, frames, _ = watched(video, images)
        key = watermark_key()
        found = detect_frames(frames, key=key) if path is None else detect_file(path, key=key)
        text = found.text()
        plot = torch.from_numpy(np.asarray(draw_frames(found), dtype=np.float32) / 255)[None]
        return io.NodeOutput(text, found.probability, plot, ui=note(cls, text, plot))


NODES = [SoraPromptSafety, SoraFrameSafety, SoraDetect]
