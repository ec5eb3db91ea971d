"""ComfyUI's side and the standalone one of the same job, on the stand-in of ComfyUI."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path

import comfy_standin
from nodes_support import TINY, save_tiny

from sora_core.host import current
from sora_core.pipeline.own import OwnEngine


@contextmanager
def both_hosts(folder: Path, monkeypatch):
    """(ComfyUI's engine, the standalone one, a checkpoint)"""
    path = save_tiny(folder / "models" / TINY)
    for name, module in comfy_standin.modules(folder).items():
        monkeypatch.setitem(sys.modules, name, module)
    before = set(sys.modules)
    current.forget()
    comfy_standin.ProgressBar.updates.clear()
    assert current.in_comfyui()
    yield current.engine(), OwnEngine(), path
    current.forget()
    for name in set(sys.modules) - before:
        if name.startswith("sora_core.host.comfy"):
            del sys.modules[name]
