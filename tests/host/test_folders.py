"""Folders that cannot be left, and names with counters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from saving_at_once import save_at_once

from sora_core.errors import SoraError
from sora_core.files import claim, release, written_beside
from sora_core.host.desk.folders import Folders, claim_next, current, expand_prefix, safe_join, using
from sora_core.media.write import remux, write_video


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


@pytest.mark.slow
def test_many_processes_leave_as_many_files_as_they_report(tmp_path):
    names = save_at_once(tmp_path, processes=4, clips=6)
    assert len(set(names)) == len(names) == 24
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_a_claim_holds_against_others_until_the_file_is_there(tmp_path):
    path = tmp_path / "clip_00001_.mp4"
    assert claim(path) and not claim(path)
    asked = "import sys; from pathlib import Path; from sora_core.files import claim; print(claim(Path(sys.argv[1])))"
    other = [sys.executable, "-c", asked, str(path)]
    assert subprocess.run(other, capture_output=True, text=True).stdout == "False\n"
    release(path)
    # Another process claims it, and gives it back as it ends.
    assert subprocess.run(other, capture_output=True, text=True).stdout == "True\n" and not list(tmp_path.iterdir())
    assert claim(path)
    with written_beside(path) as part:
        part.touch()
    assert [file.name for file in tmp_path.iterdir()] == [path.name] and not claim(path)
    # A link to nowhere is somebody's too.
    (tmp_path / "clip_00002_.mp4").symlink_to("nowhere")
    assert claim_next(tmp_path, "clip", ".mp4", 1).name == "clip_00003_.mp4"
    release(tmp_path / "clip_00003_.mp4")


def test_a_save_that_fails_gives_its_name_back(tmp_path):
    path, _ = Folders(output=tmp_path).next_file("clip", ".mp4")
    with pytest.raises(SoraError, match="no frames"):
        write_video(path, [], 8)
    with pytest.raises(SoraError, match="no video file"):
        remux(tmp_path / "none.mp4", Folders(output=tmp_path).next_file("clip", ".mp4")[0], {})
    assert not list(tmp_path.iterdir())
    assert Folders(output=tmp_path).next_file("clip", ".mp4")[0].name == "clip_00001_.mp4"
    release(path)
