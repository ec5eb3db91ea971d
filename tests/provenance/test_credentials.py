"""Content Credentials: signing, verifying, ingredients, and what was changed since."""

from __future__ import annotations

import hashlib
import json
import os
import random
import struct
import sys

import pytest
from provenance_support import SECRET, clip, save

from sora_core.cli import main
from sora_core.files import PICTURE_TYPES, SOUND_TYPES, VIDEO_TYPES
from sora_core.media.video import iter_frames, probe
from sora_core.media.write import write_video
from sora_core.provenance import History, Model, plan
from sora_core.provenance.credentials import keys
from sora_core.provenance.credentials.sign import INGREDIENT_FORMATS, NO_MANIFEST
from sora_core.provenance.credentials.verify import verify

c2pa = pytest.importorskip("c2pa")


def boxes(data: bytes) -> dict[bytes, tuple[int, int]]:
    """Start and end of the top boxes of an mp4."""
    found, at = {}, 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        found[kind] = at, at + size
        at += size
    return found


def test_a_saved_video_tells_how_it_was_made_and_not_the_prompt(tmp_path):
    weights = tmp_path / "m.safetensors"
    weights.write_bytes(b"weights")
    path = save(tmp_path / "a.mp4", History((Model("mini", weights),), prompts=(SECRET,)))
    report = verify(path)
    assert report.state == "intact" and not report.trusted and not report.problems
    first, mark = report.manifest.actions
    digest = hashlib.sha256(b"weights").hexdigest()
    assert first.startswith("created: made by AI") and f"model mini, sha256 {digest}" in first
    assert mark == f"watermarked.bound: carrying {report.manifest.mark.name}"
    assert SECRET.encode() not in path.read_bytes()
    told = save(tmp_path / "b.mp4", History(prompts=(SECRET,)), include_prompt=True)
    assert SECRET in str(verify(told)) and "not trusted" in str(verify(told))
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_one_flipped_bit_anywhere_in_the_media_data_is_named(tmp_path):
    path, where = save(tmp_path / "a.mp4"), random.Random(3)
    data = path.read_bytes()
    found = boxes(data)
    assert found[b"moov"][0] < found[b"mdat"][0]  # plays while it loads
    start, end = found[b"mdat"]
    places = [start + 8, end - 1, *(where.randrange(start + 8, end) for _ in range(60))]
    places += [where.randrange(*found[b"moov"]) for _ in range(10)]
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 1 << where.randrange(8)
        path.write_bytes(changed)
        report = verify(path)
        assert report.state in ("tampered", "broken"), place
        if place > start:
            assert "the media data" in report.problems[0] and "assertion.bmffHash.mismatch" in report.problems[0]
    assert main(["verify", str(path)]) == 3


def test_what_is_done_to_credentials_never_passes_for_something_else(tmp_path):
    """Flipped bits in the manifest itself: named, or in the padding; never a crash."""
    parent = save(tmp_path / "p.mp4")
    path, where = save(tmp_path / "a.mp4", History(edits=("SoraExtend",), sources=(parent,))), random.Random(4)
    data, whole = path.read_bytes(), verify(path)
    start, end = boxes(data)[b"uuid"]
    states = []
    for _ in range(60):
        changed = bytearray(data)
        changed[where.randrange(start + 24, end)] ^= 1 << where.randrange(8)
        path.write_bytes(changed)
        report = verify(path)
        states.append(report.state)
        assert report.state != "intact" or report.manifest == whole.manifest
    assert states.count("intact") < 15 and {"tampered", "broken"} <= set(states)


def test_an_ingredient_keeps_its_own_manifest(tmp_path):
    made = save(tmp_path / "first.mp4", History((Model("mini"),)))
    longer = save(tmp_path / "longer.mp4", History((Model("other"),), edits=("SoraExtend",), sources=(made,)))
    manifest = verify(longer).manifest
    assert manifest.actions[0].startswith("opened") and "extended in time; partly made by AI" in manifest.actions[1]
    (part,) = manifest.ingredients
    assert (part.name, part.relationship, part.signer) == ("first.mp4", "parentOf", f"{keys.SELF_MADE}, signer")
    assert "by the model mini" in part.actions[0] and not part.problems
    plain = tmp_path / "camera.mp4"
    write_video(plain, clip(seed=5), 8)
    joined = save(tmp_path / "joined.mp4", History(edits=("SoraConnect",), sources=(longer, plain)))
    manifest = verify(joined).manifest
    assert [a.partition(":")[0] for a in manifest.actions[:3]] == ["created", "placed", "placed"]
    assert [p.relationship for p in manifest.ingredients] == ["componentOf"] * 2
    assert manifest.ingredients[1].signer is None
    assert manifest.ingredients[0].ingredients[0].actions == part.actions


