"""What the editing nodes share: how they take a video, and what they say about it."""

from __future__ import annotations

from typing import Any

from sora_core.media.sizes import MAX_SIDE
from sora_core.latents.space import SPACE

from .api import backend, io, note


def working_inputs(window: bool = True) -> list[io.Input]:
    """What a video is brought to before it is worked on, and how much of it the model sees at once."""
    made = [
        io.Float.Input(
            "fps",
            default=0.0,
            min=0.0,
            max=120.0,
            step=1.0,
            tooltip="Frames per second to work at (sora-mini: 8). 0 keeps the video's own.",
        ),
        *size_inputs(),
    ]
    return [*made, window_input()] if window else made


def size_inputs() -> list[io.Input]:
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


def seconds_input(what: str, default: float = 1.0) -> io.Input:
    return io.Float.Input(
        "seconds",
        default=default,
        min=0.05,
        max=60.0,
        step=0.25,
        round=0.001,
        tooltip=f"How much {what}. Rounded up to whole latents, four frames each.",
    )


def window_input() -> io.Input:
    return io.Int.Input(
        "window",
        default=5,
        min=2,
        max=64,
        advanced=True,
        tooltip="Latents that the model makes well at once: sora-mini 5, Wan 21.",
    )


def edit_outputs() -> list[io.Output]:
    return [
        io.Latent.Output(display_name="latent", tooltip="With a noise mask: for any sampler, then Sora VAE Decode."),
        io.Float.Output(display_name="fps", tooltip="Frames per second, for Sora Save Video."),
        io.Audio.Output(display_name="audio", tooltip="The sound of what is kept, silence elsewhere, if there is any."),
    ]


def wanted_size(width: int, height: int) -> tuple[int, int] | None:
    from sora_core.errors import expect

    expect(bool(width) == bool(height), f"width is {width}, height is {height}: set both, or both to 0.")
    return (width, height) if width else None


def codec(vae: Any, window: int = 5) -> Any:
    """The VAE as `sora_core.tasks` uses it."""
    from sora_core.errors import expect
    from sora_core.tasks import VAECodec

    host = backend()
    family = host.family(vae=vae)
    expect(family.causal, f"vae: {family.name} has no latent for a single frame. Use the VAE of sora-mini or of Wan.")
    return VAECodec(lambda images: host.encode(vae, images)["samples"], family.temporal_ratio, window)


def whole_file(video: Any) -> str | None:
    """The file of a VIDEO, which can be read as a stream; None if there is none, or the graph uses a part of it."""
    from sora_core.media.video import probe

    path = video.get_stream_source() if hasattr(video, "get_stream_source") else None
    # A video that was cut in the graph is still the whole file there.
    return path if isinstance(path, str) and abs(probe(path).duration - video.get_duration()) < 0.05 else None


def take_video(video: Any, vae: Any, fps: float, size: tuple[int, int] | None) -> Any:
    """A VIDEO as a `Clip` for `vae`. What is too long or too large is refused before it is decoded."""
    from sora_core.errors import expect
    from sora_core.media.clips import MAX_SECONDS, Clip, read_clip
    from sora_core.media.frames import fit_frames, resample_frames
    from sora_core.media.sizes import MAX_BYTES

    multiple = backend().family(vae=vae).multiple
    path, seconds = whole_file(video), video.get_duration()
    if path is not None:
        return read_clip(path, fps=fps or None, size=size, multiple=multiple)
    wide, high = video.get_dimensions()
    expect(seconds <= MAX_SECONDS, f"video: {seconds:.0f} s, at most {MAX_SECONDS:.0f} s are read. Cut it.")
    parts = video.get_components()
    rate = float(parts.frame_rate)
    needed = wide * high * 12 * seconds * max(rate, fps)
    expect(needed <= MAX_BYTES, f"video: {seconds:.0f} s of {wide}x{high} do not fit into {MAX_BYTES >> 30} GiB.")
    frames = resample_frames(parts.images, rate, fps or rate)
    notes = [f"{rate:g} to {fps:g} frames per second."] if fps and abs(fps - rate) > 1e-3 else []
    return Clip(fit_frames(frames, size, multiple), fps or rate, parts.audio, tuple(notes))


def edited(cls: type[io.ComfyNode], latent: dict, vae: Any, *others: Any, notes: tuple[str, ...] = ()) -> io.NodeOutput:
    """What an editing node gives out: its LATENT, marked with the VAE's latent space, then `others`."""
    space = backend().family(vae=vae).space
    marked = {**latent, SPACE: space} if space else latent
    return io.NodeOutput(marked, *others, ui=note(cls, describe(latent, notes)))


def describe(latent: dict, notes: tuple[str, ...] = ()) -> str:
    """What an edit keeps and makes, and what was changed on the way in."""
    from sora_core.tasks import SPLICE

    splice = latent[SPLICE]
    total = splice.frames.shape[0]
    kept = int(splice.keep.flatten(1).all(1).sum()) if splice.keep.ndim == 3 else int(splice.keep.sum())
    height, width = splice.frames.shape[1:3]
    text = f"{total} frames of {width}x{height} at {splice.fps:g} fps, {kept} of them yours untouched."
    return "\n".join([text, *notes])
