"""Inputs and outputs of ComfyUI's own nodes that our host has not, as far as the shared workflows use them.

Names and defaults are those of ComfyUI 0.33.0; `tests/benchmarks/comfyui_home.py` opens what is made of them there.
"""

from __future__ import annotations

from sora_core.host.api import io


def _file(name: str) -> io.Input:
    return io.Combo.Input(name, options=[])


CORE_SCHEMAS = {
    schema.node_id: schema
    for schema in (
        io.Schema(
            "UNETLoader",
            inputs=[_file("unet_name"), io.Combo.Input("weight_dtype", options=["default"], default="default")],
            outputs=[io.Model.Output()],
        ),
        io.Schema(
            "CLIPLoader",
            inputs=[
                _file("clip_name"),
                io.Combo.Input("type", options=["wan", "ltxv"]),
                io.Combo.Input("device", options=["default"], default="default", optional=True),
            ],
            outputs=[io.Clip.Output()],
        ),
        io.Schema("CLIPVisionLoader", inputs=[_file("clip_name")], outputs=[io.ClipVision.Output()]),
        io.Schema("VAELoader", inputs=[_file("vae_name")], outputs=[io.Vae.Output()]),
        io.Schema(
            "CheckpointLoaderSimple",
            inputs=[_file("ckpt_name")],
            outputs=[io.Model.Output(), io.Clip.Output(), io.Vae.Output()],
        ),
        io.Schema(
            "ModelSamplingSD3",
            inputs=[io.Model.Input("model"), io.Float.Input("shift", default=3.0)],
            outputs=[io.Model.Output()],
        ),
        io.Schema(
            "LTXVConditioning",
            inputs=[
                io.Conditioning.Input("positive"),
                io.Conditioning.Input("negative"),
                io.Float.Input("frame_rate", default=25.0),
            ],
            outputs=[io.Conditioning.Output(display_name="positive"), io.Conditioning.Output(display_name="negative")],
        ),
        io.Schema(
            "LTXVScheduler",
            inputs=[
                io.Int.Input("steps", default=20),
                io.Float.Input("max_shift", default=2.05),
                io.Float.Input("base_shift", default=0.95),
                io.Boolean.Input("stretch", default=True),
                io.Float.Input("terminal", default=0.1),
                io.Latent.Input("latent", optional=True),
            ],
            outputs=[io.Sigmas.Output()],
        ),
    )
}