def test_ingredients_that_were_tampered_with_or_broken_are_told(tmp_path):
    made = save(tmp_path / "first.mp4")
    data = bytearray(made.read_bytes())
    data[-9] ^= 1
    made.write_bytes(data)
    longer = save(tmp_path / "longer.mp4", History(edits=("SoraExtend",), sources=(made,)))
    report = verify(longer)
    assert report.state == "intact" and "the media data" in report.manifest.ingredients[0].problems[0]
    at = data.index(b"c2pa.actions.v2") + 60
    data[at : at + 40] = bytes(byte ^ 0x55 for byte in data[at : at + 40])
    made.write_bytes(data)
    assert verify(made).state == "broken" and main(["verify", str(made)]) == 3
    report = verify(save(tmp_path / "again.mp4", History(edits=("SoraExtend",), sources=(made,))))
    assert report.state == "intact" and "could not be read" in report.manifest.ingredients[0].problems[0]


def test_pictures_are_signed_too(tmp_path, monkeypatch):
    from sora_core.host import images
    from sora_core.host.desk import folders

    with folders.using(folders.Folders(tmp_path, tmp_path, tmp_path / "temp")):
        ((name, _),) = images.save_pngs(clip(1), "still", "output")
        ((preview, _),) = images.save_pngs(clip(1), "still", "temp")
    path = tmp_path / name
    assert verify(path).state == "intact" and verify(tmp_path / "temp" / preview).state == "none"
    data = bytearray(path.read_bytes())
    data[-30] ^= 1
    path.write_bytes(data)
    assert "the media data" in verify(path).problems[0]


def test_verify_refuses_what_is_no_media_file(tmp_path, capsys):
    (tmp_path / "no.mp4").write_text("no video" * 500)
    assert main(["verify", str(tmp_path / "no.mp4")]) == 1 and "no video, picture or sound" in capsys.readouterr().err
    assert main(["verify", str(tmp_path / "gone.mp4")]) == 1 and "no file" in capsys.readouterr().err
    write_video(tmp_path / "plain.mp4", clip(), 8)
    assert main(["verify", str(tmp_path / "plain.mp4")]) == 4
    assert "carries no Content Credentials" in capsys.readouterr().out
    signed = save(tmp_path / "signed.mp4")
    assert main(["verify", "--json", str(signed), str(tmp_path / "plain.mp4")]) == 4
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["state"] for line in lines] == ["intact", "none"] and lines[0]["manifest"]["signer"]


def test_what_a_stranger_wrote_does_nothing_to_the_terminal(tmp_path):
    history = History((Model("\x1b[2Jgone\nnot changed"),))
    told = str(verify(save(tmp_path / "a.mp4", history)))
    assert "gone not changed" in told and "\x1b" not in told and len(told.splitlines()) == 6


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes there")
def test_a_name_of_another_encoding_is_signed_and_printed(tmp_path):
    source = save(tmp_path / os.fsdecode(b"gr\xfcn.mp4"), History())
    made = save(tmp_path / os.fsdecode(b"caf\xe9.mp4"), History(sources=(source,)))
    assert [verify(path).state for path in (source, made)] == ["intact", "intact"]
    assert "caf\\udce9.mp4: not changed" in str(verify(made)) and "gr\\udcfcn.mp4" in str(verify(made))


@pytest.mark.skipif(sys.platform == "win32", reason="knows no such names")
def test_the_name_of_a_file_does_nothing_to_the_terminal(tmp_path):
    told = str(verify(save(tmp_path / "a\x1b[2J\nb.mp4: not changed.mp4", History())))
    assert "\x1b" not in told and told.splitlines()[0].startswith("a\\x1b[2J\\nb.mp4: not changed.mp4: ")


def test_the_library_reads_what_it_is_said_to_read():
    known = set(c2pa.Reader.get_supported_mime_types())
    assert set(INGREDIENT_FORMATS.values()) <= known
    others = VIDEO_TYPES | PICTURE_TYPES | SOUND_TYPES
    assert known.isdisjoint(others[suffix] for suffix in NO_MANIFEST)


def test_a_signed_video_reads_as_before(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(path, clip(), 8, metadata={"prompt": "{}"})
    before, size = list(iter_frames(path)), path.stat().st_size
    plan(History()).seal(path, path.name)
    assert path.stat().st_size > size and probe(path).metadata["prompt"] == "{}"
    assert all((a == b).all() for a, b in zip(before, iter_frames(path), strict=True))
