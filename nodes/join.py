"""Two videos in one, loops, and other styles."""

from __future__ import annotations

from .api import io
from .media import codec, edit_outputs, edited, seconds_input, take_video, wanted_size, working_inputs


class SoraConnect(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraConnect",
            display_name="Sora Connect",
            category="Sora/edit",
            description="Two videos in one: makes what leads from the end of the first to the start of the second. "
            "The second is brought to the size and frame rate of the first.",
            search_aliases=["transition", "blend videos", "connect", "morph", "join"],
            inputs=[
                io.Video.Input("first", tooltip="The video that comes first."),
                io.Video.Input("second", tooltip="The video that it leads to."),
                io.Vae.Input("vae", tooltip="The VAE of the model."),
                seconds_input("there is between the two"),
                *working_inputs(),
            ],
            outputs=edit_outputs(),
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, first, second, vae, seconds, fps, width, height, window=5) -> io.NodeOutput:
        from sora_core.media.sound import join_audio
        from sora_core.tasks import connect

        a = take_video(first, vae, fps, wanted_size(width, height))
        b = take_video(second, vae, a.fps, (a.frames.shape[2], a.frames.shape[1]))
        latent = connect(codec(vae, window), a.frames, b.frames, round(seconds * a.fps) or 1, a.fps)
        gap = int((~latent["sora_splice"].keep).sum())
        parts = [(a.audio, a.frames.shape[0]), (None, gap), (b.audio, b.frames.shape[0])]
        audio = join_audio([(sound, count / a.fps) for sound, count in parts])
        return edited(cls, latent, vae, a.fps, audio, notes=a.notes + b.notes)


class SoraLoop(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraLoop",
            display_name="Sora Loop",
            category="Sora/edit",
            description="Makes what leads from the end of a video back to its start, so that it plays for ever.",
            search_aliases=["perfect loop", "seamless loop", "cinemagraph", "gif loop"],
            inputs=[
                io.Video.Input("video", tooltip="The video."),
                io.Vae.Input("vae", tooltip="The VAE of the model."),
                seconds_input("leads back to the start"),
                *working_inputs(),
            ],
            outputs=edit_outputs(),
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, video, vae, seconds, fps, width, height, window=5) -> io.NodeOutput:
        from sora_core.tasks import loop

        clip = take_video(video, vae, fps, wanted_size(width, height))
        latent = loop(codec(vae, window), clip.frames, round(seconds * clip.fps) or 1, clip.fps)
        return edited(cls, latent, vae, clip.fps, clip.audio, notes=clip.notes)


class SoraRemix(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraRemix",
            display_name="Sora Remix",
            category="Sora/edit",
            description="A video to be restyled after the sampler's prompt (SDEdit). Connect denoise to the sampler.",
            search_aliases=["restyle", "video to video", "v2v", "sdedit", "style transfer", "remix"],
            inputs=[
                io.Video.Input("video", tooltip="The video."),
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
                edit_outputs()[0],
                io.Float.Output(display_name="denoise", tooltip="The strength, for the sampler's denoise."),
                *edit_outputs()[1:],
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, video, vae, strength, fps, width, height) -> io.NodeOutput:
        from sora_core.tasks import remix

        clip = take_video(video, vae, fps, wanted_size(width, height))
        latent = remix(codec(vae), clip.frames, clip.fps)
        return edited(cls, latent, vae, float(strength), clip.fps, clip.audio, notes=clip.notes)


NODES = [SoraConnect, SoraLoop, SoraRemix]
