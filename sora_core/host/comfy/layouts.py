"""Layouts in ComfyUI's sampling: planned once a run, when noise and prompts are known, and given to every model call.

SAMPLER_SAMPLE stands where the weights are on their device and the prompts are encoded. What ComfyUI calls with parts
of the latent (context windows, tiles, areas) is sampled without a layout.
"""

from __future__ import annotations

from typing import Any

import comfy.patcher_extension as extension
from torch import Tensor

from ...diffusion.layouts import plan_layout
from ...diffusion.prompts import SHOTS, Prompt

KEY = "sora_layout"  # of the wrapper, and of a run's layout among the transformer options


def with_layouts(model: Any) -> Any:
    """Have a MODEL of ours plan its layouts; one in a ComfyUI that has no such wrappers samples without."""
    kind = getattr(extension.WrappersMP, "SAMPLER_SAMPLE", None)
    if kind is not None:
        wrappers = model.model_options.setdefault("transformer_options", {}).setdefault("wrappers", {})
        wrappers[kind] = {KEY: [_sampler_sample], **wrappers.get(kind, {})}
    return model


def _sampler_sample(
    executor: Any,
    guider: Any,
    sigmas: Tensor,
    extra_args: dict[str, Any],
    callback: Any,
    noise: Tensor,
    latent_image: Any = None,
    denoise_mask: Tensor | None = None,
    *rest: Any,
) -> Any:
    """Sample with a layout, if this run has one to plan."""
    options = extra_args.get("model_options", {})
    inner = getattr(guider, "inner_model", None)
    network = getattr(inner, "diffusion_model", None)
    kept = denoise_mask is not None and bool((denoise_mask < 0.5).any())
    layout = None
    # Noise of zeros is that of a run that adds none.
    if not kept and len(sigmas) > 1 and noise.ndim == 5 and bool(noise.any()):
        prompts = [_read(cond) for cond in getattr(guider, "conds", {}).get("positive", ())]
        layout = plan_layout(network, [p for p in prompts if p is not None], noise, float(sigmas[0]))
    if layout is not None:
        transformer = {**options.get("transformer_options", {}), KEY: (layout, tuple(noise.shape[2:]))}
        extra_args = {**extra_args, "model_options": {**options, "transformer_options": transformer}}
    return executor(guider, sigmas, extra_args, callback, noise, latent_image, denoise_mask, *rest)


def _read(cond: dict[str, Any]) -> Prompt | None:
    """Read one of a guider's encoded prompts; None for one of a part of the picture."""
    context, start = cond.get("cross_attn"), cond.get("timestep_start")
    if context is None or cond.get("area") is not None or cond.get("mask") is not None:
        return None
    shots = cond.get(SHOTS)
    return Prompt(
        context, sigma_start=1.0 if start is None else float(start), shots=None if shots is None else tuple(shots)
    )


def layout_for(x: Tensor, options: dict[str, Any]) -> Tensor | None:
    """Return the layout for a call on latents `[B,C,T,H,W]`, among a call's transformer options; None without one."""
    layout, shape = options.get(KEY, (None, ()))
    if layout is None or tuple(x.shape[2:]) != shape or len(x) % len(layout):
        return None
    found: Tensor = layout.to(x.device)
    return found
