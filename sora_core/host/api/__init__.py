"""Stand-in for `comfy_api.latest`, for hosts without ComfyUI: same names, same behaviour, our own code.

A node pack picks one or the other in a single place:

    try:
        from comfy_api.latest import ComfyExtension, io, ui
    except ImportError:
        from sora_core.host.api import ComfyExtension, io, ui
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import io, ui

if TYPE_CHECKING:
    from .video import InputImpl, Types

__all__ = ["ComfyExtension", "IO", "Input", "InputImpl", "Types", "UI", "io", "ui"]

IO = io
UI = ui


class ComfyExtension:
    """What a pack's `comfy_entrypoint` returns."""

    async def on_load(self) -> None:
        """Get ready. The host calls it once, before `get_node_list`."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Return the pack's nodes."""
        raise NotImplementedError(f"{type(self).__name__} has no get_node_list")


def __getattr__(name: str) -> Any:
    # The video classes need PyAV and torch; a pack that only declares nodes should not pay for them.
    if name in ("Input", "InputImpl", "Types"):
        from . import video

        return getattr(video, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
