"""Folders that cannot be left, and names with counters."""

from __future__ import annotations

from pathlib import Path

import pytest

from sora_core.errors import SoraError
from sora_core.host.desk.folders import Folders, current, expand_prefix, safe_join, using


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


def test_folders_are_in_force_within_a_block_only(tmp_path):
    outer, inner = Folders(output=tmp_path / "outer"), Folders(output=tmp_path / "inner")
    with using(outer):
        with pytest.raises(RuntimeError), using(inner):
            assert current() is inner
            raise RuntimeError
        assert current() is outer
    assert current().output == Path("output")


def test_a_name_that_is_given_out_is_taken_until_the_run_ends(tmp_path):
    # Two hosts on one folder: neither file is there yet when the other asks.
    with using(Folders(output=tmp_path)):
        first = current().next_file("clip", ".mp4")[0].name
        with using(Folders(output=tmp_path)):
            names = [current().next_file("clip", ".mp4")[0].name for _ in range(2)]
        assert [first, *names] == ["clip_00001_.mp4", "clip_00002_.mp4", "clip_00003_.mp4"]
        assert current().next_file("clip", ".mp4")[0].name == "clip_00002_.mp4"
    with using(Folders(output=tmp_path)):
        assert current().next_file("clip", ".mp4")[0].name == "clip_00001_.mp4"
