"""Loading models."""

from __future__ import annotations

from .api import backend, io


class SoraLoadModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SoraLoadModel",
            display_name="Sora Load Model",
            category="Sora/load",
            description="Loads a video model with its text encoder and VAE. sora-mini comes with the pack.",
            search_aliases=["sora", "checkpoint loader", "load video model", "text to video", "unet loader"],
            inputs=[
                io.Combo.Input(
                    "model",
                    options=list(backend().model_files()),
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
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The diffusion transformer, for any sampler."),
                io.Clip.Output(display_name="clip", tooltip="The text encoder, English and Chinese."),
                io.Vae.Output(display_name="vae", tooltip="Turns latents into frames and back."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, model: str, precision: str = "auto") -> tuple:
        path = backend().model_files().get(model)
        stat = path.stat() if path is not None and path.is_file() else None
        return (model, precision, stat and stat.st_mtime_ns, stat and stat.st_size)

    @classmethod
    def execute(cls, model: str, precision: str = "auto") -> io.NodeOutput:
        from sora_core.host.backend import resolve_model

        host = backend()
        loaded = host.load_model(resolve_model(model, host.model_files()), precision)
        return io.NodeOutput(loaded.model, loaded.clip, loaded.vae)


NODES = [SoraLoadModel]
