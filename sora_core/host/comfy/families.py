"""What differs between the video models of ComfyUI, in one table; what their objects say themselves is not in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import comfy.model_base

from ...errors import expect
from ..backend import Family

# By the class name of the latent format: name, channels, ratios in time and space, size of a patch.
FAMILIES: dict[str, Family] = {
    "Wan21": Family("Wan 2.1", 16),
    "Wan22": Family("Wan 2.2 5B", 48, 4, 16),
    "HunyuanVideo": Family("HunyuanVideo", 16),
    "HunyuanVideo15": Family("HunyuanVideo 1.5", 32, 4, 16, (1, 1, 1)),
    "LTXV": Family("LTX-Video", 128, 8, 32, (1, 1, 1)),
    "Mochi": Family("Mochi", 12, 6, 8),
    "Cosmos1CV8x8x8": Family("Cosmos 1", 16, 8, 8),
    "CogVideoX": Family("CogVideoX", 16),
    "MiniMaxH3Video": Family("MiniMax H3", 24, 4, 16),
}


def model_family(patcher: Any) -> Family:
    """The family of a MODEL. Raises SoraError when it makes no video."""
    model = patcher.model
    layout = patcher.get_model_object("latent_format")
    kind = getattr(model, "sora_name", type(model).__name__)
    dimensions = getattr(layout, "latent_dimensions", 2)
    expect(
        dimensions == 3,
        f"model: {kind} is not a video model (its latents have {dimensions} dimensions of space "
        "and time, a video's have 3). Load a video model.",
    )
    family = FAMILIES.get(type(layout).__name__)
    if family is None:
        family = Family(
            kind,
            layout.latent_channels,
            getattr(layout, "temporal_downscale_ratio", 4),
            getattr(layout, "spacial_downscale_ratio", 8),
        )
    config = getattr(model.diffusion_model, "config", None)
    patch = getattr(config, "patch_size", None) or getattr(model.diffusion_model, "patch_size", None)
    if isinstance(patch, (tuple, list)) and len(patch) == 3:
        family = replace(family, patch_size=tuple(patch))
    # A model that turns the mask into timesteps knows what is kept; for any other the sampler blends it in.
    aware = type(model).process_timestep is not comfy.model_base.BaseModel.process_timestep
    return replace(
        family,
        name=f"{family.name} ({kind})" if family.name != kind else kind,
        channels=layout.latent_channels,
        masks="tokens" if aware else "blend",
    )


def vae_family(vae: Any) -> Family:
    """The family of a VAE. Raises SoraError when it is none for video."""
    expect(
        vae.latent_dim == 3 and not getattr(vae, "not_video", False),
        "vae: this VAE works on pictures, not on video. Use the VAE of a video model.",
    )
    upscale = vae.upscale_ratio
    if not isinstance(upscale, tuple):
        return Family("video VAE", vae.latent_channels, 1, int(upscale), causal=False)
    frames = upscale[0] if callable(upscale[0]) else lambda latents: latents * upscale[0]
    ratio = frames(3) - frames(2)
    return Family(
        "video VAE", vae.latent_channels, ratio, int(upscale[-1]), causal=frames(1) < ratio or ratio == 1
    )
