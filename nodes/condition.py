"""What a model is told of an edit, for core's samplers."""

from __future__ import annotations

from typing import Any

from .api import engine, io, note


class SoraCondition(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraCondition",
            display_name="Sora Condition",
            category="Sora/edit",
            description="Tells a model of an edit in its own language, for KSampler or SamplerCustomAdvanced: what is "
            "kept, what CLIP sees of it, a reference picture. Sora Sampler tells the first by itself.",
            search_aliases=["image to video conditioning", "wan", "vace", "reference", "clip vision", "inpaint"],
            inputs=[
                io.Model.Input("model", tooltip="The model that will be sampled."),
                io.Conditioning.Input("positive", tooltip="What the video should show."),
                io.Conditioning.Input("negative", tooltip="What the video should not show."),
                io.Latent.Input("latent", tooltip="From a Sora edit node; or an empty one, with a reference picture."),
                io.Vae.Input("vae", tooltip="The VAE of the model."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=10.0,
                    step=0.01,
                    tooltip="How much the model is bound by it, where it has a dial for that (Wan VACE).",
                ),
                io.ClipVision.Input(
                    "clip_vision", optional=True, tooltip="Sees the first and the last kept frame, for Wan 2.1 I2V."
                ),
                io.Image.Input(
                    "picture",
                    optional=True,
                    tooltip="A reference, which is no frame of the video: a character, say (Wan VACE).",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="For the sampler."),
                io.Conditioning.Output(display_name="positive", tooltip="For the sampler."),
                io.Conditioning.Output(display_name="negative", tooltip="For the sampler."),
                io.Latent.Output(display_name="latent", tooltip="For the sampler, then Sora VAE Decode."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model: Any,
        positive: Any,
        negative: Any,
        latent: Any,
        vae: Any,
        strength: float,
        clip_vision: Any = None,
        picture: Any = None,
    ) -> io.NodeOutput:
        from sora_core.latents.space import ALONG
        from sora_core.pipeline.conditioning import condition

        told = condition(
            engine(), model, positive, negative, latent, vae=vae, vision=clip_vision, picture=picture, strength=strength
        )
        notes, more = [*told.notes], sum(told.latent.get(ALONG, (0, 0)))
        if more:
            notes.append(f"{more} latents more are sampled along: Sora VAE Decode takes them off.")
        shown = note(cls, "\n".join(notes)) if notes else None
        return io.NodeOutput(model, told.positive, told.negative, told.latent, ui=shown)


NODES = [SoraCondition]
