"""Whose node API this process has, ComfyUI's or ours, and what the nodes share."""

from __future__ import annotations

from typing import Any

try:
    from comfy_api.latest import ComfyExtension, io, ui
except ImportError:
    from sora_core.host.api import ComfyExtension, io, ui

from sora_core.host.desk.folders import current as backend

__all__ = ["ComfyExtension", "Patches", "backend", "either", "either_output", "io", "note", "ui", "video_file"]

Patches = io.Custom("SORA_PATCHES")


def note(cls: type[io.ComfyNode], text: str, images: Any = None) -> dict[str, Any]:
    """What a node shows under itself: a text, and pictures `[B,H,W,3]` if there are any."""
    backend().show_text(cls.hidden.unique_id, text)
    shown: dict[str, Any] = {"text": (text,)}
    if images is not None:
        shown |= ui.PreviewImage(images, cls=cls).as_dict()
    return shown


def video_file(path: Any) -> Any:
    """A VIDEO of a file. The stand-in's videos need torch, so this is imported when one is made."""
    try:
        from comfy_api.latest import InputImpl
    except ImportError:
        from sora_core.host.api import InputImpl
    return InputImpl.VideoFromFile(str(path))


def either(name: str, tooltip: str) -> io.Input:
    """An input that takes a LATENT or SORA_PATCHES; `either_output` then gives the same kind."""
    if hasattr(io, "MatchType"):
        return io.MatchType.Input(name, template=_template(), tooltip=tooltip)
    return io.MultiType.Input(name, [io.Latent, Patches], tooltip=tooltip)


def either_output(name: str, tooltip: str) -> io.Output:
    if hasattr(io, "MatchType"):
        return io.MatchType.Output(_template(), id=name, display_name=name, tooltip=tooltip)
    return io.AnyType.Output(id=name, display_name=name, tooltip=tooltip)


def _template() -> Any:
    return io.MatchType.Template("latent_or_patches", [io.Latent, Patches])
