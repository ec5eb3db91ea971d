"""Labels that laws ask for: what is written, what people see, and what is read back."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from provenance_support import clip

from sora_core.errors import SoraError
from sora_core.host.desk.folders import Folders
from sora_core.host.host import Host
from sora_core.host.images import save_pngs
from sora_core.media.video import iter_frames
from sora_core.media.write import remux, write_video
from sora_core.provenance import History, plan
from sora_core.provenance.credentials.verify import verify
from sora_core.provenance.labels import aigc
from sora_core.provenance.labels.laws import ASSERTION, Labels
from sora_core.provenance.labels.reading import read_aigc
from sora_core.provenance.labels.strokes import SIGNS, TEXT, draw, width_of
from sora_core.provenance.labels.visible import READABLE, SECONDS, SHARE, Stamp, frames_labelled, text_height
from sora_core.safety.policy import in_force, load_policy

pytest.importorskip("c2pa")
SIDE = 96
ffprobe = pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")


@pytest.fixture
def policy(tmp_path):
    """Return a function that puts a policy with these lines of [provenance] in force for the test."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def put(lines: str):
            file = tmp_path / "policy.toml"
            file.write_text(f"[provenance]\n{lines}\n", "utf-8")
            found = load_policy(file)
            stack.enter_context(in_force(found))
            return found

        yield put


def saved(path: Path, frames=None, history: History | None = None, fps: float = 8, crf: float = 12) -> list[str]:
    """Save a clip under the policy in force; returns the notes."""
    saving = plan(history or History())
    write_video(path, rich(20) if frames is None else frames, fps, saving=saving, crf=crf)
    return saving.notes


def rich(frames: int, side: int = SIDE) -> torch.Tensor:
    """A picture with detail that stays, as a mark needs it."""
    return torch.nn.functional.interpolate(clip(1).movedim(-1, 1), (side, side)).movedim(1, -1).repeat(frames, 1, 1, 1)


def bare(frames: int, side: int = SIDE) -> torch.Tensor:
    return torch.full((frames, side, side, 3), 0.5)


# -- the visible label ---------------------------------------------------------------------------------------
def test_the_signs_are_those_of_a_chinese_font():
    from PIL import ImageFont

    fonts = sorted(Path("/usr/share/fonts").rglob("NotoSansCJK-Regular.ttc"))
    if not fonts:
        pytest.skip("Noto Sans CJK is not installed")
    ours = {sign: draw(64, text=sign) for sign in TEXT}
    for sign in TEXT:
        font = ImageFont.truetype(str(fonts[0]), 56)
        # Of all four of a real font, each sign is most like itself.
        likeness = {other: _likeness(ours[sign], _glyph(font, other)) for other in TEXT}
        assert max(likeness, key=likeness.get) == sign, likeness
        assert likeness[sign] > 0.5, likeness


def _glyph(font, sign: str) -> torch.Tensor:
    mask = font.getmask(sign, mode="L")
    return torch.from_numpy(np.array(mask, dtype=np.float32).reshape(mask.size[::-1]) / 255)


def _likeness(a: torch.Tensor, b: torch.Tensor) -> float:
    """Correlate two pictures of signs, each cut to what is drawn and blurred by a pen."""
    from torch.nn.functional import avg_pool2d, interpolate

    cut = []
    for picture in (a, b):
        rows, columns = (picture > 0.5).any(1).nonzero(), (picture > 0.5).any(0).nonzero()
        inner = picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1][None, None]
        cut.append(avg_pool2d(interpolate(inner, (48, 48), mode="bilinear"), 5, 1, 2).flatten())
    return float(torch.corrcoef(torch.stack(cut))[0, 1])


@pytest.mark.parametrize(("width", "height"), [(128, 128), (1920, 1080), (1080, 1920), (832, 480), (4096, 2160)])
def test_the_label_is_as_high_as_the_standard_asks_and_within_the_frame(width, height):
    frame = torch.full((height, width, 3), 0.5)
    changed = (Stamp(width, height)(frame) != frame).any(-1)
    rows, columns = changed.any(1).nonzero(), changed.any(0).nonzero()
    high = int(rows.max() - rows.min()) + 1
    assert high >= SHARE * min(width, height) * 0.85  # the strokes of a sign of full height leave a little air
    assert text_height(width, height) >= max(SHARE * min(width, height), READABLE)
    assert rows.max() < height - 1 and columns.max() < width - 1 and columns.min() > 0


