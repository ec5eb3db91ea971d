"""Edits of the user's own pictures and videos: latents with a mask, for any sampler."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from .api import engine, essential, io, note, said
from .inputs import (
    edit_outputs,
    fps_input,
    from_files,
    made_latent_input,
    seconds_input,
    size_inputs,
    taken,
    video_input,
    wanted_size,
    working_inputs,
)

if TYPE_CHECKING:
    from sora_core.media.clips import Clip
    from sora_core.pipeline.editing import Edit


def edited(cls: type[io.ComfyNode], edit: Edit, *others: Any) -> io.NodeOutput:
    """Return an edit: its LATENT and `others`, and on the node what is kept and made."""
    return io.NodeOutput(edit.latent, *others, ui=note(cls, edit.described()))


def edit_schema(node: str, name: str, *, outputs: list[io.Output] | None = None, **more: Any) -> io.Schema:
    """Make the schema of an edit node, which shows a text and has the usual outputs where none are given."""
    return io.Schema(
        node,
        display_name=name,
        category="Sora/edit",
        outputs=edit_outputs() if outputs is None else outputs,
        hidden=[io.Hidden.unique_id, io.Hidden.prompt],
        **more,
    )


class SoraImageToVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return edit_schema(
            "SoraImageToVideo",
            "Sora Image to Video",
            description="A picture as the first frame of a video, the last, or any other; or two as both ends.",
            search_aliases=["animate", "i2v", "image to video", "first last frame", "keyframe", "start image"],
            **essential("Video Tools"),
            inputs=[
                io.Image.Input("image", tooltip="The picture. It comes back untouched."),
                io.Vae.Input("vae", tooltip="The VAE of the model."),
                io.Combo.Input(
                    "position",
                    options=["first", "last", "frame"],
                    default="first",
                    tooltip="Where the picture stands. frame: at the number below.",
                ),
                io.Int.Input("frame", default=0, min=0, max=4096, tooltip="Number of its frame, from 0."),
                io.Float.Input(
                    "seconds", default=2.0, min=0.05, max=60.0, step=0.25, round=0.001, tooltip="How long the video is."
                ),
                fps_input(),
                *size_inputs(),
                io.Image.Input("last_image", optional=True, tooltip="A second picture, as the last frame."),
            ],
            # A picture brings no sound along.
            outputs=edit_outputs()[:2],
        )

    @classmethod
    def execute(
        cls,
        image: Any,
        vae: Any,
        position: str,
        frame: int,
        seconds: float,
        fps: float,
        width: int,
        height: int,
        last_image: Any = None,
    ) -> io.NodeOutput:
        from sora_core.errors import expect
        from sora_core.pipeline.editing import animate

        # Of a batch the first picture only: each place in the video takes one.
        images = {{"first": 0, "last": -1, "frame": frame}[position]: from_files(cls, "image", image)}
        if last_image is not None:
            expect(position != "last", "position is last, and there is a last_image: use first for this picture.")
            images[-1] = from_files(cls, "last_image", last_image)
        edit = animate(engine(), vae, images, seconds=seconds, fps=fps, size=wanted_size(width, height))
        return edited(cls, edit, float(fps))


class EditsVideo(io.ComfyNode):
    """A node that edits one video, brought to what `working_inputs` ask for."""

    edit: ClassVar[Callable[..., Edit]]  # makes the edit of a clip, with the node's own inputs

    @classmethod
    def execute(
        cls, video: Any, vae: Any, fps: float, width: int, height: int, latent: Any = None, **how: Any
    ) -> io.NodeOutput:
        video = from_files(cls, "video", video)
        edit = cls.edit(vae, taken(video, vae, fps, wanted_size(width, height), latent), **how)
        return edited(cls, edit, edit.fps, edit.audio)


class SoraExtend(EditsVideo):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return edit_schema(
            "SoraExtend",
            "Sora Extend",
            description="More of a video, after it, before it or on both sides. Its own frames come back untouched. "
            "For much more than a second use Sora Long Video.",
            search_aliases=["extend video", "continue", "outpaint in time", "prequel", "longer"],
            **essential("Video Tools"),
            inputs=[
                video_input("video", "The video to go on from."),
                io.Vae.Input("vae", tooltip="The VAE of the model."),
                seconds_input("to add on a side"),
                io.Combo.Input(
                    "direction", options=["forwards", "backwards", "both"], default="forwards", tooltip="Where to add."
                ),
                *working_inputs(),
                io.Float.Input(
                    "hold",
                    default=0.3,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    advanced=True,
                    optional=True,
                    tooltip="How strongly colours that drift are corrected towards the shot's own. 0: not at all.",
                ),
                made_latent_input(),
            ],
        )

    @classmethod
    def edit(cls, vae: Any, clip: Clip, seconds: float, direction: str, window: int = 5, hold: float = 0.3) -> Edit:
        from sora_core.pipeline.editing import extend

        return extend(engine(), vae, clip, seconds, direction, hold=hold, window=window)


class SoraInfill(EditsVideo):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return edit_schema(
            "SoraInfill",
            "Sora Infill",
            description="Makes some frames of a video anew, or what a mask covers. All else comes back untouched.",
            search_aliases=["inpaint video", "missing frames", "interpolate", "remove object", "fill", "mask"],
            **essential("Video Tools"),
            inputs=[
                video_input("video", "The video."),
                io.Vae.Input("vae", tooltip="The VAE of the model."),
                io.String.Input(
                    "frames",
                    default="5-12",
                    tooltip="Frames to make anew, from 0: ranges and numbers, such as 5-12, 20. Not used with a mask.",
                ),
                *working_inputs(),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="What to make anew, of the size of the video: one mask, or one for each frame.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, frames: str | None = None) -> bool | str:
        from sora_core.tasks import parse_frames

        # Empty is right where a mask says what to make, and whether one is connected cannot be seen here.
        return said(parse_frames, frames or None)

    @classmethod
    def edit(cls, vae: Any, clip: Clip, frames: str, window: int = 5, mask: Any = None) -> Edit:
        from sora_core.pipeline.editing import infill
        from sora_core.tasks import parse_frames

        hidden = parse_frames(frames) if mask is None else None
        return infill(engine(), vae, clip, hidden, mask, window=window)


class SoraConnect(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return edit_schema(
            "SoraConnect",
            "Sora Connect",
            description="Two videos in one: makes what leads from the end of the first to the start of the second. "
            "The second is brought to the size and frame rate of the first.",
            search_aliases=["transition", "blend videos", "connect", "morph", "join"],
            **essential("Video Tools"),
            inputs=[
                video_input("first", "The video that comes first."),
                video_input("second", "The video that it leads to."),
                io.Vae.Input("vae", tooltip="The VAE of the model."),
                seconds_input("there is between the two"),
                *working_inputs(),
            ],
        )

    @classmethod
    def execute(
        cls, first: Any, second: Any, vae: Any, seconds: float, fps: float, width: int, height: int, window: int = 5
    ) -> io.NodeOutput:
        from sora_core.pipeline.editing import connect

        first, second = from_files(cls, "first", first), from_files(cls, "second", second)
        a = taken(first, vae, fps, wanted_size(width, height))
        # The first decides, also where 0 keeps its own: two sizes or rates cannot stand in one latent.
        b = taken(second, vae, a.fps, (a.frames.shape[2], a.frames.shape[1]))
        edit = connect(engine(), vae, a, b, seconds, window=window)
        return edited(cls, edit, edit.fps, edit.audio)


class SoraLoop(EditsVideo):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return edit_schema(
            "SoraLoop",
            "Sora Loop",
            description="Makes what leads from the end of a video back to its start, so that it plays for ever.",
            search_aliases=["perfect loop", "seamless loop", "cinemagraph", "gif loop"],
            **essential("Video Tools"),
            inputs=[
                video_input("video", "The video."),
                io.Vae.Input("vae", tooltip="The VAE of the model."),
                seconds_input("leads back to the start"),
                *working_inputs(),
            ],
        )

    @classmethod
    def edit(cls, vae: Any, clip: Clip, seconds: float, window: int = 5) -> Edit:
        from sora_core.pipeline.editing import loop

        return loop(engine(), vae, clip, seconds, window=window)


class SoraRemix(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return edit_schema(
            "SoraRemix",
            "Sora Remix",
            description="A video to be restyled after the sampler's prompt (SDEdit). Connect denoise to the sampler.",
            search_aliases=["restyle", "video to video", "v2v", "sdedit", "style transfer", "remix"],
            **essential("Video Tools"),
            inputs=[
                video_input("video", "The video."),
                io.Vae.Input("vae", tooltip="The VAE of the model."),
                io.Float.Input(
                    "strength",
                    default=0.6,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="How much may change: 0 nothing, 1 everything. Styles need about 0.5 to 0.7.",
                ),
                *working_inputs(window=False),
            ],
            outputs=[
                # The latent first, as in all edit nodes; denoise beside it, because a sampler takes both.
                edit_outputs()[0],
                io.Float.Output(display_name="denoise", tooltip="The strength, for the sampler's denoise."),
                *edit_outputs()[1:],
            ],
        )

    @classmethod
    def execute(cls, video: Any, vae: Any, strength: float, fps: float, width: int, height: int) -> io.NodeOutput:
        from sora_core.pipeline.editing import remix

        edit = remix(engine(), vae, taken(video, vae, fps, wanted_size(width, height)))
        return edited(cls, edit, float(strength), edit.fps, edit.audio)


NODES = [SoraImageToVideo, SoraExtend, SoraInfill, SoraConnect, SoraLoop, SoraRemix]
