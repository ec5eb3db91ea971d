"""What a worker is asked first, whatever is installed there: which versions it has.

This file travels to the worker as it is, so it imports nothing of this package.
"""

from __future__ import annotations

from typing import Any


def versions() -> dict[str, Any]:
    """Return the versions of what a worker computes with, "" for what it lacks, and a hash of the package's code."""
    import contextlib
    import hashlib
    import importlib
    import importlib.metadata
    from pathlib import Path

    found: dict[str, Any] = {"sora": "", "torch": "", "code": ""}
    try:
        about = importlib.import_module("sora_core.about")
        root, told = Path(str(about.__file__)).parent, hashlib.sha256()
        for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).parts):
            # However its lines end: a checkout on Windows is the same code.
            lines = path.read_bytes().replace(b"\r\n", b"\n")
            told.update(f"{path.relative_to(root).as_posix()} {len(lines)}\n".encode() + lines)
        found |= {"sora": str(about.VERSION), "code": told.hexdigest()}
    except Exception:  # whatever keeps it from being imported: it is not there
        pass
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        # None where nothing but the folder of its description is left.
        found["torch"] = str(importlib.metadata.version("torch") or "")
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
    if here["code"] != there["code"]:
        return f"has other code of sora-nodes {there['sora']} than this machine: install the same on both."
    return ""
