"""Whose node API this process has, ComfyUI's or ours, and what all nodes share."""

from __future__ import annotations

import inspect
from typing import Any

try:
    from comfy_api.latest import ComfyExtension, io, ui
except ImportError:
    from sora_core.host.api import ComfyExtension, io, ui

from sora_core.host.current import desk, engine

__all__ = [
    "ComfyExtension",
    "Patches",
    "badge",
    "desk",
    "either",
    "either_output",
    "engine",
    "essential",
    "io",
    "note",
    "retold",
    "said",
    "saved_video",
    "ui",
]

Patches = io.Custom("SORA_PATCHES")


def essential(category: str) -> dict[str, Any]:
    """Make the argument of a schema that puts its node among the frontend's essentials, under one of its categories."""
    # An older ComfyUI does not take it, and one argument that it does not know loses it the whole pack.
    known = "essentials_category" in inspect.signature(io.Schema).parameters
    return {"essentials_category": category} if known else {}


def retold() -> dict[str, Any]:
    """Make the argument of a schema whose node has its facts told again where it need not run, as output nodes have."""
    known = "has_intermediate_output" in inspect.signature(io.Schema).parameters
    return {"has_intermediate_output": True} if known else {}


def note(cls: type[io.ComfyNode], text: str, images: Any = None, **facts: list[dict[str, Any]]) -> dict[str, Any]:
    """Show a text under a node, and pictures `[B,H,W,3]` if there are any. facts: for the extension in `web/js`."""
    # Two ways: at once, while the graph goes on, and with the result, which the host's history keeps.
    desk().show_text(cls.hidden.unique_id, text)
    shown: dict[str, Any] = {"text": (text,)}
    if images is not None:
        shown |= ui.PreviewImage(images, cls=cls).as_dict()
    return shown | facts


def badge(state: str, why: str) -> list[dict[str, str]]:
    """Make what `note` takes as `sora_badges`. state: "checked" or "signed"; what was blocked tells its error."""
    return [{"state": state, "why": why}]


def said(check: Any, *values: Any) -> bool | str:
    """Answer `validate_inputs`: True, or what `check(*values)` refuses. A linked value, None before the run, passes."""
    from sora_core.errors import SoraError

    try:
        if None not in values:
            check(*values)
    except (SoraError, ValueError) as error:
        return str(error)
    return True


def saved_video(
    cls: type[io.ComfyNode], path: Any, subfolder: str, saving: Any, notes: list[str], **facts: list[dict[str, Any]]
) -> io.NodeOutput:
    """Return a written video: the file on the VIDEO socket and a preview of it. The notes become the node's text.

    facts: for the extension in `web/js`, besides the badges of the file.
    """
    from sora_core.host.saving import badges_of
    from sora_core.media.origin import own_video

    # The stand-in's videos need torch, so this is imported when one is made.
    try:
        from comfy_api.latest import InputImpl
    except ImportError:
        from sora_core.host.api import InputImpl
    if notes:
        desk().show_text(cls.hidden.unique_id, "\n".join(notes))
    shown = ui.PreviewVideo([ui.SavedResult(path.name, subfolder, io.FolderType.output)]).as_dict()
    # What has its mark needs no second one, which would add to the first and be seen.
    video = own_video(InputImpl.VideoFromFile(str(path)), saving.settled)
    return io.NodeOutput(video, ui=shown | facts | {"sora_badges": badges_of(saving)})


def either(name: str, tooltip: str) -> io.Input:
    """Make an input that takes a LATENT or SORA_PATCHES; `either_output` then gives the same kind."""
    # With it the output gets the kind that went in; an older ComfyUI has none, and its output fits any socket.
    if hasattr(io, "MatchType"):
        return io.MatchType.Input(name, template=_template(), tooltip=tooltip)
    return io.MultiType.Input(name, [io.Latent, Patches], tooltip=tooltip)


def either_output(name: str, tooltip: str) -> io.Output:
    """Make the output that gives the kind which `either` took."""
    if hasattr(io, "MatchType"):
        return io.MatchType.Output(_template(), id=name, display_name=name, tooltip=tooltip)
    return io.AnyType.Output(id=name, display_name=name, tooltip=tooltip)


def _template() -> Any:
    return io.MatchType.Template("latent_or_patches", [io.Latent, Patches])
