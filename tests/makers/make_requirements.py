"""Writes requirements.txt, what ComfyUI's manager installs line by line, from pyproject.toml.

    python tests/makers/make_requirements.py

It lists what the nodes need and ComfyUI does not bring, unpinned: no install of this pack may move the version of
anything that is there already.
"""

from __future__ import annotations

import argparse
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "requirements.txt"
# Of ComfyUI's own requirements.txt, 0.3.64 and 0.33.0 alike.
BROUGHT = frozenset(
    [
        "aiohttp",
        "alembic",
        "av",
        "comfyui-frontend-package",
        "einops",
        "kornia",
        "numpy",
        "pillow",
        "psutil",
        "pydantic",
        "pydantic-settings",
        "pyyaml",
        "safetensors",
        "scipy",
        "sentencepiece",
        "spandrel",
        "sqlalchemy",
        "tokenizers",
        "torch",
        "torchaudio",
        "torchsde",
        "torchvision",
        "tqdm",
        "transformers",
        "yarl",
    ]
)
# Extras for work on the pack, and `faces`, whose OpenCV would overwrite the one that an artist has, and `ray`,
# which only a command uses.
WORK = ("test", "train", "faces", "ray")
HEAD = """\
# Written by tests/makers/make_requirements.py from pyproject.toml. What ComfyUI does not bring itself; its manager
# installs this file line by line. Everything else the pack needs in ComfyUI (torch, numpy, Pillow, av, ...) is there.
"""


def packages(requirements: list[str]) -> list[str]:
    """Names of the distributions, lower case."""
    return [re.match(r"[A-Za-z0-9._-]+", r)[0].lower().replace("_", "-") for r in requirements]


def needed() -> list[str]:
    """Distributions that the nodes use, the optional ones too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [r for name, listed in project["optional-dependencies"].items() if name not in WORK for r in listed]
    return list(dict.fromkeys(packages(project["dependencies"] + extras)))


def requirements() -> str:
    return HEAD + "".join(f"{name}\n" for name in needed() if name not in BROUGHT)


def main() -> None:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    TARGET.write_text(requirements(), encoding="utf-8")


if __name__ == "__main__":
    main()
