"""Text, VAE and empty latents.

LATENT is `{"samples": [B,C,T,H,W], ...}` as the model sees it; CONDITIONING is `[[tensor [B,L,D], {...}]]`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import expect
from ...media.sizes import check_pixels
from ...pipeline.engine import Latent
from ...pipeline.own import ClipSocket, VaeSocket
from ..api import io
from .images import MAX_SIZE


class CLIPTextEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "CLIPTextEncode",
            display_name="CLIP Text Encode (Prompt)",
            category="conditioning",
            inputs=[
                io.String.Input("text", multiline=True, dynamic_prompts=True, tooltip="What the video should show."),
                io.Clip.Input("clip", tooltip="The text encoder."),
            ],
            outputs=[io.Conditioning.Output()],
        )

    @classmethod
    def execute(cls, text: str, clip: ClipSocket) -> io.NodeOutput:
        return io.NodeOutput(clip.encode(text))


class VAEDecode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "VAEDecode",
            display_name="VAE Decode",
            category="latent",
            inputs=[io.Latent.Input("samples"), io.Vae.Input("vae")],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, samples: Latent, vae: VaeSocket) -> io.NodeOutput:
        return io.NodeOutput(vae.decode(samples["samples"]))


class VAEEncode(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "VAEEncode",
            display_name="VAE Encode",
            category="latent",
            inputs=[io.Image.Input("pixels"), io.Vae.Input("vae")],
            outputs=[io.Latent.Output()],
        )

    @classmethod
    def execute(cls, pixels: Tensor, vae: VaeSocket) -> io.NodeOutput:
        # Transparency has no place in a latent.
        return io.NodeOutput({"samples": vae.encode(pixels[..., :3])})


class EmptyLatentImage(io.ComfyNode):
    """An empty latent of one frame. It has four channels, as in ComfyUI: a sampler fits them to its model."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "EmptyLatentImage",
            display_name="Empty Latent Image",
            category="latent",
            inputs=[
                io.Int.Input("width", default=512, min=16, max=MAX_SIZE, step=8),
                io.Int.Input("height", default=512, min=16, max=MAX_SIZE, step=8),
                io.Int.Input("batch_size", default=1, min=1, max=4096),
            ],
            outputs=[io.Latent.Output()],
        )

    @classmethod
    def execute(cls, width: int, height: int, batch_size: int) -> io.NodeOutput:
        # As many frames as its pictures will be, once they are decoded all at once.
        check_pixels(batch_size, width, height)
        samples = torch.zeros(batch_size, 4, height // 8, width // 8)
        # The key is ComfyUI's, misspelt as there: a sampler reads of it which pixels the cells stand for.
        return io.NodeOutput({"samples": samples, "downscale_ratio_spacial": 8})


class SetLatentNoiseMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "SetLatentNoiseMask",
            display_name="Set Latent Noise Mask",
            category="latent/inpaint",
            inputs=[
                io.Latent.Input("samples"),
                io.Mask.Input("mask", tooltip="1 where something new is made, 0 to keep."),
            ],
            outputs=[io.Latent.Output()],
        )

    @classmethod
    def execute(cls, samples: Latent, mask: Tensor) -> io.NodeOutput:
        expect(mask.ndim in (2, 3), f"A mask has the shape [B,H,W], not {list(mask.shape)}.")
        # A copy: what comes in belongs to other nodes as well.
        return io.NodeOutput({**samples, "noise_mask": mask.reshape(-1, 1, *mask.shape[-2:])})


NODES = [CLIPTextEncode, VAEDecode, VAEEncode, EmptyLatentImage, SetLatentNoiseMask]