@pytest.mark.parametrize("ground", [0.0, 0.5, 1.0])
def test_the_label_can_be_read_on_any_ground(ground):
    made = Stamp(SIDE, SIDE)(torch.full((SIDE, SIDE, 3), ground))
    assert made.max() > 0.95 and made.min() < 0.25


def test_it_stands_for_two_seconds_and_no_longer(policy, tmp_path):
    policy('label = "cn"\nvisible_label = true\nwatermark = false')
    for fps, count in ((8, 30), (12.5, 40), (24, 10)):
        notes = saved(tmp_path / f"{fps}.mp4", bare(count), fps=fps)
        frames = np.stack([np.asarray(frame, dtype=np.float32) for frame in iter_frames(tmp_path / f"{fps}.mp4")])
        seen = frames.max((1, 2, 3)) > 1.5 * np.median(frames)
        labelled = min(frames_labelled(fps), count)
        assert labelled >= min(SECONDS * fps, count)
        assert seen.tolist() == [number < labelled for number in range(count)]
        assert any("visible label" in note for note in notes)


@pytest.mark.parametrize(("width", "height"), [(40, 40), (32, 128), (48, 1000)])
def test_frames_too_small_to_read_it_are_refused_and_no_file_is_left(policy, tmp_path, width, height):
    policy('label = "cn"\nvisible_label = true')
    with pytest.raises(SoraError, match=f"cannot be read on frames of {width}x{height}"):
        saved(tmp_path / "small.mp4", torch.full((4, height, width, 3), 0.5))
    assert not list(tmp_path.glob("*.mp4"))


def test_every_sign_is_drawn_as_wide_as_it_says():
    assert set(TEXT) == set(SIGNS)
    assert draw(50).shape == (50, width_of(50))


# -- China ---------------------------------------------------------------------------------------------------
@ffprobe
def test_the_metadata_are_what_ffprobe_reads_and_what_we_read(policy, tmp_path):
    policy('label = "cn"\nprovider = "91110000MA00-studio"')
    saved(tmp_path / "a.mp4")
    out = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", "format_tags=AIGC", "-of", "json", tmp_path / "a.mp4"],
        capture_output=True,
        check=True,
    ).stdout
    value = json.loads(json.loads(out)["format"]["tags"]["AIGC"])
    assert list(value) == list(aigc.FIELDS) and all(isinstance(text, str) for text in value.values())
    assert value["Label"] == "1" and value["ContentProducer"] == value["ContentPropagator"] == "91110000MA00-studio"
    assert value["ProduceID"] == value["PropagateID"] and len(value["ProduceID"]) == 32
    assert b"mdta" in (tmp_path / "a.mp4").read_bytes()
    found = read_aigc(tmp_path / "a.mp4")
    assert found is not None and found.produced == value["ProduceID"]
    assert any("GB 45438-2025: Label 1 (is generated)" in line for line in verify(tmp_path / "a.mp4").lines())


def test_the_label_of_another_file_is_not_read_for_a_list_that_names_it(policy, tmp_path):
    policy('label = "cn"\nwatermark = false')
    saved(tmp_path / "inner.mp4", bare(8))
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile inner.mp4\n")
    assert read_aigc(tmp_path / "inner.mp4") is not None and read_aigc(tmp_path / "list.mp4") is None


def test_the_label_is_within_what_is_signed(policy, tmp_path):
    policy('label = "cn"')
    saved(tmp_path / "a.mp4")
    assert verify(tmp_path / "a.mp4").state == "intact"
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "b.mp4").write_bytes(data.replace(b'"Label":"1"', b'"Label":"3"'))
    changed = verify(tmp_path / "b.mp4")
    assert changed.problems and changed.state != "intact"
    # What the file says now is told, next to the word that it was changed.
    assert any("Label 3 (is suspected to be generated)" in line for line in changed.lines())


