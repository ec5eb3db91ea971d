"""What decides what a MODEL of ComfyUI's computes, in a form that is the same after a restart.

Its `patches_uuid` is drawn anew whenever a LoRA is loaded, so patches are told by what they hold. Where a model is
loaded, its weights hold the patches already: then those of before, which ComfyUI keeps, stand for it.
"""

from __future__ import annotations

from typing import Any

# Of a ModelPatcher, besides its weights. What else it holds says where it lies and not what it computes.
PARTS = (
    "patches",
    "object_patches",
    "weight_wrapper_patches",
    "model_options",
    "wrappers",
    "injections",
    "hook_patches",
    "forced_hooks",
    "attachments",
)


def described(model: Any) -> dict[str, Any]:
    """Describe a MODEL for `loading.fingerprint`."""
    inner = model.model
    backup = getattr(model, "backup", {})
    weights = {key: backup[key].weight if key in backup else weight for key, weight in inner.state_dict().items()}
    more = getattr(model, "additional_models", {})
    return {
        "kind": type(inner).__qualname__,
        "config": getattr(inner.model_config, "unet_config", None),
        "sampling": model.get_model_object("model_sampling"),
        "cast": [str(inner.get_dtype()), str(getattr(inner, "manual_cast_dtype", None))],
        "weights": weights,
        "parts": {name: getattr(model, name, None) for name in PARTS},
        "more": {key: [described(each) for each in models] for key, models in more.items()},
    }
