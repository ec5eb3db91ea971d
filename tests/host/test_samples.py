"""The inputs of the shared workflows in a host's own input folder."""

from __future__ import annotations

import asyncio
import os

import make_workflows
import pytest

from sora_core.host import current
from sora_core.host.desk.samples import bring_samples
from sora_core.host.packs import import_pack

NAMES = sorted(path.name for path in make_workflows.INPUTS.iterdir())


def test_samples_come_once_and_overwrite_nothing(tmp_path):
    folder = tmp_path / "base" / "input"  # neither is there on a fresh install
    assert bring_samples(make_workflows.INPUTS, folder) is None
    assert sorted(path.name for path in folder.iterdir()) == NAMES and len(NAMES) >= 3
    assert all((folder / n).read_bytes() == (make_workflows.INPUTS / n).read_bytes() for n in NAMES)
    mine, gone, *_ = (folder / name for name in NAMES)
    mine.write_bytes(b"mine")
    gone.unlink()
    gone.symlink_to(tmp_path / "nowhere")
    assert bring_samples(make_workflows.INPUTS, folder) is None
    assert mine.read_bytes() == b"mine" and gone.is_symlink() and not gone.exists()


def test_a_folder_that_cannot_be_written_is_told_of(tmp_path):
    (tmp_path / "input").touch()  # a file stands there; rights do not stop an administrator
    problem = bring_samples(make_workflows.INPUTS, tmp_path / "input")
    assert "could not be copied" in problem and str(make_workflows.INPUTS) in problem
    assert os.listdir(tmp_path) == ["input"]
    assert bring_samples(tmp_path / "nothing", tmp_path / "other") is None and not (tmp_path / "other").exists()


@pytest.mark.parametrize("blocked", [False, True])
def test_the_pack_brings_them_as_it_is_loaded(hosts, tmp_path, caplog, blocked):
    folder = current.desk().folders().input
    if blocked:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.touch()
    # Without `on_load`, which ComfyUI 0.3.64 never calls.
    extension = asyncio.run(import_pack(make_workflows.ROOT).comfy_entrypoint())
    assert hasattr(extension, "get_node_list")
    if not blocked:
        assert set(NAMES) <= set(os.listdir(folder))