def test_a_picture_carries_it_in_xmp(policy, tmp_path):
    from sora_core.host.desk.folders import Folders, using
    from sora_core.host.images import save_pngs

    policy('label = "cn"\nvisible_label = true')
    with using(Folders(output=tmp_path / "output")):
        written = save_pngs(rich(2), "pic", "output")
    numbers = set()
    for name, folder in written:
        path = tmp_path / "output" / folder / name
        with Image.open(path) as picture:
            picture.load()
            root = ElementTree.fromstring(picture.info["XML:com.adobe.xmp"].strip("\ufeff"))
        (element,) = root.iter("{http://www.tc260.org.cn/ns/AIGC/1.0/}AIGC")
        value = json.loads(element.text)
        assert list(value) == list(aigc.FIELDS) and value["Label"] == "1"
        numbers.add(value["ProduceID"])
        assert verify(path).state == "intact"
        assert read_aigc(path).produced == value["ProduceID"]
    assert len(numbers) == 2  # each picture is content of its own


@ffprobe
def test_labels_of_other_programs_are_read(tmp_path):
    source, value = tmp_path / "a.mp4", {"Label": "2", "ContentProducer": "x", "ProduceID": "7"}
    write_video(source, bare(4), 8)
    for name, text in (("plain", json.dumps(value)), ("outer", json.dumps({"AIGC": value}))):
        for suffix in (".mp4", ".mkv"):
            made = tmp_path / f"{name}{suffix}"
            flags = ["-movflags", "use_metadata_tags"] if suffix == ".mp4" else []
            command = ["ffmpeg", "-v", "error", "-i", source, "-c", "copy", *flags, "-metadata", f"AIGC={text}", made]
            subprocess.run(command, check=True)
            assert read_aigc(made) == aigc.Aigc("2", "x", "7", "", "")


def test_xmp_is_read_as_element_and_attribute_and_never_expands_entities():
    value = aigc.write("someone", "1")
    assert aigc.read_xmp(aigc.xmp(value)).producer == "someone"
    attribute = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f"<rdf:Description xmlns:T=\"{aigc.NAMESPACE}\" T:AIGC='{value}'/></rdf:RDF></x:xmpmeta>"
    )
    assert aigc.read_xmp(attribute.encode()).producer == "someone"
    bomb = '<!DOCTYPE a [<!ENTITY b "bbbbbbbbbb"><!ENTITY c "&b;&b;&b;">]>' + aigc.xmp("&c;")
    for hostile in (bomb, "<a", "", b"\xff\xfe", aigc.xmp("no json"), "x" * 100_000):
        assert aigc.read_xmp(hostile) is None
    for text in ("[" * 100_000, "[]", "1", "{}", '{"AIGC": 3}', "\ud800"):
        assert aigc.read(text) is None


def test_what_the_label_says_does_nothing_to_a_terminal(tmp_path):
    import av

    with av.open(str(tmp_path / "a.mkv"), "w") as made:
        made.metadata["AIGC"] = json.dumps({"Label": "1\x1b[2J", "ContentProducer": "a\nb"})
        stream = made.add_stream("mpeg4", rate=8)
        stream.width = stream.height = 32
        for packet in [*stream.encode(av.VideoFrame(32, 32, "yuv420p")), *stream.encode(None)]:
            made.mux(packet)
    told = "\n".join(verify(tmp_path / "a.mkv").lines())
    assert "\x1b" not in told and "\nb" not in told and "GB 45438" in told


def test_a_users_own_file_gets_no_label_and_keeps_the_one_it_has(policy, tmp_path):
    policy('label = "cn"')
    saved(tmp_path / "a.mp4")
    first = read_aigc(tmp_path / "a.mp4")
    own = plan(History(generated=False, sources=(tmp_path / "a.mp4",)))
    assert not own.labels.laws and not any("Label" in note for note in own.notes)
    remux(tmp_path / "a.mp4", tmp_path / "b.mp4", {}, own)
    assert read_aigc(tmp_path / "b.mp4") == first
    write_video(tmp_path / "c.mp4", bare(4), 8, saving=plan(History(generated=False)))
    assert read_aigc(tmp_path / "c.mp4") is None


