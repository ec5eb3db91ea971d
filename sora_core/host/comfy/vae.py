"""Our VAE as a native VAE: core nodes decode and encode with it, tiled and not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import comfy.model_management as management
import comfy.model_patcher
import comfy.sd
import torch
from torch import Tensor

from ...latents.decoding import CHUNK, encode_stream
from ...model.vae.mini import VAEConfig, VideoVAE
from ...pipeline.stopping import Stoppable


class StreamingVAE(VideoVAE):
    """Our VAE as ComfyUI calls one: whole clips in and out. Within, it works a chunk at a time."""

    def encode(self, video: Tensor) -> Tensor:
        """Encode `[B,3,1+ratio*k,H,W]` in -1..1 to a latent `[B,C,1+k,h,w]`."""
        self.check_video(video)
        with Stoppable(management.throw_exception_if_processing_interrupted):
            return torch.cat(list(encode_stream(self, video, signed=True)), 2)

    def decode(self, latent: Tensor) -> Tensor:
        """Decode a latent `[B,C,1+k,h,w]` to `[B,3,1+ratio*k,H,W]` in -1..1."""
        with Stoppable(management.throw_exception_if_processing_interrupted):
            return torch.cat(list(self.stream_decode(latent, CHUNK)), 2)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the warning that a VAE made from no weights has none: they are put in right after."""
    root = logging.getLogger()

    def keep(record: logging.LogRecord) -> bool:
        return "No VAE weights" not in record.getMessage()

    root.addFilter(keep)
    try:
        yield
    finally:
        root.removeFilter(keep)


class SoraVAE(comfy.sd.VAE):
    """A native VAE around ours: what ComfyUI reads of sizes, memory and devices."""

    def __init__(self, vae: StreamingVAE, name: str) -> None:
        with quiet():
            # ComfyUI tells a VAE by its weights and does not know ours: all that it would have set is set below.
            super().__init__(sd={})
        self.sora_name = name
        config = vae.config
        time, space = config.temporal_ratio, config.spatial_ratio
        self.first_stage_model = vae
        self.latent_channels, self.latent_dim, self.output_channels = config.latent_channels, 3, 3
        self.upscale_ratio = (lambda t: max(0, time * t - time + 1), space, space)
        self.downscale_ratio = (lambda t: max(0, (t + time - 1) // time), space, space)
        self.upscale_index_formula = self.downscale_index_formula = (time, space, space)
        # Bytes of the widest activations: a decoder's, at 1/4 of the resolution, for one chunk.
        width = 24 * config.width[0]
        self.memory_used_decode = lambda shape, dtype: (
            width * min(shape[2], CHUNK) * shape[3] * shape[4] * 4 * management.dtype_size(dtype)
        )
        # Corrections keep a chunk's gradients, in float32, of frames or of tiles of 320 pixels.
        self.memory_used_encode = lambda shape, dtype: (
            width * min(shape[2], 1 + CHUNK * time) * shape[3] * shape[4] // 64 * management.dtype_size(dtype)
            + (
                4 * width * min(shape[2], 1 + CHUNK * time) * min(shape[3] * shape[4], 320 * 320) // 16
                if config.corrections
                else 0
            )
        )
        self.working_dtypes = [torch.bfloat16, torch.float32]
        self.device, self.output_device = management.vae_device(), management.intermediate_device()
        self.vae_dtype = next(vae.parameters()).dtype
        patcher = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
        self.patcher = patcher(vae, load_device=self.device, offload_device=management.vae_offload_device())


def make_vae(config: VAEConfig, state: dict[str, Tensor], dtype: torch.dtype | None, name: str) -> SoraVAE:
    """Make a VAE with the weights `state`. dtype: None lets ComfyUI choose. name: of the model, for messages."""
    vae = StreamingVAE(config).eval().requires_grad_(False)
    vae.load_state_dict(state)
    kind = dtype or management.vae_dtype(management.vae_device(), [torch.bfloat16, torch.float32])
    return SoraVAE(vae.to(kind), name)
