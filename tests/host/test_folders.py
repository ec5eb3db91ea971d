"""Folders that cannot be left, and names with counters."""

from __future__ import annotations

import pytest

from sora_core.errors import SoraError
from sora_core.host.desk.folders import Folders, expand_prefix, safe_join


@pytest.mark.parametrize("name", ["../x.png", "/etc/passwd", "a/../../x", "..\\x", "a\0b", "link/x"])
def test_paths_cannot_leave_a_folder(tmp_path, name):
    root = tmp_path / "input"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(SoraError):
        safe_join(root, name)


def test_names_inside_a_folder(tmp_path):
    folders = Folders(tmp_path, tmp_path / "out", tmp_path / "temp")
    assert safe_join(tmp_path, "sub/..//cat.png") == tmp_path.resolve() / "cat.png"
    assert folders.resolve("x.png [output]") == (tmp_path / "out" / "x.png").resolve()
    with pytest.raises(SoraError, match="leads out"):
        folders.resolve("../x.png [output]")


def test_counters_follow_the_highest(tmp_path):
    folders = Folders(output=tmp_path)
    first, subfolder = folders.next_file("video/clip", ".mp4")
    assert (first.name, subfolder) == ("clip_00001_.mp4", "video")
    for name in ("clip_00007_.mp4", "clip_00009_.png", "clip_2_00050_.mp4", "other_00099_.mp4"):
        (tmp_path / "video" / name).touch()
    assert folders.next_file("video/clip", ".mp4")[0].name == "clip_00010_.mp4"
    assert folders.next_file("", ".mp4")[0].name == "sora_00001_.mp4"
    assert expand_prefix("%width%x%height%_%year%_%nope%", 8, 4).startswith("8x4_20")
    assert len(expand_prefix("%date:yyyy-MM-dd%")) == 10
    with pytest.raises(SoraError, match="too long"):
        folders.next_file("x" * 300, ".mp4")