# -- the EU and California -----------------------------------------------------------------------------------
def test_eu_means_both_layers_or_no_file(policy, tmp_path):
    policy('label = "eu"')
    notes = saved(tmp_path / "a.mp4")
    assert any("not time-stamped" in note for note in notes)
    report = verify(tmp_path / "a.mp4")
    assert report.state == "intact" and any("EU, AI Act" in line for line in report.lines())
    with pytest.raises(SoraError, match="asks for a watermark, and it cannot be read"):
        saved(tmp_path / "poor.mp4", torch.rand(6, SIDE, SIDE, 3), crf=51)
    with pytest.raises(SoraError, match="asks for a watermark, and frames of less than"):
        saved(tmp_path / "small.mp4", rich(6, 24))
    assert [path.name for path in tmp_path.glob("*.mp4")] == ["a.mp4"]


@pytest.mark.parametrize("law", ["eu", "ca"])
def test_what_must_be_signed_and_cannot_be_is_refused(policy, tmp_path, monkeypatch, law):
    from sora_core.provenance.credentials import keys

    policy(f'label = "{law}"')
    folder = tmp_path / "config" / "sora"
    folder.parent.mkdir()
    folder.write_text("a file where the folder of keys should be")
    monkeypatch.setattr(keys, "config_folder", lambda: folder)
    monkeypatch.setattr("sora_core.provenance.saving.config_folder", lambda: folder)
    with pytest.raises(SoraError):
        saved(tmp_path / "a.mp4")
    assert not (tmp_path / "a.mp4").exists()


def test_california_names_provider_system_time_and_number(policy, tmp_path):
    import c2pa

    policy('label = ["ca"]\nprovider = "Studio Ä, Berlin"')
    saved(tmp_path / "a.mp4", history=History(sources=(tmp_path / "policy.toml",)))
    with c2pa.Reader(str(tmp_path / "a.mp4")) as reader:
        store = json.loads(reader.json())
    assertions = store["manifests"][store["active_manifest"]]["assertions"]
    (said,) = [each["data"] for each in assertions if each["label"] == ASSERTION]
    assert said["provider"] == "Studio Ä, Berlin" and said["system"] == "Sora Nodes" and said["kind"] == "altered"
    assert {"version", "time", "id", "laws"} <= said.keys()
    (line,) = [line for line in verify(tmp_path / "a.mp4").lines() if "California" in line]
    assert "altered by Studio Ä, Berlin with Sora Nodes" in line and said["id"] in line


# -- the policy ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('label = "uk"', "provenance.label is 'uk': use cn .*eu .*ca"),
        ('label = ["cn", 3]', "provenance.label"),
        ("label = true", "provenance.label"),
        ('label = "eu"\nc2pa = "off"', "set provenance.c2pa to on"),
        ('label = "ca"\nc2pa = "off"', "set provenance.c2pa to on"),
        ('label = "eu"\nwatermark = false', "set provenance.watermark to true"),
        ('label = "ca"\nvisible_label = true', "set provenance.label to cn"),
        ('label = "cn"\nprovider = "two words"', "AIGC label cannot hold"),
        ('label = "cn"\nprovider = "a\\"b"', "AIGC label cannot hold"),
    ],
)
def test_policies_that_cannot_be_are_refused(policy, lines, words):
    with pytest.raises(SoraError, match=words):
        policy(lines)


def test_laws_can_be_taken_together_and_say_so():
    notes = list(Labels(("cn", "eu", "ca"), "x").notes())
    assert len(notes) == 3 and Labels().assertion() is None and not list(Labels().notes())


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("lines", ['label = "eu"', 'label = "cn"\nvisible_label = true'])
def test_no_picture_goes_without_however_many_channels_it_has(policy, tmp_path, lines, channels):
    policy(lines)
    host = Host(Folders(tmp_path / "input", tmp_path / "output", tmp_path / "temp"))
    picture = rich(1)[..., :1].expand(-1, -1, -1, channels).clone()
    if channels == 4:
        picture[..., 3].clamp_(min=0.8)  # hardly transparent: what is over white is as bright as the mark is weak
    with host.active():
        ((name, folder),) = save_pngs(picture, "a", "output")
    path = tmp_path / "output" / folder / name
    assert any("carrying" in action for action in verify(path).manifest.actions)
    with Image.open(path) as found:
        assert len(found.getbands()) == max(3, channels)
        changed = np.abs(np.asarray(found)[..., 0] / 255 - picture[0, ..., 0].numpy()) > 0.3
    assert changed.any() == ("visible_label" in lines)
