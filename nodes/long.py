"""Videos of a minute and more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .api import desk, engine, essential, io, said, saved_video
from .inputs import (
    cfg_input,
    chosen,
    expand_input,
    fps_input,
    from_files,
    made_latent_input,
    sampler_input,
    scheduler_input,
    seed_input,
    shown_shots,
    side_inputs,
    steps_input,
    taken,
    video_input,
    window_input,
)

if TYPE_CHECKING:
    from sora_core.pipeline.long import LongPlan


class SoraLongVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraLongVideo",
            display_name="Sora Long Video",
            category="Sora/edit",
            is_output_node=True,
            description="A minute and more, made in segments and written to disk as it goes. Stopped or killed, the "
            "same node goes on after the last finished segment. Run again with some shots changed, it keeps the others "
            "as they were; another seed makes all of them anew.",
            search_aliases=["long video", "infinite", "autoregressive", "extend many times", "minute", "movie"],
            **essential("Video Generation"),
            inputs=[
                io.Model.Input("model", tooltip="A video model."),
                io.Clip.Input("clip", tooltip="Its text encoder."),
                io.Vae.Input("vae", tooltip="Its VAE."),
                io.String.Input(
                    "shots",
                    multiline=True,
                    default="a cat moving right on a beach",
                    tooltip="What the video shows. Several shots: one per line, its seconds, a colon, its prompt.",
                ),
                io.String.Input("negative", multiline=True, default="", tooltip="What it should not show."),
                io.Float.Input(
                    "seconds",
                    default=0.0,
                    min=0.0,
                    max=3600.0,
                    step=1.0,
                    tooltip="How long the video is, or how much is added to the connected one. 0: as the shots say.",
                ),
                fps_input(),
                *side_inputs(),
                seed_input(),
                steps_input(),
                cfg_input("How closely to follow the prompts. 1 is no guidance."),
                scheduler_input(),
                io.String.Input("filename_prefix", default="video/sora_long", tooltip="Name before the number."),
                window_input(least=3),
                io.Int.Input(
                    "context",
                    default=1,
                    min=1,
                    max=32,
                    advanced=True,
                    tooltip="Latents of the segment before that a segment sees and keeps.",
                ),
                io.Int.Input(
                    "overlap",
                    default=1,
                    min=0,
                    max=16,
                    advanced=True,
                    tooltip="Latents at the end of a segment that are finished together with the next one.",
                ),
                io.Float.Input(
                    "renoise",
                    default=0.6,
                    min=0.0,
                    max=0.95,
                    step=0.05,
                    advanced=True,
                    tooltip="Noise level to which the overlap is taken back before it is finished with the next "
                    "segment. 0 keeps it as it is.",
                ),
                io.Float.Input(
                    "hold",
                    default=0.8,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    advanced=True,
                    tooltip="How strongly what stands still is corrected towards how its shot began, so that nothing "
                    "drifts. 0: not at all.",
                ),
                sampler_input(),
                video_input("video", "A video to go on from. It comes back untouched.", optional=True),
                io.ClipVision.Input(
                    "clip_vision", optional=True, tooltip="Sees the last frame of the video, for Wan 2.1 I2V."
                ),
                io.Image.Input(
                    "picture", optional=True, tooltip="A reference for all segments, such as a character (Wan VACE)."
                ),
                made_latent_input(),
                expand_input(),
            ],
            outputs=[io.Video.Output(display_name="video", tooltip="The saved file.")],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo, io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(
        cls, shots: str | None = None, sampler: Any = None, filename_prefix: str | None = None
    ) -> bool | str:
        # ComfyUI hands a dynamic combo to this method whether it asks for it or not.
        from sora_core.tasks.storyboard import MAX_LONG_SHOTS, parse_storyboard

        name = said(desk().folders().check_prefix, filename_prefix)
        return said(lambda text: parse_storyboard(text, most=MAX_LONG_SHOTS), shots) if name is True else name

    @classmethod
    def execute(
        cls,
        model: Any,
        clip: Any,
        vae: Any,
        shots: str,
        negative: str,
        seconds: float,
        fps: float,
        width: int,
        height: int,
        seed: int,
        steps: int,
        cfg: float,
        scheduler: str,
        filename_prefix: str,
        window: int,
        context: int,
        overlap: int,
        renoise: float,
        hold: float,
        sampler: Any,
        video: Any = None,
        clip_vision: Any = None,
        picture: Any = None,
        latent: Any = None,
        expand: str = "auto",
    ) -> io.NodeOutput:
        from sora_core.pipeline.engine import Loaded
        from sora_core.pipeline.long import plan_long
        from sora_core.pipeline.make import Sampling
        from sora_core.tasks.long.rolling import Rolling
        from sora_core.tasks.storyboard import MAX_LONG_SHOTS, parse_storyboard

        name, options = chosen(sampler)
        video = from_files(cls, "video", video)
        given = None if video is None else taken(video, vae, fps, (width, height) if width else None, latent)
        parsed = parse_storyboard(shots, most=MAX_LONG_SHOTS)
        plan = plan_long(
            engine(),
            Loaded(model, clip, vae),
            parsed,
            Sampling(seed, steps, cfg, name, scheduler, options=options),
            fps=fps,
            width=width,
            height=height,
            seconds=seconds,
            negative=negative,
            rolling=Rolling(window, context, overlap, renoise, hold),
            clip=given,
            vision=clip_vision,
            picture=picture,
            expand=expand,
        )
        start = 0.0 if given is None else len(given.frames) / given.fps
        return _rendered(cls, plan, filename_prefix, shown_shots(parsed, start))


def _rendered(cls: type[io.ComfyNode], plan: LongPlan, prefix: str, shots: list[dict[str, Any]]) -> io.NodeOutput:
    """Render a plan into the next free file of a prefix, and return it."""
    from sora_core.files import released
    from sora_core.host.saving import saving_of

    saving = saving_of(cls.hidden)
    path, subfolder = desk().output_path(prefix, ".mp4", plan.width, plan.height)
    with released(path):
        plan.render(
            path,
            saving=saving,
            # Named by what is made and not by the file: after a stop, the same node may be given another free number.
            folder=lambda render: path.parent / f".sora_long_{render[:16]}.segments",
            progress=lambda done: desk().show_text(cls.hidden.unique_id, str(done)),
            metadata=desk().metadata(cls.hidden),
        )
    return saved_video(cls, path, subfolder, saving, [*plan.notes, *saving.notes], sora_shots=shots)


NODES = [SoraLongVideo]
