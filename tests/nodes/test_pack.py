"""The entry of the pack: what it registers, and what it must not import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_pack_registers_the_core_once_and_imports_little():
    code = f"""
import importlib.util, sys, pathlib
sys.path[:] = [p for p in sys.path if pathlib.Path(p or '.').resolve() != pathlib.Path({str(ROOT)!r})]
sys.modules.pop('sora_core', None)
folder = pathlib.Path({str(ROOT)!r})
spec = importlib.util.spec_from_file_location('pack_x_name', folder / '__init__.py')
pack = importlib.util.module_from_spec(spec); sys.modules['pack_x_name'] = pack
spec.loader.exec_module(pack)
assert not hasattr(pack, 'NODE_CLASS_MAPPINGS') and callable(pack.comfy_entrypoint)
assert str(folder) not in sys.path and 'nodes' not in sys.modules
import sora_core
assert pathlib.Path(sora_core.__file__).parent.parent == folder
heavy = {{'torch', 'av', 'kornia', 'cv2', 'PIL', 'transformers', 'aiohttp', 'comfy'}} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT.parent)
