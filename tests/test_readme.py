"""What README.md and docs/USING.md tell to type into Python runs in a fresh checkout, one call after the other."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
import torch

from sora_core.media.video import probe

ROOT = Path(__file__).resolve().parent.parent


def python_blocks(path: Path) -> list[str]:
    """The indented blocks of a page that import the package."""
    found = re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", path.read_text(encoding="utf-8"), re.M)
    return [textwrap.dedent(block) for block in found if "import sora_core" in block]


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/USING.md"])
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    """In a folder with nothing in it but what git brings: the pack's workflows and their inputs."""
    (tmp_path / "workflows").symlink_to(ROOT / "workflows")
    monkeypatch.chdir(tmp_path)
    blocks = python_blocks(ROOT / page)
    assert len(blocks) == 1
    # A minute takes minutes: the call is the same with two seconds.
    names = {"mask": torch.arange(128).expand(128, 128) < 64}
    exec(compile(blocks[0].replace("seconds=60", "seconds=4"), page, "exec"), names)
    made = {path.name: probe(path).frames for path in tmp_path.glob("*.mp4")}
    assert made and all(made.values())
