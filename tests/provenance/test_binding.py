"""The soft binding: credentials state the mark that the file carries, and whoever reads them compares."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from provenance_support import clip, save

from sora_core.cli import main
from sora_core.media.origin import from_file
from sora_core.media.video import iter_frames
from sora_core.media.write import write_video
from sora_core.provenance import History, plan
from sora_core.provenance.credentials.binding import ALGORITHM, LABEL, Stated, runs_of, stated
from sora_core.provenance.credentials.keys import load_signer
from sora_core.provenance.credentials.sign import read_store, sign
from sora_core.provenance.credentials.verify import verify
from sora_core.provenance.detector.detect import detect_file
from sora_core.provenance.watermark.embedding import detect, embed
from sora_core.training.world import PRESETS, World

pytest.importorskip("c2pa")


def still(frames: int = 6, seed: int = 0) -> torch.Tensor:
    """A clip whose frames show nearly the same."""
    return (clip(1, seed).repeat(frames, 1, 1, 1) * 0.9 + clip(frames, seed + 50) * 0.05).clamp(0, 1)


def forged(path: Path, frames: torch.Tensor, mark: Stated) -> Path:
    """A file whose credentials state `mark`, whatever it carries."""
    bare = path.with_suffix(".bare.mp4")
    write_video(bare, frames, 8)
    sign(bare, path, History(), load_signer(), title=path.name, mark=mark)
    return path


def test_what_was_read_back_is_stated_and_compared(tmp_path, capsys):
    path = save(tmp_path / "a.mp4", frames=still())
    found = detect(iter_frames(path))
    store = read_store(path, "video/mp4", {})
    manifest = store["manifests"][store["active_manifest"]]
    (binding,) = [each["data"] for each in manifest["assertions"] if each["label"] == LABEL]
    assert binding["alg"] == ALGORITHM and [block["value"] for block in binding["blocks"]] == [found.name]
    report = verify(path)
    assert report.state == "intact" and report.manifest.mark == Stated(name=found.name)
    assert report.mark == f"mark {found.name} is stated and there, tied to these pictures"
    assert "The credentials state the same" in detect_file(path).text()
    assert main(["verify", str(path)]) == 0 and report.mark in capsys.readouterr().out


def test_a_disagreement_is_told_and_changes_no_verdict(tmp_path):
    mine, other = embed(still()), embed(still(seed=9))
    number = detect(mine).name
    honest = detect_file(forged(tmp_path / "a.mp4", mine, Stated(name=number)))
    report = verify(forged(tmp_path / "b.mp4", other, Stated(name=number)))
    assert report.state == "intact" and report.mark.startswith(f"! mark {number} is stated, and the file carries ")
    assert report.mark.endswith("of another clip: they disagree") and f"\n  {report.mark}" in str(report)
    told = detect_file(tmp_path / "b.mp4")
    assert f"The credentials state {number}, another one" in told.text()
    assert (told.verdict, told.evidence, told.witnesses[1].speaks) == (honest.verdict, honest.evidence, True)


def test_a_mark_that_was_moved_to_other_pictures_is_told(tmp_path):
    drawn = [World(PRESETS["full"]).sample(seed, height=128, width=128, frames=3).frames for seed in (60, 63)]
    frames, others = (torch.from_numpy(each.copy()).float() / 255 for each in drawn)
    marked = embed(frames)
    moved = (others + (marked - frames).mean(0)).clamp(0, 1)
    report = verify(forged(tmp_path / "a.mp4", moved, Stated(name=detect(marked).name)))
    assert "it is of other pictures: copied or cut from another clip" in report.mark and report.mark.startswith("! ")


def test_a_mark_that_is_stated_and_not_there_is_told(tmp_path, monkeypatch):
    report = verify(forged(tmp_path / "a.mp4", still(), Stated(name="beef")))
    assert report.mark == "mark beef is stated, and cannot be read here: it was made with another key, or is gone"
    monkeypatch.setenv("SORA_WATERMARK_KEY", "mine")
    path = save(tmp_path / "b.mp4", frames=still())
    assert "stated and there" in verify(path).mark
    monkeypatch.setenv("SORA_WATERMARK_KEY", "not mine")
    assert "cannot be read here" in verify(path).mark
    assert verify(path, marks=False).mark == ""


def test_frames_of_the_users_between_marked_ones_are_left_out(tmp_path):
    """His earlier video has a mark of its own, which is not the one that is stated."""
    earlier = torch.from_numpy(np.stack(list(iter_frames(save(tmp_path / "first.mp4", frames=still()))))) / 255
    saving = plan(History(edits=("SoraExtend",)))
    saving.keep(from_file(earlier))
    write_video(tmp_path / "longer.mp4", torch.cat((earlier, still(2, seed=9))), 8, saving=saving)
    report = verify(tmp_path / "longer.mp4")
    assert report.manifest.mark.runs == "6-7" and report.mark.startswith(f"mark {report.manifest.mark.name} is stated")
    assert "and there" in report.mark


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (None, "states no value"),
        ({}, "states no value"),
        ({"alg": ALGORITHM, "blocks": []}, "states no value"),
        (
            {"alg": "com.example\n.mark", "blocks": [{"scope": {}, "value": "beef"}]},
            "not known here: com.example .mark",
        ),
        ({"alg": ALGORITHM, "blocks": [{"scope": {}, "value": "\x1b[2Jno"}]}, "states no number of a clip: ?[2Jno"),
        ({"alg": ALGORITHM, "blocks": ["beef"]}, "states no number of a clip: nothing"),
        ({"alg": ALGORITHM, "blocks": [{"value": "beef"}, {"value": "cafe"}]}, "states no number"),
        ({"alg": ALGORITHM, "blocks": [{"value": 48879}]}, "states no number of a clip: 48879"),
        ({"alg": ["beef"], "blocks": [{"value": "beef"}]}, "not known here"),
    ],
)
def test_a_broken_statement_counts_for_nothing_and_is_said_in_a_line(data, words):
    found = stated([{"label": LABEL, "data": data}], [])
    assert found is not None and words in found.problem and found.name == "" and "\n" not in found.problem


def test_statements_of_other_shapes_end_in_no_fault():
    assert stated([], []) is None and stated(["x", {"label": "other"}], []) is None
    good = {"label": LABEL, "data": {"alg": ALGORITHM, "blocks": [{"value": "beef"}]}}
    assert "2 soft bindings" in stated([good, {**good, "label": LABEL + "__1"}], []).problem
    for runs in (7, "5", "9-8-7", "1-2," * 70 + "1-2", "a-b"):
        parameters = {"org.sora-nodes.frames": runs}
        found = stated([good], ["x", {"action": "c2pa.watermarked.bound", "parameters": parameters}])
        assert found == Stated(name="beef")
    assert runs_of([True] * 3) == "" and runs_of([False, True, True, False, True]) == "1-2,4-4"
    assert runs_of([i % 2 == 0 for i in range(1000)]) == ""


def test_broken_statements_of_signed_files_are_said_in_a_line(tmp_path):
    for mark, words in (
        (Stated(name="no"), "! the soft binding states no number"),
        (Stated(name="beef", runs="90-99"), "! mark beef is stated of frames that the file does not have"),
    ):
        report = verify(forged(tmp_path / f"{mark.name}.mp4", still(2), mark))
        assert report.state == "intact" and report.mark.startswith(words)
        assert detect_file(tmp_path / f"{mark.name}.mp4").text()
