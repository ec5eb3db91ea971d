"""What an install needs: requirements from one source, libraries that may be missing, a quick start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import make_requirements
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# Without these ComfyUI itself does not start.
CORE = {"einops", "numpy", "pillow", "safetensors", "torch"}
LOAD = """
import asyncio, json, sys, time
from pathlib import Path

blocked, root, first = sys.argv[1:]

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
for name in first.split(",") if first else []:
    __import__(name)
from importlib.util import module_from_spec, spec_from_file_location
start = time.process_time()
spec = spec_from_file_location("the_pack", Path(root) / "__init__.py", submodule_search_locations=[root])
pack = module_from_spec(spec)
sys.modules["the_pack"] = pack
spec.loader.exec_module(pack)

async def nodes():
    extension = await pack.comfy_entrypoint()
    await extension.on_load()
    return await extension.get_node_list()

classes = asyncio.run(nodes())
info = [node.GET_SCHEMA().node_id for node in classes]
seconds = time.process_time() - start
said = ""
if blocked == "av":  # what reads and writes video needs it
    import torch
    save = next(node for node in classes if node.GET_SCHEMA().node_id == "SoraSaveVideo")
    try:
        save.execute(torch.zeros(1, 16, 16, 3), 8.0, "sora")
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
print(json.dumps({"nodes": info, "seconds": seconds, "said": said}))
"""


def load(folder: Path, blocked: str = "", first: str = "") -> dict:
    command = [sys.executable, "-c", LOAD, blocked, str(ROOT), first]
    # With compiled files, as ComfyUI has them after its first start.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def modules(package: str) -> list[str]:
    """Names under which a distribution is imported."""
    listed = packages_distributions().items()
    found = [m for m, names in listed if package in {n.lower().replace("_", "-") for n in names}]
    return [m for m in found if not m.startswith("_")] or [package.replace("-", "_")]


def test_requirements_are_those_of_pyproject():
    text = make_requirements.TARGET.read_text(encoding="utf-8")
    assert text == make_requirements.requirements(), "run python tests/make_requirements.py"
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert not [line for line in lines if set(line) & set("=<>~[;") or line in make_requirements.BROUGHT]


OPTIONAL = [m for p in make_requirements.needed() if p not in CORE for m in modules(p)]


@pytest.mark.parametrize("module", OPTIONAL)
def test_with_a_library_missing_the_pack_still_loads(module, tmp_path):
    frozen = json.loads((ROOT / "tests" / "frozen_nodes.json").read_text())
    made = load(tmp_path, module)
    assert set(made["nodes"]) == set(frozen)
    assert module != "av" or "'av'" in made["said"], made["said"]


def test_the_pack_adds_little_to_the_start_of_its_host(tmp_path):
    """Besides what ComfyUI itself has imported by then; in processor time, so that a busy machine does not matter."""
    seconds = [load(tmp_path, first="torch,PIL.Image,av,einops")["seconds"] for _ in range(4)]
    assert min(seconds) < 0.15, seconds


def test_what_the_registry_shows():
    comfy, project = PROJECT["tool"]["comfy"], PROJECT["project"]
    assert comfy["PublisherId"] and comfy["DisplayName"] and "comfyui" not in project["name"].lower()
    icon, banner = (Image.open(ROOT / comfy[kind]) for kind in ("Icon", "Banner"))
    assert icon.width <= 800 and icon.height <= 400 and banner.width * 9 == banner.height * 21


def test_what_the_nodes_use_is_in_the_package():
    """.comfyignore leaves out nothing that is imported by what it leaves in."""
    lines = (ROOT / ".comfyignore").read_text().splitlines()
    left_out = [line.strip("/") for line in lines if line and not line.startswith("#")]
    assert all((ROOT / name).exists() or name == ".github" for name in left_out)
    assert not {"nodes", "sora_core", "workflows", "locales", "__init__.py", "requirements.txt"} & set(left_out)
