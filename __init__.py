"""Sora Nodes: text to video over spacetime patches. This file is the pack's entry for ComfyUI and for `sora`."""

import importlib.util
import sys
from pathlib import Path


def _register_core() -> None:
    """Make `sora_core` importable under that one name, without putting this folder on sys.path.

    Next to `sora_core` stands our `nodes` folder, which on sys.path would hide ComfyUI's own nodes.py. A
    wheel installs `sora_core` beside this pack, where it is importable anyway.
    """
    folder = Path(__file__).resolve().parent / "sora_core"
    if "sora_core" in sys.modules or not folder.is_dir():
        return
    spec = importlib.util.spec_from_file_location("sora_core", folder / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["sora_core"] = module
    spec.loader.exec_module(module)


_register_core()

# Help pages: ComfyUI serves this folder, and its frontend looks for `docs/NODE/LANGUAGE.md` in it.
WEB_DIRECTORY = "./web"

# A test runner that collects this file as a plain module has no package to import from.
if __package__:
    from .nodes import comfy_entrypoint

    __all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
