"""Files."""

from __future__ import annotations

from typing import Any

from .api import desk, essential, io, said, saved_video

CHOICES = {"policy": None, "on": True, "off": False}  # "policy", the default: what the policy in force says


class SoraSaveVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraSaveVideo",
            display_name="Sora Save Video",
            category="Sora/output",
            is_output_node=True,
            description="Writes an mp4 that carries its workflow: drop it on the canvas and the graph comes back. "
            "Signs it with Content Credentials and marks its frames as made by a model.",
            search_aliases=["save video", "mp4", "video combine", "export", "output", "c2pa", "watermark"],
            **essential("Basics"),
            inputs=[
                io.Image.Input("images", tooltip="The frames."),
                io.Float.Input("fps", default=8.0, min=0.1, max=240.0, step=1.0, tooltip="Frames per second."),
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
                _choice(
                    "credentials",
                    "Signed Content Credentials (C2PA): made by a model, which one, of which files. "
                    "policy: as the policy in force says, on by default.",
                ),
                _choice(
                    "watermark",
                    "An invisible mark in every frame that a model made. "
                    "policy: as the policy in force says, on by default.",
                ),
                _choice(
                    "prompt_in_credentials",
                    "Whether the credentials tell the prompt. policy: as the policy in force says, off by default.",
                ),
                io.Boolean.Input(
                    "keep_workflow",
                    default=True,
                    optional=True,
                    advanced=True,
                    tooltip="Whether the file carries the graph, and with it the prompt. Off: it cannot be restored.",
                ),
            ],
            outputs=[io.Video.Output(display_name="video", tooltip="The saved file.")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo, io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(
        cls,
        filename_prefix: str | None = None,
        credentials: str | None = "policy",
        watermark: str | None = "policy",
        prompt_in_credentials: str | None = "policy",
    ) -> bool | str:
        # A certificate that cannot sign, or a policy against it, is better heard of before the work. So is a bad name.
        from sora_core.provenance import History, plan

        def check() -> None:
            desk().folders().check_prefix(filename_prefix)
            plan(History(), **_chosen(credentials, watermark, prompt_in_credentials))

        return said(check)

    @classmethod
    def execute(
        cls,
        images: Any,
        fps: float,
        filename_prefix: str,
        crf: float = 16.0,
        audio: Any = None,
        credentials: str = "policy",
        watermark: str = "policy",
        prompt_in_credentials: str = "policy",
        keep_workflow: bool = True,
    ) -> io.NodeOutput:
        from sora_core.host.saving import badges_of, saving_of
        from sora_core.media.write import write_video

        saving = saving_of(cls.hidden, **_chosen(credentials, watermark, prompt_in_credentials))
        path, subfolder = desk().output_path(filename_prefix, ".mp4", images.shape[2], images.shape[1])
        tags = desk().metadata(cls.hidden) if keep_workflow else {}
        write_video(path, images, fps, metadata=tags, crf=crf, audio=audio, saving=saving)
        return saved_video(cls, path, subfolder, saving.notes, sora_badges=badges_of(saving))


def _choice(name: str, tooltip: str) -> io.Input:
    return io.Combo.Input(name, options=list(CHOICES), default="policy", optional=True, advanced=True, tooltip=tooltip)


def _chosen(credentials: str | None, watermark: str | None, include_prompt: str | None) -> dict[str, bool | None]:
    """Read the widgets as `sora_core.provenance.plan` takes them; a linked one is None before the run."""
    from sora_core.errors import expect

    given = {"credentials": credentials, "watermark": watermark, "include_prompt": include_prompt}
    for name, value in given.items():
        # A host leaves the check of a widget to the node that looks at it before the run.
        expect(value is None or value in CHOICES, f"{name} is {value!r}: use {', '.join(CHOICES)}.")
    return {name: None if value is None else CHOICES[value] for name, value in given.items()}


NODES = [SoraSaveVideo]
