"""From a prompt to a finished video: one engine behind Python, commands and nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .pipeline import Pipeline, load
    from .result import VideoResult

__all__ = ["Pipeline", "VideoResult", "load"]


def __getattr__(name: str) -> Any:
    # torch takes a second to import; a module of this room that needs none of it should not wait for that.
    if name in __all__:
        from . import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
