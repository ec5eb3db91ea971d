"""Stills to video, more of a video, and other parts of it: latents with a mask, for any sampler."""

from __future__ import annotations

from .api import backend, io
from .media import codec, edit_outputs, edited, seconds_input, size_inputs, take_video, wanted_size, working_inputs


class SoraImageToVideo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraImageToVideo",
            display_name="Sora Image to Video",
            category="Sora/edit",
            description="A picture as the first frame of a video, the last, or any other; or two as both ends.",
            search_aliases=["animate", "i2v", "image to video", "first last frame", "keyframe", "start image"],
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
                io.Float.Input("fps", default=8.0, min=1.0, max=120.0, step=1.0, tooltip="Frames per second."),
                *size_inputs(),
                io.Image.Input("last_image", optional=True, tooltip="A second picture, as the last frame."),
            ],
            outputs=edit_outputs()[:2],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, image, vae, position, frame, seconds, fps, width, height, last_image=None) -> io.NodeOutput:
        from sora_core.errors import expect
        from sora_core.media.frames import fit_frames
        from sora_core.media.sizes import nearest_length
        from sora_core.tasks import animate

        family, size = backend().family(vae=vae), wanted_size(width, height)
        frames = max(1 + family.temporal_ratio, nearest_length(seconds * fps, family.temporal_ratio))
        first = fit_frames(image[:1], size, family.multiple)
        images = {{"first": 0, "last": frames - 1, "frame": frame}[position]: first[0]}
        if last_image is not None:
            expect(position != "last", "position is last, and there is a last_image: use first for this picture.")
            images[frames - 1] = fit_frames(last_image[:1], (first.shape[2], first.shape[1]), family.multiple)[0]
        latent = animate(codec(vae), images, frames, fps)
        return edited(cls, latent, vae, float(fps))


class SoraExtend(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraExtend",
            display_name="Sora Extend",
            category="Sora/edit",
            description="More of a video, after it, before it or on both sides. Its own frames come back untouched. "
            "For much more than a second use Sora Long Video.",
            search_aliases=["extend video", "continue", "outpaint in time", "prequel", "longer"],
            inputs=[
                io.Video.Input("video", tooltip="The video to go on from."),
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
                    tooltip="How far the broad colours of what is made may be pulled back to the shot's own.",
                ),
            ],
            outputs=edit_outputs(),
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, video, vae, seconds, direction, fps, width, height, window=5, hold=0.3) -> io.NodeOutput:
        from sora_core.media.sound import join_audio
        from sora_core.tasks import SPLICE, extend

        clip = take_video(video, vae, fps, wanted_size(width, height))
        new = round(seconds * clip.fps) or 1
        latent = extend(codec(vae, window), clip.frames, new, direction, clip.fps, hold)
        splice, notes = latent[SPLICE], clip.notes
        if latent["samples"].shape[2] > window + 1:
            notes += (f"That is more than {window} latents at once: Sora Long Video makes it in segments.",)
        lead = int(splice.keep.nonzero()[0])
        rest = splice.frames.shape[0] - lead - clip.frames.shape[0]
        parts = [(None, lead), (clip.audio, clip.frames.shape[0]), (None, rest)]
        audio = join_audio([(sound, count / clip.fps) for sound, count in parts])
        return edited(cls, latent, vae, clip.fps, audio, notes=notes)


class SoraInfill(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraInfill",
            display_name="Sora Infill",
            category="Sora/edit",
            description="Makes some frames of a video anew, or what a mask covers. All else comes back untouched.",
            search_aliases=["inpaint video", "missing frames", "interpolate", "remove object", "fill", "mask"],
            inputs=[
                io.Video.Input("video", tooltip="The video."),
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
            outputs=edit_outputs(),
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, frames=None) -> bool | str:
        from sora_core.errors import SoraError
        from sora_core.tasks import parse_frames

        try:
            if frames:
                parse_frames(frames)
        except SoraError as error:
            return str(error)
        return True

    @classmethod
    def execute(cls, video, vae, frames, fps, width, height, window=5, mask=None) -> io.NodeOutput:
        from sora_core.tasks import infill, parse_frames

        clip = take_video(video, vae, fps, wanted_size(width, height))
        hidden = parse_frames(frames) if mask is None else None
        latent = infill(codec(vae, window), clip.frames, hidden, mask, clip.fps)
        return edited(cls, latent, vae, clip.fps, clip.audio, notes=clip.notes)


NODES = [SoraImageToVideo, SoraExtend, SoraInfill]
