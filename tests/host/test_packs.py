"""Loading node packs by folder, and finding the pack that belongs to this package."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from host_support import make_host, write_pack

import sora_core.host.packs
from sora_core.host.packs import Registry, packs_in


def test_a_pack_loads_by_folder_without_touching_sys_path(tmp_path):
    before = list(sys.path)
    registry = Registry()
    pack = registry.load_pack(write_pack(tmp_path / "my.pack"))
    assert pack.error is None and "TinyAdd" in pack.node_ids
    assert sys.path == before
    module = next(name for name in sys.modules if name.endswith("my_x_pack"))
    assert module == str(tmp_path.resolve() / "my.pack").replace(".", "_x_")
    assert registry.nodes["TinyAdd"].RELATIVE_PYTHON_MODULE == "custom_nodes.my.pack"
    assert registry.object_info()["TinyAdd"]["python_module"] == "custom_nodes.my.pack"


BROKEN = {
    "raises": ("raise RuntimeError('no luck')", "RuntimeError: no luck"),
    "misses a library": ("import there_is_no_such_library", "ModuleNotFoundError"),
    "has a wrong syntax": ("def (:", "SyntaxError"),
    "has no entry point": ("NODE_CLASS_MAPPINGS = {}", "no comfy_entrypoint"),
    "returns something else": ("def comfy_entrypoint():\n    return 3", "not a ComfyExtension"),
    "fails on load": (
        "from sora_core.host.api import ComfyExtension\n"
        "class E(ComfyExtension):\n"
        "    async def on_load(self):\n        raise OSError('gone')\n"
        "async def comfy_entrypoint():\n    return E()",
        "OSError: gone",
    ),
    "has a bad schema": (
        "from sora_core.host.api import ComfyExtension, io\n"
        "class N(io.ComfyNode):\n"
        "    @classmethod\n    def define_schema(cls):\n"
        "        return io.Schema('N', inputs=[io.Int.Input('a'), io.Int.Input('a')])\n"
        "    @classmethod\n    def execute(cls, a):\n        pass\n"
        "class E(ComfyExtension):\n"
        "    async def get_node_list(self):\n        return [N]\n"
        "def comfy_entrypoint():\n    return E()",
        "must be unique",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_pack_is_reported_and_the_others_load(tmp_path, case):
    code, words = BROKEN[case]
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "__init__.py").write_text(code)
    write_pack(tmp_path / "good")
    registry = Registry()
    registry.load_packs(packs_in(tmp_path))
    broken, good = registry.packs
    assert words in broken.error and broken.node_ids == [] and "Traceback" in broken.details
    assert good.error is None and "TinyAdd" in registry.nodes and "N" not in registry.nodes


def test_an_unknown_node_names_the_packs_that_failed(tmp_path):
    host = make_host(tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "__init__.py").write_text("import there_is_no_such_library")
    host.registry.load_pack(tmp_path / "broken")
    with pytest.raises(Exception, match="did not load: broken .*there_is_no_such_library"):
        host.run({"1": {"class_type": "FromBroken", "inputs": {}}})


def test_disabled_and_plain_folders_are_left_out(tmp_path):
    for name in ("a", "b.disabled", "c"):
        write_pack(tmp_path / name)
    (tmp_path / "c" / "__init__.py").unlink()
    assert [pack.name for pack in packs_in(tmp_path)] == ["a"]
    assert packs_in(tmp_path / "none") == []


@pytest.mark.parametrize("layout", ["checkout", "wheel"])
def test_our_own_pack_is_found(tmp_path, layout):
    package = Path(sora_core.host.packs.__file__).parents[1]
    shutil.copytree(package, tmp_path / "sora_core", ignore=shutil.ignore_patterns("weights", "__pycache__"))
    pack = write_pack(tmp_path / "sora_nodes") if layout == "wheel" else tmp_path
    if layout == "checkout":
        for file in write_pack(tmp_path / "made").iterdir():
            shutil.copy(file, tmp_path)
    (pack / "nodes").mkdir()
    code = (
        f"import sys; sys.path.append({str(tmp_path)!r}); "
        "from sora_core.host.packs import Registry, own_pack; registry = Registry(); "
        "pack = registry.load_pack(own_pack()); print(pack.folder, pack.error, len(registry.nodes)); "
        "assert 'nodes' not in sys.modules"
    )
    # -P keeps the current folder off sys.path, as it is for an installed console script.
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    folder, error, count = done.stdout.split()
    assert Path(folder) == pack.resolve() and error == "None" and int(count) > 10
