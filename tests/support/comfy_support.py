"""ComfyUI's side and the standalone one of the same job, on the stand-in of ComfyUI."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path

import comfy_standin
from nodes_support import TINY, save_tiny

from sora_core.pipeline import engine as protocol
from sora_core.pipeline.own import StandaloneBackend


@contextmanager
def both_hosts(folder: Path, monkeypatch):
    """(ComfyUI's backend, the standalone one, a checkpoint)"""
    path = save_tiny(folder / "models" / TINY)
    for name, module in comfy_standin.modules(folder).items():
        monkeypatch.setitem(sys.modules, name, module)
    before = set(sys.modules)
    protocol._comfy.cache_clear()
    comfy_standin.ProgressBar.updates.clear()
    assert protocol.in_comfyui()
    yield protocol.current(), StandaloneBackend(), path
    protocol._comfy.cache_clear()
    for name in set(sys.modules) - before:
        if name.startswith("sora_core.host.comfy"):
            del sys.modules[name]
