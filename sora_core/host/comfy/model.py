"""Our transformer as a native MODEL: every sampler, guider, LoRA loader and patch of ComfyUI works on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.conds
import comfy.latent_formats
import comfy.model_base
import comfy.model_management as management
import comfy.model_patcher
import comfy.patcher_extension as patches
import comfy.supported_models_base
import torch
import torch.nn.functional as F
from torch import Tensor

from ...diffusion.prompts import SHOTS
from ...diffusion.shots import read_shots
from ...errors import expect
from ...latents.masks import spread_tokens
from ...model.dit import DiT, DiTConfig
from .layouts import layout_for, with_layouts


class Operations:
    """ComfyUI's layers, which cast or fetch their weights as they are used, with dtype and device filled in."""

    def __init__(self, operations: Any, dtype: torch.dtype, device: torch.device | None) -> None:
        def layer(kind: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *args, **kwargs: kind(*args, **kwargs, dtype=dtype, device=device)

        self.Linear, self.LayerNorm = layer(operations.Linear), layer(operations.LayerNorm)
        self.Conv3d = layer(operations.Conv3d)


class ComfyDiT(DiT):
    """The transformer with the signature that ComfyUI calls."""

    def __init__(
        self,
        config: DiTConfig,
        dtype: torch.dtype,
        device: torch.device | None = None,
        operations: Any = None,
        **settings: Any,
    ) -> None:
        super().__init__(config, Operations(operations, dtype, device))
        self.to(device)
        self.weight_dtype = self.running_dtype = dtype

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.weight_dtype

    @property
    def compute_dtype(self) -> torch.dtype:
        """Precision of activations: that of the latent, to which ComfyUI casts the weights."""
        return self.running_dtype

    def project(self, tokens: Tensor) -> Tensor:
        """Embed tokens `[B,N,P]` as `[B,N,dim]`."""
        # Through the layer itself, so that its weights are cast, patched and fetched like all others.
        cells = tokens.to(self.running_dtype).unflatten(-1, (-1, *self.config.patch_size))
        return self.patch_embedding(cells.flatten(0, 1)).flatten(1).unflatten(0, tokens.shape[:2])

    def forward(  # type: ignore[override]  # ComfyUI calls its networks so, and ours does not call this one
        self,
        x: Tensor,
        timestep: Tensor,
        context: Tensor,
        transformer_options: dict[str, Any] | None = None,
        **extra: Any,
    ) -> Tensor:
        """Compute the velocity `[B,C,T,H,W]`, within what wraps a whole forward pass: caches and other patches."""
        options = transformer_options or {}
        wrappers = patches.get_all_wrappers(patches.WrappersMP.DIFFUSION_MODEL, options)
        run = patches.WrapperExecutor.new_class_executor(self.velocity, self, wrappers)
        return run.execute(x, timestep, context, transformer_options=options, **extra)

    def velocity(
        self,
        x: Tensor,
        timestep: Tensor,
        context: Tensor,
        shots: tuple[int, ...] | None = None,
        transformer_options: dict[str, Any] | None = None,
        **extra: Any,
    ) -> Tensor:
        """Compute the velocity `[B,C,T,H,W]`.

        timestep: in 0..1000, `[B]` or `[B,N]`. context: `[B,L,D]`; with shots, their contexts one after the other.
        """
        # ComfyUI may sample in another precision than it holds the weights in, and change it between runs.
        self.running_dtype = x.dtype
        layout = layout_for(x, transformer_options or {})
        if shots is None:
            made = super().forward(x, timestep, context, layout=layout)
        else:
            by_shot = context.unflatten(1, (len(shots), -1)).flatten(0, 1)
            made = super().forward(x, timestep, **read_shots(self, by_shot, shots, x.shape), layout=layout)
        return made if isinstance(made, Tensor) else made[0]


class SoraConfig(comfy.supported_models_base.BASE):
    """What ComfyUI asks of a model's configuration."""

    unet_extra_config: dict[str, Any] = {}
    memory_usage_factor = 1.0
    # In order of preference. float16 is left to those who choose it.
    supported_inference_dtypes = [torch.bfloat16, torch.float32]


class SoraLatent(comfy.latent_formats.LatentFormat):
    """The layout of our latents, which are normalised already: scale 1."""

    latent_dimensions = 3
    # ComfyUI's spelling.
    spacial_downscale_ratio = 8
    temporal_downscale_ratio = 4

    def __init__(self, channels: int, rgb: dict[str, Any] | None) -> None:
        self.latent_channels = channels
        if rgb:
            self.latent_rgb_factors, self.latent_rgb_factors_bias = rgb["factors"], rgb.get("bias")


class SoraModel(comfy.model_base.BaseModel):
    """The model that a MODEL holds: what reaches the network beside the noised latent."""

    def __init__(self, config: SoraConfig, device: torch.device | None = None) -> None:
        super().__init__(config, comfy.model_base.ModelType.FLOW, device=device, unet_model=ComfyDiT)

    def extra_conds(self, **kwargs: Any) -> dict[str, Any]:
        """Wrap prompt, shots and mask for the network. Raises SoraError for a prompt of another width than it reads."""
        out = super().extra_conds(**kwargs)
        context, width = kwargs.get("cross_attn"), self.diffusion_model.config.text_dim
        if context is not None:
            expect(
                context.shape[-1] == width,
                f"The prompt is encoded {context.shape[-1]} wide, this model reads {width}. Use the text encoder "
                "that was loaded with this model.",
            )
        if kwargs.get(SHOTS) is not None:
            # Constant: ComfyUI then runs two prompts in one call only where their shots are the same.
            out["shots"] = comfy.conds.CONDConstant(tuple(kwargs[SHOTS]))
        mask = kwargs.get("denoise_mask")
        if mask is not None:
            # One channel: ComfyUI repeats the mask for each channel of the latent, and all are the same.
            out["denoise_mask"] = comfy.conds.CONDRegular(mask[:, :1])
        return out

    def token_mask(self, mask: Tensor) -> Tensor:
        """Pool a mask `[B,C,T,H,W]` in 0..1 to tokens `[B,N]`: one is as noisy as the noisiest latent in it."""
        return F.max_pool3d(mask[:, :1].float(), self.diffusion_model.config.patch_size).flatten(1)

    def process_timestep(self, timestep: Tensor, x: Tensor, denoise_mask: Tensor | None = None, **extra: Any) -> Tensor:
        """Turn a mask into a timestep per token, `[B]` -> `[B,N]`: kept tokens are at 0."""
        return timestep if denoise_mask is None else timestep[:, None] * self.token_mask(denoise_mask)

    def scale_latent_inpaint(
        self, sigma: Tensor, noise: Tensor, latent_image: Tensor, denoise_mask: Tensor | None = None, **extra: Any
    ) -> Tensor:
        """Return what stands in for kept latents at the model's input: the clean latent.

        Not so within a token that is partly generated: it is at the schedule's noise level as a whole, as in training.
        """
        if denoise_mask is None:
            return latent_image
        tokens = self.token_mask(denoise_mask) > 0.5
        noisy = spread_tokens(tokens, denoise_mask.shape, self.diffusion_model.config.patch_size)
        level = sigma.reshape(-1, *[1] * (noise.ndim - 1))
        return torch.where(noisy, level * noise + (1 - level) * latent_image, latent_image)


def make_model(config: DiTConfig, state: dict[str, Tensor], info: dict[str, Any], dtype: torch.dtype | None) -> Any:
    """Make a MODEL (a ModelPatcher) with the weights `state`. dtype: None lets ComfyUI choose."""
    size = sum(w.numel() for w in state.values())
    device, offload = management.get_torch_device(), management.unet_offload_device()
    kinds = SoraConfig.supported_inference_dtypes
    weights = dtype or management.unet_dtype(model_params=size, supported_dtypes=kinds)
    settings = SoraConfig({"config": config})
    settings.sampling_settings = {"shift": info.get("shift", 1.0)}
    settings.latent_format = SoraLatent(config.in_dim, info.get("latent_rgb"))
    settings.set_inference_dtype(weights, management.unet_manual_cast(weights, device, kinds))
    # Made where it rests: ComfyUI moves it to the GPU for a run, and counts the memory that it takes.
    model = SoraModel(settings, device=offload)
    model.sora_name = info.get("name", "model")
    model.load_model_weights({k: v.to(weights) for k, v in state.items()}, "")
    # The patcher that ComfyUI prefers for its own models, where it has a choice of several (2026 on).
    patcher = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
    made = patcher(model, load_device=device, offload_device=offload)
    return with_layouts(made) if config.planner else made
