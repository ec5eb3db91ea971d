"""The graph inside pictures and videos: wherever it stands, whatever the file is called, or one line that says no."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from ffmpeg_oracle import ffmpeg
from host_support import api, make_host
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sora_core.errors import SoraError
from sora_core.host.api.video import VideoFromFile
from sora_core.host.graph import embedded
from sora_core.host.graph.load import load_workflow
from sora_core.media.video import probe
from sora_core.media.write import write_video

GRAPH = json.dumps(api(a=("TinyAdd", {"a": 1, "b": 2})))
OTHER = json.dumps(api(b=("TinyAdd", {"a": 3, "b": 4})))


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    return make_host(Path(tmp_path_factory.mktemp("host")))


def chunk(kind: bytes, body: bytes, crc: int | None = None) -> bytes:
    crc = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)


def png(before: bytes = b"", after: bytes = b"") -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(14)))
    return embedded.PNG + header + before + pixels + after + chunk(b"IEND", b"")


TEXT = b"workflow\0" + GRAPH.encode()
ZTEXT = b"workflow\0\0" + zlib.compress(GRAPH.encode())
ITEXT = b"prompt\0\0\0en\0Graph\0" + GRAPH.encode()
ZITEXT = b"prompt\0\1\0\0\0" + zlib.compress(GRAPH.encode())
WHOLE = {
    "before the pixels": png(chunk(b"tEXt", TEXT)),
    "after the pixels": png(after=chunk(b"tEXt", TEXT)),
    "packed": png(chunk(b"zTXt", ZTEXT)),
    "packed after the pixels": png(after=chunk(b"zTXt", ZTEXT)),
    "international": png(chunk(b"iTXt", ITEXT)),
    "international, packed": png(chunk(b"iTXt", ZITEXT)),
    "wrong checksum": png(chunk(b"tEXt", TEXT, crc=1)),
    "cut behind it": png(chunk(b"tEXt", TEXT))[:-30],
    "one that is not JSON first": png(chunk(b"tEXt", b"workflow\0{"), chunk(b"tEXt", b"prompt\0" + GRAPH.encode())),
    "an empty one first": png(chunk(b"tEXt", b"workflow\0"), chunk(b"tEXt", b"prompt\0" + GRAPH.encode())),
}


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.jpg", "a"])
@pytest.mark.parametrize("case", WHOLE)
def test_a_workflow_in_a_png(host, tmp_path, case, name):
    (tmp_path / name).write_bytes(WHOLE[case])
    assert list(load_workflow(tmp_path / name, host.registry).nodes) == ["a"]


@pytest.mark.parametrize("name", ["a.webp", "a.jpg", "moving.webp", "renamed.png"])
@pytest.mark.parametrize("tag", [0x010F, 0x0110, 0x010E])
def test_a_workflow_in_exif(host, tmp_path, name, tag):
    exif = Image.Exif()
    exif[tag] = f"workflow:{GRAPH}"
    picture, options = Image.new("RGB", (16, 16)), {}
    if name.startswith("moving"):
        options = {"save_all": True, "append_images": [Image.new("RGB", (16, 16), "red")]}
    picture.save(tmp_path / name, "JPEG" if name.endswith("jpg") else "WEBP", exif=exif, **options)
    assert list(load_workflow(tmp_path / name, host.registry).nodes) == ["a"]


@pytest.mark.parametrize("name", ["a.webm", "a.mkv", "a.mp4", "a.mov"])
@pytest.mark.parametrize("tag", ["workflow", "prompt", "comment"])
def test_a_workflow_in_a_video(host, tmp_path, name, tag):
    codec = ("-c:v", "libvpx-vp9") if name.endswith("webm") else ("-c:v", "libx264")
    flags = () if name.endswith(("webm", "mkv")) else ("-movflags", "use_metadata_tags")
    text = json.dumps({"prompt": GRAPH}) if tag == "comment" else GRAPH
    source = ("-f", "lavfi", "-i", "color=red:s=32x32:r=8:d=0.5")
    ffmpeg(*source, *codec, *flags, "-metadata", f"{tag}={text}", tmp_path / name)
    assert list(load_workflow(tmp_path / name, host.registry).nodes) == ["a"]


FLAWED = {
    "nothing": (b"", "empty"),
    "the first bytes": (embedded.PNG, "carries no workflow"),
    "the first four bytes": (embedded.PNG[:4], "carries no workflow"),
    "no text": (png(), "carries no workflow"),
    "cut in the text": (png(chunk(b"tEXt", TEXT))[:70], "carries no workflow"),
    "an empty text": (png(chunk(b"tEXt", b"workflow\0")), "carries no workflow"),
    "an empty graph": (png(chunk(b"tEXt", b"prompt\0{}")), "empty"),
    "no JSON": (png(chunk(b"tEXt", b"workflow\0{not json")), "workflow is not JSON .line 1, column 2"),
    "a list": (png(chunk(b"tEXt", b"workflow\0[1]")), "not a workflow: it holds a list"),
    "deep nesting": (png(chunk(b"tEXt", b"workflow\0" + b"[" * 100_000)), "is not JSON .*nested too deeply"),
    "a long number": (png(chunk(b"tEXt", b"workflow\0" + b"9" * 5000)), "is not JSON"),
    "packed badly": (png(chunk(b"zTXt", b"workflow\0\0nothing")), "carries no workflow"),
    "packed without an end": (png(chunk(b"zTXt", ZTEXT[:40])), "is not JSON"),
    "a WebP that is none": (b"RIFF\x10\0\0\0WEBPVP8 ", "cannot be read"),
    "a video that is none": (b"\x1aE\xdf\xa3garbage", "carries no workflow|cannot be read|no picture track"),
    "a JPEG that is none": (b"\xff\xd8\xff\xe0garbage", "cannot be read"),
    "a GIF that is none": (b"GIF89a", "cannot be read"),
}


@pytest.mark.parametrize("case", FLAWED)
def test_what_carries_no_workflow_is_told_in_a_line(host, tmp_path, case):
    content, words = FLAWED[case]
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(SoraError, match=words) as error:
        load_workflow(tmp_path / "a.png", host.registry)
    assert "a.png" in str(error.value) and len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.jpg"])
def test_pictures_without_one_say_so(host, tmp_path, name):
    Image.new("RGB", (16, 16)).save(tmp_path / name)
    with pytest.raises(SoraError, match="carries no workflow"):
        load_workflow(tmp_path / name, host.registry)


def test_a_text_that_unpacks_without_end_is_refused(host, tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "MAX_TEXT", 1 << 20)
    bomb = b"workflow\0\0" + zlib.compress(bytes(2 << 20))
    (tmp_path / "a.png").write_bytes(png(chunk(b"zTXt", bomb)))
    with pytest.raises(SoraError, match="over 1 MB"):
        load_workflow(tmp_path / "a.png", host.registry)


def test_a_text_in_chinese_is_read_in_a_png_of_pillow(host, tmp_path):
    graph = json.loads(GRAPH)
    graph["a"]["_meta"] = {"title": "加"}
    info = PngInfo()
    info.add_itxt("prompt", json.dumps(graph, ensure_ascii=False), zip=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png", pnginfo=info)
    assert load_workflow(tmp_path / "a.png", host.registry).nodes["a"].title == "加"


@pytest.mark.parametrize("tags", [{"prompt": json.loads(OTHER)}, {}, None])
def test_an_mp4_that_is_used_again_carries_the_new_graph_alone(host, tmp_path, tags):
    old = {"workflow": GRAPH, "prompt": GRAPH, "comment": json.dumps({"prompt": GRAPH}), "title": "mine"}
    write_video(tmp_path / "a.mp4", np.zeros((4, 32, 32, 3), np.uint8), 8, metadata=old)
    VideoFromFile(tmp_path / "a.mp4").save_to(tmp_path / "b.mp4", metadata=tags)
    kept = probe(tmp_path / "b.mp4").metadata
    assert kept["title"] == "mine" and "workflow" not in kept and "comment" not in kept
    if tags:
        assert list(load_workflow(tmp_path / "b.mp4", host.registry).nodes) == ["b"]
    else:
        assert "prompt" not in kept


def test_a_quicktime_file_without_its_kind_is_a_video(host, tmp_path):
    """Older programs begin with the index or the frames, and write no `ftyp`."""
    path = tmp_path / "a.mov"
    ffmpeg("-f", "lavfi", "-i", "color=gray:s=32x32:r=8:d=0.5", "-movflags", "use_metadata_tags", path)
    tagged = ("-c", "copy", "-movflags", "use_metadata_tags", "-metadata", f"prompt={GRAPH}")
    ffmpeg("-i", path, *tagged, tmp_path / "b.mov")
    data = (tmp_path / "b.mov").read_bytes()
    length = int.from_bytes(data[:4], "big")
    assert data[4:8] == b"ftyp"
    (tmp_path / "c.mov").write_bytes(length.to_bytes(4, "big") + b"free" + data[8:])  # whatever stands there now
    assert set(load_workflow(tmp_path / "c.mov", host.registry).nodes) == {"a"}
    for kind in (b"moov", b"mdat", b"wide", b"skip", b"pnot"):
        assert embedded.kind_of(b"\0\0\0\x20" + kind + bytes(8)) == "video"
