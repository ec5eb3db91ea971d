"""What a file gets is as the policy says, in every way in; what it does not get is said."""

from __future__ import annotations

import logging
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from pipeline_support import tiny_pipeline
from provenance_support import clip

from sora_core.cli import main
from sora_core.errors import SoraError
from sora_core.media.origin import from_file
from sora_core.media.write import write_video
from sora_core.provenance import History, plan
from sora_core.provenance.credentials.verify import verify
from sora_core.safety import gate
from sora_core.safety.policy import in_force, load_policy

pytest.importorskip("c2pa")

HOW = {"frames": 5, "steps": 1, "cfg": 1.0}
FULL = """
import resource, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from provenance_support import clip
from sora_core.errors import SoraError
from sora_core.media.write import write_video
from sora_core.provenance import History, plan

folder = Path(sys.argv[1])
bare = folder / "bare.mp4"
write_video(bare, clip(), 8)
saving = plan(History())
# As much as the bare file needs, and a little: then no file may grow.
resource.setrlimit(resource.RLIMIT_FSIZE, (bare.stat().st_size + 2000,) * 2)
write_video(folder / "full.mp4", clip(), 8, saving=saving)
print(*saving.notes, sep="\\n")
saving.required = True
try:
    write_video(folder / "none.mp4", clip(), 8, saving=saving)
except SoraError as error:
    print("refused:", error)
"""


@pytest.fixture
def no_keys(monkeypatch):
    """A place for keys that cannot be written, to anybody."""
    monkeypatch.setenv("XDG_CONFIG_HOME", "/proc/nothing")


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="the limit of a file stands for a full disk")
def test_a_full_disk_is_called_one(tmp_path):
    code = [sys.executable, "-c", FULL, str(tmp_path), str(Path(__file__).parents[1] / "support")]
    told = subprocess.run(code, capture_output=True, text=True, env=os.environ, check=True).stdout
    note = "The credentials of full.mp4 could not be written (the disk is full): free some space or use another folder."
    assert f"Not signed: {note}" in told and f"refused: {note.replace('full.mp4', 'none.mp4')}" in told
    assert "certificate of" not in told and "Signed with" not in told
    assert verify(tmp_path / "full.mp4").state == "none" and not (tmp_path / "none.mp4").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare.mp4", "full.mp4"]


class Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.fixture
def log():
    heard = Heard()
    logging.getLogger("sora_core").addHandler(heard)
    yield heard
    logging.getLogger("sora_core").removeHandler(heard)


def test_python_says_what_a_file_did_not_get(tmp_path, no_keys, log):
    video = tiny_pipeline().generate("a cat", width=16, height=48, **HOW)
    video.save(tmp_path / "a.mp4")
    said = list(log.said)
    assert [text.split(":")[0] for text in said] == ["Not signed", "No watermark"] and set(said) <= set(video.notes)
    notes: list[str] = []
    with gate.noting(notes):  # whoever listens is told, and nobody twice
        video.save(tmp_path / "b.mp4")
    assert notes == said == log.said
    tiny_pipeline().long_video("a cat", tmp_path / "c.mp4", seconds=0.5, width=16, height=48, steps=1, cfg=1.0)
    assert log.said == said * 2


@pytest.mark.parametrize("kind", ["required", "off", "locked"])
def test_python_keeps_to_the_provenance_of_a_policy(tmp_path, no_keys, kind):
    lines = {"required": 'c2pa = "required"', "off": 'c2pa = "off"\nwatermark = false', "locked": ""}[kind]
    (tmp_path / "p.toml").write_text(f"locked = {str(kind == 'locked').lower()}\n[provenance]\n{lines}\n")
    video = tiny_pipeline().generate("a cat", width=48, height=32, **HOW)
    with in_force(load_policy(tmp_path / "p.toml")):
        if kind == "off":
            assert video.save(tmp_path / "a.mp4").exists() and not any("igned" in note for note in video.notes)
            return
        refused = "Writing /proc/nothing" if kind == "required" else "is locked and keeps provenance.c2pa"
        with pytest.raises(SoraError, match=refused):
            video.save(tmp_path / "a.mp4", credentials=None if kind == "required" else False)
    assert not (tmp_path / "a.mp4").exists()


def test_generate_says_what_was_not_signed(tmp_path, no_keys, capsys):
    out = tmp_path / "a.mp4"
    words = ["generate", "a cat", "--fast", "--frames", "5", "--size", "64x64", "-o", str(out)]
    assert main(words) == 0
    assert capsys.readouterr().err.count("Not signed: Writing /proc/nothing") == 1
    (tmp_path / "p.toml").write_text('[provenance]\nc2pa = "required"\n')
    out.unlink()
    assert main([*words, "--policy", str(tmp_path / "p.toml")]) == 1 and not out.exists()
    assert "Writing /proc/nothing" in capsys.readouterr().err


def test_a_mark_that_a_file_cannot_carry_is_said(tmp_path):
    saving = plan(History())
    write_video(tmp_path / "a.mp4", clip(2), 8, crf=51, saving=saving)
    assert [note.split(",")[0] for note in saving.lacking] == ["The watermark cannot be read in the file"]
    assert not any("Marked with" in note for note in saving.notes)


def test_a_mark_is_not_said_where_all_frames_are_the_users(tmp_path):
    saving = plan(History())
    assert any("Marked with" in note for note in saving.notes)
    write_video(tmp_path / "a.mp4", from_file(clip(2)), 8, saving=saving)
    assert not any("Marked with" in note for note in saving.notes) and not saving.lacking
