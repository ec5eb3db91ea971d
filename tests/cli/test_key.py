"""`sora key` makes a key of one's own: marks of it are not read by others, and marks of before still are."""

from __future__ import annotations

import torch
from old_marks import embed_old
from provenance_support import clip

from sora_core.cli import main
from sora_core.media.write import write_video
from sora_core.provenance import History, plan
from sora_core.provenance.detector.detect import detect_file
from sora_core.provenance.watermark.embedding import detect
from sora_core.provenance.watermark.secret import WATERMARK_KEY, key_file, watermark_key

PUBLIC = "Marked with the key that everybody knows, so anybody can write such marks"


def test_one_command_makes_a_key_and_never_a_second(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert watermark_key() is None and any(PUBLIC in note for note in plan(History()).notes)
    write_video(tmp_path / "before.mp4", clip(8), 8, saving=plan(History()))
    assert main(["key"]) == 0
    told, key = capsys.readouterr(), key_file()
    assert told.out == f"{key}\n" and "Keep a copy" in told.err and key.stat().st_mode & 0o777 == 0o600
    secret = watermark_key()
    assert secret is not None and len(secret) > 40 and secret not in told.out + told.err
    assert main(["key"]) == 1 and "There is a watermark key already" in capsys.readouterr().err
    assert watermark_key() == secret and not any(PUBLIC in note for note in plan(History()).notes)
    write_video(tmp_path / "after.mp4", clip(8), 8, saving=plan(History()))
    public, mine = (detect_file(tmp_path / name, key=secret) for name in ("before.mp4", "after.mp4"))
    assert public.watermark.found and "This key is public" in public.text()
    assert mine.watermark.found and "had the key, for these pictures" in mine.text()
    assert not detect_file(tmp_path / "after.mp4").watermark.found
    monkeypatch.setenv(WATERMARK_KEY, "another")
    assert watermark_key() == "another"


def test_a_key_that_cannot_be_used_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert main(["key"]) == 0
    key_file().chmod(0o644)
    assert any("can read the watermark key" in note for note in plan(History()).notes)
    capsys.readouterr()
    write_video(tmp_path / "a.mp4", clip(2), 8)
    for content, words in ((b"", "is empty"), (b"\xff\xfe\x00", "cannot be read")):
        key_file().write_bytes(content)
        assert main(["detect", str(tmp_path / "a.mp4")]) == 1 and words in capsys.readouterr().err
    key_file().unlink()
    key_file().symlink_to(tmp_path / "gone")
    assert main(["detect", str(tmp_path / "a.mp4")]) == 1 and "cannot be read" in capsys.readouterr().err


def test_a_mark_of_before_is_copied_with_a_subtraction_and_proves_nothing():
    """What remains possible: whoever has an old clip with the mark and the same without can put it onto another."""
    from sora_core.provenance.detector.detect import detect_frames

    ours, theirs = clip(8, seed=1), clip(8, seed=2)
    stolen = (embed_old(ours, 77, "a secret") - ours).mean(0)
    forged = (theirs + stolen).clamp(0, 1)
    assert detect(forged, "a secret").found and not torch.equal(forged, theirs)
    found = detect_frames(forged, key="a secret")
    assert not found.made_here and found.verdict == "signs" and "or copied it from a clip" in found.text()
