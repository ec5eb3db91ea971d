"""What decides what a MODEL of ComfyUI's computes, in a form that is the same after a restart.

Its `patches_uuid` is drawn anew whenever a LoRA is loaded, so patches are told by what they hold. Where a model is
loaded, its weights hold the patches already: then those of before, which ComfyUI keeps, stand for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ...loading.fingerprint import fingerprint

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
        "parts": {name: _plain(getattr(model, name, None)) for name in PARTS},
        "more": {key: [described(each) for each in models] for key, models in more.items()},
    }


def _plain(value: Any) -> Any:
    """Name the MODELs in what a MODEL carries, such as its other expert: loading them must not change a name."""
    if hasattr(value, "model_options") and hasattr(value, "get_model_object"):
        return fingerprint(described(value))  # by itself, as deep as the one that carries it
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [type(value).__qualname__, {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}]
    return value
