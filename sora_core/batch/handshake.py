"""What a worker is asked first, whatever is installed there: which versions it has.

This file travels to the worker as it is, so it imports nothing of this package.
"""

from __future__ import annotations

from typing import Any


def versions() -> dict[str, Any]:
    """Return the versions of what a worker computes with, "" for what it lacks, and its name."""
    import importlib
    import importlib.metadata
    import platform
    import socket

    found: dict[str, Any] = {"worker": socket.gethostname(), "python": platform.python_version()}
    try:
        found["sora"] = str(importlib.import_module("sora_core.about").VERSION)
    except Exception:
        found["sora"] = ""
    try:
        found["torch"] = importlib.metadata.version("torch")
    except Exception:
        found["torch"] = ""
    return found


def base(version: str) -> str:
    """Return a version without what names a build: 2.13.0+cpu and 2.13.0+cu130 compute alike."""
    return version.partition("+")[0]


def differs(here: dict[str, Any], there: dict[str, Any]) -> str:
    """Say what keeps a worker from making the same as this machine, and what to do; "" for nothing."""
    for name, package in (("sora", "sora-nodes"), ("torch", "torch")):
        mine, its = base(here[name]), base(there[name])
        if not its:
            return f"has no {package}: install {package} {mine} there."
        if mine != its:
            return f"has {package} {its}, this machine {mine}: install the same version on both."
    return ""
