"""Inputs and outputs that several nodes have, and how their values are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sora_core.diffusion import MAX_SEED
from sora_core.media.sizes import MAX_SIDE

from .api import desk, engine, io

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sora_core.diffusion.samplers.spec import SamplerOption
    from sora_core.media.clips import Clip
    from sora_core.tasks.storyboard import Shot


# -- sizes and times -----------------------------------------------------------------------------------------
def working_inputs(window: bool = True) -> list[io.Input]:
    """Ask what a video is brought to before it is worked on, and how much of it the model sees at once."""
    made = [
        io.Float.Input(
            "fps",
            default=0.0,
            min=0.0,
            max=120.0,
            step=1.0,
            tooltip="Frames per second to work at (sora-mini: 8). 0 keeps the video's own. Of images it is their rate; "
            "0 takes them for 8.",
        ),
        *size_inputs(),
    ]
    return [*made, window_input()] if window else made


def size_inputs() -> list[io.Input]:
    """Ask for a size to scale and cut to, or none."""
    return [
        io.Int.Input(
            "width",
            default=0,
            min=0,
            max=MAX_SIDE,
            step=16,
            tooltip="Scale and cut to this width, a multiple of 16; 0 keeps the size and cuts to the multiple.",
        ),
        io.Int.Input("height", default=0, min=0, max=MAX_SIDE, step=16, tooltip="As width; set both or neither."),
    ]


def side_inputs() -> list[io.Input]:
    """Ask for the size of a new video."""
    tooltip = "Pixels, a multiple of 16."
    return [
        io.Int.Input(name, default=128, min=16, max=MAX_SIDE, step=16, tooltip=tooltip) for name in ("width", "height")
    ]


def fps_input(tooltip: str = "Frames per second.") -> io.Input:
    """Ask for the frame rate of a new video."""
    return io.Float.Input("fps", default=8.0, min=1.0, max=120.0, step=1.0, tooltip=tooltip)


def seconds_input(what: str, default: float = 1.0) -> io.Input:
    """Ask how much is made."""
    return io.Float.Input(
        "seconds",
        default=default,
        # A minute at 8 frames per second is the longest clip, see `MAX_FRAMES`.
        min=0.05,
        max=60.0,
        step=0.25,
        round=0.001,
        tooltip=f"How much {what}. Rounded up to whole latents: four frames each for sora-mini and Wan, eight for LTX.",
    )


def window_input(least: int = 2) -> io.Input:
    """Ask how many latents the model makes well at once."""
    return io.Int.Input(
        "window",
        default=5,
        min=least,
        # Far above what models are trained on: the limit only catches slips of the hand.
        max=64,
        advanced=True,
        tooltip="Latents that the model makes well at once: sora-mini 5, Wan 21.",
    )


def wanted_size(width: int, height: int) -> tuple[int, int] | None:
    """Read `size_inputs`: (width, height), or None for the video's own."""
    from sora_core.errors import expect

    expect(bool(width) == bool(height), f"width is {width}, height is {height}: set both, or both to 0.")
    return (width, height) if width else None


def shown_shots(shots: Sequence[Shot], start: float = 0.0) -> list[dict[str, Any]]:
    """List shots for the timeline of `web/js`, each with the second it begins at. start: of the first one."""
    made = []
    for shot in shots:
        made.append({"prompt": shot.prompt, "seconds": shot.seconds, "start": start})
        start += shot.seconds
    return made


# -- videos --------------------------------------------------------------------------------------------------
def video_input(name: str, tooltip: str, optional: bool = False) -> io.Input:
    """Ask for a video: a VIDEO, or its frames as an IMAGE, whose rate the node's `fps` is (0: 8 frames per second)."""
    if not hasattr(io, "MultiType"):
        return io.Video.Input(name, optional=optional, tooltip=tooltip)
    return io.MultiType.Input(name, [io.Video, io.Image], optional=optional, tooltip=tooltip)


def edit_outputs() -> list[io.Output]:
    """Return the outputs that every edit node has."""
    return [
        io.Latent.Output(display_name="latent", tooltip="With a noise mask: for any sampler, then Sora VAE Decode."),
        io.Float.Output(display_name="fps", tooltip="Frames per second, for Sora Save Video."),
        io.Audio.Output(display_name="audio", tooltip="The sound of what is kept, silence elsewhere, if there is any."),
    ]


def made_latent_input() -> io.Input:
    """Ask for the latent of a video that was just made."""
    return io.Latent.Input(
        "latent",
        optional=True,
        tooltip="What the video was decoded from, if it was just made: handed over, not encoded again.",
    )


def from_files(cls: type[io.ComfyNode], name: str, value: Any) -> Any:
    """Return what the input `name` got, a VIDEO or an IMAGE, noted as a user's own where the host knows that it is."""
    if value is None or not desk().shows_files(cls.hidden, name):
        return value
    from sora_core.media.origin import from_file, own_video

    return own_video(value) if hasattr(value, "get_components") else from_file(value)


