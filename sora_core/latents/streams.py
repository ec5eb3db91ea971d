"""LATENTs with sound beside the picture: one stream each, in what ComfyUI calls a nested tensor.

Of it no more is used than `is_nested`, `unbind` and that its class takes a list of tensors. The picture comes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def is_nested(samples: Any) -> bool:
    """Tell whether samples, or a mask, are several streams."""
    return bool(getattr(samples, "is_nested", False))


def parts_of(samples: Any) -> list[Any]:
    """List the streams of samples or of a mask: the picture, then its sound if there is some."""
    return list(samples.unbind()) if is_nested(samples) else [samples]


def picture_of(latent: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a LATENT with its picture alone, and the mask of that."""
    made = dict(latent)
    for key in ("samples", "noise_mask"):
        if is_nested(made.get(key)):
            made[key] = parts_of(made[key])[0]
    return made


def with_picture(latent: Mapping[str, Any], picture: Mapping[str, Any]) -> dict[str, Any]:
    """Put the sound of `latent`, if it has any, beside another picture. Sound without a mask is made as a whole."""
    samples, given = latent["samples"], latent.get("noise_mask")
    if not is_nested(samples):
        return dict(picture)
    sounds, shown, mask = parts_of(samples)[1:], picture["samples"], picture.get("noise_mask")
    made = {**picture, "samples": type(samples)([shown, *sounds])}
    heard = parts_of(given)[1:] if given is not None and is_nested(given) else None
    if mask is not None or heard is not None:
        own = torch.ones_like(shown[:, :1]) if mask is None else mask
        masks = [torch.ones_like(sound) for sound in sounds] if heard is None else heard
        made["noise_mask"] = type(samples)([own, *masks])
    return made
