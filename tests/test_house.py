"""Rules of the house: which way imports point, how quick they are, and what the repository may hold."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
UPPER = ("host", "training", "cli")


def imports(path: Path) -> list[str]:
    """Absolute names of all modules that a file of sora_core imports, relative ones resolved."""
    package = list(path.relative_to(ROOT).with_suffix("").parts)
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level] if node.level else []
            stem = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            names += [stem, *(f"{stem}.{alias.name}" for alias in node.names)]
    return names


CORE = sorted((ROOT / "sora_core").rglob("*.py"))


def test_arrows_point_one_way():
    wrong = []
    for path in CORE:
        part = path.relative_to(ROOT / "sora_core").parts[0]
        for name in imports(path):
            steps = name.split(".")
            if steps[0] == "nodes" or (
                part not in UPPER and steps[0] == "sora_core" and len(steps) > 1 and steps[1] in UPPER
            ):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_only_the_host_knows_comfyui_and_the_web():
    outside = ("comfy", "comfy_api", "comfy_execution", "folder_paths", "aiohttp", "server", "latent_preview")
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in CORE
        if path.relative_to(ROOT / "sora_core").parts[0] != "host"
        for name in imports(path)
        if name.split(".")[0] in outside
    ]
    assert not wrong


def test_imports_are_cheap():
    heavy = ("torch", "cv2", "kornia", "av", "PIL")
    code = f"import sys, sora_core, sora_core.cli; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_help_is_quick():
    import time

    def once():
        start = time.monotonic()
        subprocess.run(
            [sys.executable, "-c", "from sora_core.cli import main; main(['--help'])"],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return time.monotonic() - start

    assert min(once() for _ in range(3)) < 1.0


def test_files_stay_readable():
    long = [p for p in ROOT.rglob("*.py") if ".venv" not in p.parts and len(p.read_text().splitlines()) > 400]
    assert not long


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_node_is_named_in_every_language(language):
    frozen = json.loads((ROOT / "tests" / "frozen_nodes.json").read_text())
    names = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text())
    assert set(frozen) == set(names)
