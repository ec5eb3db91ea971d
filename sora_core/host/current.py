"""Whose engine and desk this process has: ComfyUI's inside ComfyUI, ours everywhere else."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..pipeline.engine import Engine
    from ..pipeline.own import OwnEngine
    from .desk.desk import Desk


def in_comfyui() -> bool:
    """Return whether ComfyUI runs this: it has imported its model code before it loads any pack, nothing else does."""
    return "comfy.sd" in sys.modules


def engine() -> Engine:
    """Return the engine of this process."""
    return _comfy_engine() if in_comfyui() else own_engine()


def desk() -> Desk:
    """Return the desk of this process."""
    return _comfy_desk() if in_comfyui() else _own_desk()


def stop_as_host_does() -> None:
    """Have ComfyUI's Cancel end what we read, write and encode, as it ends what we sample."""
    import comfy.model_management as management

    from ..interrupt import ask_host

    ask_host(management.throw_exception_if_processing_interrupted)


def forget() -> None:
    """Make engine and desk anew when they are next asked for. For tests, which put stand-ins in ComfyUI's place."""
    for made in (_comfy_engine, _comfy_desk, own_engine, _own_desk):
        made.cache_clear()


# Imported when asked for: a node's schema needs none of torch, and ComfyUI's side can be imported in ComfyUI only.
@cache
def own_engine() -> OwnEngine:
    """Return the engine of the embedded host, whose core nodes work on our own MODEL alone."""
    from ..pipeline.own import OwnEngine

    return OwnEngine()


@cache
def _comfy_engine() -> Engine:
    from .comfy.engine import ComfyEngine

    return ComfyEngine()


@cache
def _own_desk() -> Desk:
    from .desk.own import OwnDesk

    return OwnDesk()


@cache
def _comfy_desk() -> Desk:
    from .comfy.desk import ComfyDesk

    return ComfyDesk()