def taken(video: Any, vae: Any, fps: float, size: tuple[int, int] | None, latent: Any = None) -> Clip:
    """Read a VIDEO, or frames `[T,H,W,C]` of the rate `fps`, for `vae`, at `fps` (0: its own).

    What is too long or too large is refused before it is decoded. latent: see `made_latent_input`.
    """
    from dataclasses import replace

    from sora_core.errors import expect
    from sora_core.pipeline.conditioning import trim
    from sora_core.pipeline.editing import codec_of, latent_of
    from sora_core.pipeline.sources import take_clip
    from sora_core.tasks.finish.splice import SPLICE

    space = engine().latent_space(vae=vae)
    clip = take_clip(video, space.multiple, fps=fps or None, size=size)
    if latent is None:
        return clip
    samples = space.samples_of(trim(latent), "this VAE")
    clip = replace(clip, latent=samples)
    length, height, width = clip.frames.shape[:3]
    splice = latent.get(SPLICE)
    expect(
        splice is None or splice.whole,
        "latent: it is of a part of its video, or in another order, as of Sora Loop. Connect none: then the video is "
        "encoded.",
    )
    expect(
        latent_of(codec_of(engine(), vae), clip) is not None,
        f"latent: it has the shape {list(samples.shape)}, the video {length} frames of {width}x{height}. Connect "
        "the latent that the video was decoded from, or none.",
    )
    return clip


def watched(video: Any, images: Any, fps: float = 8.0) -> tuple[str | None, Any, float]:
    """Read a node's optional video or images, one of which must be there: (file, frames, fps), file or frames None."""
    from sora_core.errors import expect
    from sora_core.pipeline.sources import whole_file

    expect((video is None) != (images is None), "Connect a video or images, one of the two.")
    if video is None:
        return None, images, fps
    # A whole file is left to whoever works on it, who reads it as a stream, or its credentials with it.
    path = whole_file(video)
    if path is not None:
        return path, None, fps
    parts = video.get_components()
    return None, parts.images, float(parts.frame_rate)


def expand_input() -> io.Input:
    """Ask when a prompt is told in other words. Older workflows have no such widget, and get the default."""
    return io.Combo.Input(
        "expand",
        options=["auto", "always", "never"],
        default="auto",
        optional=True,
        tooltip="auto: words that sora-mini does not know are told in words that it knows; what was made of the prompt "
        "stands on the node. always: every prompt is told again, as descriptive as captions. never: as it is written.",
    )


# -- sampling ------------------------------------------------------------------------------------------------
def seed_input(tooltip: str = "Same seed and settings, same video.") -> io.Input:
    """Ask for a seed."""
    return io.Int.Input("seed", default=0, min=0, max=MAX_SEED, control_after_generate=True, tooltip=tooltip)


def steps_input() -> io.Input:
    """Ask for the steps of a run."""
    return io.Int.Input("steps", default=25, min=1, max=10000, tooltip="More steps are slower and more exact.")


def cfg_input(tooltip: str) -> io.Input:
    """Ask for the guidance."""
    return io.Float.Input("cfg", default=4.0, min=0.0, max=100.0, step=0.1, round=0.01, tooltip=tooltip)


def scheduler_input() -> io.Input:
    """Ask for a scheduler of the host's."""
    return io.Combo.Input(
        "scheduler",
        options=engine().scheduler_names(),
        default="simple",
        tooltip="How the steps are spread between noise and video.",
    )


def denoise_input() -> io.Input:
    """Ask how much of a latent is made new."""
    return io.Float.Input(
        "denoise",
        default=1.0,
        min=0.0,
        max=1.0,
        step=0.01,
        tooltip="1 makes everything new; less keeps that much less of the latent (restyle: about 0.6).",
    )


def sampler_input() -> io.Input:
    """Ask for a sampler: ours, each with its own options where the host can show them, then those of the host only."""
    from sora_core.diffusion.samplers import SAMPLERS

    names = [*SAMPLERS, *(name for name in engine().sampler_names() if name not in SAMPLERS)]
    tooltip = "How noise becomes the video. Changing it runs sampling and decoding again, nothing else."
    # An older ComfyUI has none: there the samplers run with the defaults of their options.
    if not hasattr(io, "DynamicCombo"):
        return io.Combo.Input("sampler", options=names, default="euler", tooltip=tooltip)
    options = [
        io.DynamicCombo.Option(name, [option_input(o) for o in SAMPLERS[name].options] if name in SAMPLERS else [])
        for name in names
    ]
    return io.DynamicCombo.Input("sampler", options=options, tooltip=tooltip)


def option_input(option: SamplerOption) -> io.Input:
    """Make the widget of a sampler's option. Optional, so that a workflow from before it existed stays valid."""
    common = {"default": option.default, "tooltip": option.tooltip, "optional": True}
    if option.type is str:
        return io.Combo.Input(option.name, options=list(option.choices), **common)
    kind = io.Int if option.type is int else io.Float
    return kind.Input(option.name, min=option.min, max=option.max, step=option.step, **common)


def chosen(sampler: Any) -> tuple[str, dict[str, Any]]:
    """Read `sampler_input`: the sampler's name and options."""
    if isinstance(sampler, str):
        return sampler, {}
    # ComfyUI passes what the workflow left out as None.
    return sampler["sampler"], {k: v for k, v in sampler.items() if k != "sampler" and v is not None}
