"""The check of frames as a node."""

from __future__ import annotations

from .api import io, note

AS_POLICY = "policy"


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
    def execute(cls, images, action, policy="", faces="", likeness=0.363) -> io.NodeOutput:
        import json

        from sora_core.errors import expect
        from sora_core.safety.frames import FramesBlocked, checker_for
        from sora_core.safety.prompts import chosen_policy

        chosen = chosen_policy(policy.strip())
        changes = {"frames.action": None if action == AS_POLICY else action}
        if faces:
            changes["frames.faces"] = faces
            changes["frames.thresholds"] = {**chosen.frames.thresholds, "likeness": likeness}
        chosen = chosen.override(changes)
        expect(
            chosen.frames.action != "off",
            f"The policy {chosen.name!r} checks no frames (action off): choose an action here, or remove this node.",
        )
        report = checker_for(chosen).review(images)
        shown = note(cls, report.message())
        if not report.allowed:
            raise FramesBlocked(report.message(), report.findings)
        return io.NodeOutput(report.frames, json.dumps(report.as_dict()), ui=shown)


NODES = [SoraFrameSafety]
