"""Loading models."""

from __future__ import annotations

from typing import Any

from .api import desk, engine, essential, io

NONE = "none"


class SoraLoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraLoadModel",
            display_name="Sora Load Model",
            category="Sora/load",
            description="Loads a video model with its text encoder and VAE. sora-mini comes with the pack.",
            search_aliases=["sora", "checkpoint loader", "load video model", "text to video", "unet loader"],
            **essential("Basics"),
            inputs=[
                io.Combo.Input(
                    "model",
                    options=list(desk().model_files()),
                    default="sora-mini",
                    tooltip="sora-mini, or a .safetensors file in the models folder.",
                ),
                io.Combo.Input(
                    "precision",
                    options=["auto", "fp32", "bf16", "fp16"],
                    default="auto",
                    optional=True,
                    tooltip="auto: fp32 on a CPU, bf16 on a GPU. Choose fp32 if a video turns out black.",
                ),
                io.Combo.Input(
                    "lora",
                    options=[NONE, *desk().lora_files()],
                    default=NONE,
                    optional=True,
                    tooltip="A LoRA of the loras folder to merge into the model: a new subject or look, and its word.",
                ),
                io.Float.Input(
                    "lora_strength",
                    default=1.0,
                    min=-10.0,
                    max=10.0,
                    step=0.05,
                    round=0.01,
                    optional=True,
                    tooltip="How far the LoRA goes; 0 is none of it.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The diffusion transformer, for any sampler."),
                io.Clip.Output(display_name="clip", tooltip="The text encoder, English and Chinese."),
                io.Vae.Output(display_name="vae", tooltip="Turns latents into frames and back."),
            ],
        )

    @classmethod
    def fingerprint_inputs(
        cls, model: str, precision: str = "auto", lora: str = NONE, lora_strength: float = 1.0
    ) -> tuple:
        files = desk().model_files().get(model), desk().lora_files().get(lora)
        # A file that was replaced under its name is loaded again.
        stats = [path.stat() if path is not None and path.is_file() else None for path in files]
        return (model, precision, lora, lora_strength, *[s and (s.st_mtime_ns, s.st_size) for s in stats])

    @classmethod
    def execute(
        cls, model: str, precision: str = "auto", lora: str = NONE, lora_strength: float = 1.0
    ) -> io.NodeOutput:
        from sora_core.host.desk.desk import lora_file, resolve_model

        change = None if lora == NONE else lora_file(lora, desk().lora_files())
        path = resolve_model(model, desk().model_files())
        loaded = engine().load_model(path, precision, change, lora_strength)
        return io.NodeOutput(loaded.model, loaded.clip, loaded.vae)


class SoraExperts(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraExperts",
            display_name="Sora Experts",
            category="Sora/load",
            description="Makes one model of two experts, as Wan 2.2 14B has them: one for high noise, one for low. "
            "Works in every sampler; only the expert whose turn it is stays on the device.",
            search_aliases=["wan 2.2", "high noise", "low noise", "moe", "two models", "model switch", "boundary"],
            inputs=[
                io.Model.Input("high_noise", tooltip="The expert that begins. LoRAs before this node are its own."),
                io.Model.Input("low_noise", tooltip="The expert that takes over. LoRAs before this node are its own."),
                io.Float.Input(
                    "boundary",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.005,
                    round=0.001,
                    tooltip="Steps that begin at this noise level or above are high_noise's. 0 is the model's own: "
                    "0.875 for Wan 2.2 14B, 0.9 where it starts from a picture.",
                ),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="Both experts, for any sampler.")],
        )

    @classmethod
    def execute(cls, high_noise: Any, low_noise: Any, boundary: float) -> io.NodeOutput:
        return io.NodeOutput(engine().join_experts(high_noise, low_noise, boundary))


NODES = [SoraLoadModel, SoraExperts]
