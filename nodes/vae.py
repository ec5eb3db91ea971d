"""Latents to frames and back."""

from __future__ import annotations

from typing import Any

from .api import engine, essential, io, note


class SoraVAEDecode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraVAEDecode",
            display_name="Sora VAE Decode",
            category="Sora/vae",
            description="Turns a latent into frames. Works through long videos piece by piece, and in tiles when "
            "memory runs out.",
            search_aliases=["vae decode", "latent to image", "latent to video", "decode"],
            **essential("Video Generation"),
            inputs=[
                io.Latent.Input("latent", tooltip="From a sampler."),
                io.Vae.Input("vae", tooltip="The VAE of the model that made the latent."),
            ],
            outputs=[io.Image.Output(display_name="images", tooltip="The frames; a batch one clip after the other.")],
        )

    @classmethod
    def execute(cls, latent: Any, vae: Any) -> io.NodeOutput:
        from sora_core.pipeline.make import decode_video

        return io.NodeOutput(decode_video(engine(), vae, latent))


class SoraVAEEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraVAEEncode",
            display_name="Sora VAE Encode",
            category="Sora/vae",
            description="Turns frames into a latent, to restyle, extend or edit them. One frame is a still. The "
            "latent is corrected by what it decodes to, which takes most of the time, and can be refined further.",
            search_aliases=["vae encode", "image to latent", "video to latent", "encode", "refine"],
            inputs=[
                io.Image.Input("images", tooltip="Frames of one video, or one picture."),
                io.Vae.Input("vae", tooltip="The VAE of the model that will work on the latent."),
                io.Combo.Input(
                    "fit",
                    options=["crop", "refuse"],
                    default="crop",
                    optional=True,
                    tooltip="crop: cut to the nearest size and length that fit. refuse: stop and say so.",
                ),
                io.Int.Input(
                    "refine",
                    default=0,
                    min=0,
                    max=200,
                    optional=True,
                    tooltip="Further steps that bring the latent nearer to what decodes to these frames. 24 steps win "
                    "another fifth of a decibel on what moves, and take as long as decoding 70 times. For sora-mini's "
                    "VAE. 0: none.",
                ),
                io.Int.Input(
                    "corrections",
                    default=1,
                    min=0,
                    max=4,
                    optional=True,
                    tooltip="How often sora-mini's VAE corrects the latent by what it decodes to. Each takes about "
                    "four times as long as encoding alone; the first wins half of what four do. 0: none, the fastest.",
                ),
            ],
            outputs=[io.Latent.Output(display_name="latent", tooltip="For a sampler.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, images: Any, vae: Any, fit: str = "crop", refine: int = 0, corrections: int = 1) -> io.NodeOutput:
        from sora_core.latents.space import SORA
        from sora_core.media.sizes import crop_frames

        space = engine().latent_space(vae=vae)
        # Said before cutting, so that the note shows what came in and what is left of it.
        text = f"{images.shape[0]} frames of {images.shape[2]}x{images.shape[1]}"
        if fit == "crop":
            # A VAE that is not causal takes any number of frames.
            first, step = space.lengths
            cut = crop_frames(images, step if space.causal else 1, space.multiple, first)
            if cut.shape != images.shape:
                text += f", cut to {cut.shape[0]} of {cut.shape[2]}x{cut.shape[1]}"
            images = cut
        if corrections and space.vae == SORA:
            often = "once" if corrections == 1 else f"{corrections} times"
            text += f", corrected {often}, about {1 + 4 * corrections} times the work of encoding alone"
        if refine:
            text += f", refined in {refine} steps"
        return io.NodeOutput(engine().encode(vae, images, refine, corrections), ui=note(cls, text))


NODES = [SoraVAEDecode, SoraVAEEncode]
