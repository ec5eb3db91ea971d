"""How a video was made: read from graphs, noted on calls in Python, and which of its frames are marked."""

from __future__ import annotations

import pytest
from nodes_support import TINY, make_host, save_tiny, text_to_video
from PIL import Image
from provenance_support import SECRET, clip

import sora_core
from sora_core.errors import SoraError
from sora_core.host.host import Host
from sora_core.media.video import probe
from sora_core.provenance import History, Model, plan
from sora_core.provenance.credentials.history import only_files, read_graph
from sora_core.provenance.credentials.verify import verify

pytest.importorskip("c2pa")


def test_the_graph_tells_models_sources_and_edits(tmp_path):
    graph = {
        "1": {"class_type": "SoraLoadModel", "inputs": {"model": "mini", "precision": "auto", "lora": "none"}},
        "2": {"class_type": "LoadVideo", "inputs": {"file": "cat.mp4"}},
        "3": {"class_type": "SoraExtend", "inputs": {"video": ["2", 0], "vae": ["1", 2]}},
        "4": {"class_type": "SoraTextEncode", "inputs": {"clip": ["1", 1], "text": SECRET}},
        "5": {"class_type": "SoraSampler", "inputs": {"model": ["1", 0], "positive": ["4", 0], "latent": ["3", 0]}},
        "6": {"class_type": "SoraSaveVideo", "inputs": {"images": ["5", 0], "fps": ["3", 1]}},
        "7": {"class_type": "LoadImage", "inputs": {"image": "elsewhere.png"}},
        "8": {"class_type": "SaveVideo", "inputs": {"video": ["2", 0]}},
    }
    files = {"mini": Model("mini")}
    (tmp_path / "cat.mp4").write_bytes(b"a clip")
    found = read_graph(graph, "6", lambda name: tmp_path / name, files.get)
    assert found == History((Model("mini"),), True, ("SoraExtend",), (tmp_path / "cat.mp4",), (SECRET,))
    untouched = read_graph(graph, "8", lambda name: tmp_path / name, files.get)
    assert not untouched.generated and not plan(untouched).mark
    graph["2"]["inputs"]["file"] = ["6", 0]  # a loop is no reason to hang
    assert read_graph(graph, "6", lambda name: None, files.get).generated


@pytest.mark.parametrize(
    ("kind", "inputs", "made"),
    [
        ("ImageBlur", {"image": ["1", 0], "seed": 3}, False),
        ("ImageComment", {"image": ["1", 0], "prompt": " ", "prompt_in_credentials": "policy"}, False),
        ("PartnerImageToVideo", {"start_frame": ["1", 0], "prompt": "it runs", "model_name": "theirs-2"}, True),
        ("PartnerImageToVideo", {"start_frame": ["1", 0], "negative_prompt": ["1", 1]}, True),
        ("UNETLoader", {"unet_name": "elsewhere.safetensors"}, True),
        ("LoadLatent", {"latent": "kept.latent"}, True),
        ("ImageBatch", {"image1": ["1", 0], "image2": ["put there while it ran", 0]}, True),
    ],
)
def test_what_the_graph_does_not_show_counts_as_made(tmp_path, kind, inputs, made):
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "cat.png"}},
        "2": {"class_type": kind, "inputs": inputs},
        "3": {"class_type": "SoraSaveVideo", "inputs": {"images": ["1", 0], "more": ["2", 0]}},
    }
    found = read_graph(graph, "3", lambda name: tmp_path / name, lambda name: None)
    assert found.generated == made and found.sources
    assert plan(found).mark == made
    assert not only_files(graph, "3", "more", lambda name: tmp_path / name)


def test_extending_a_signed_video_in_a_graph(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    host: Host = make_host(tmp_path)
    (first,) = host.run(host.load(text_to_video(sample__steps=1))).files
    graph = text_to_video(sample__steps=1)
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "given.mp4").write_bytes(first.read_bytes())
    graph["video"] = {"class_type": "LoadVideo", "inputs": {"file": "given.mp4"}}
    graph["edit"] = {
        "class_type": "SoraExtend",
        "inputs": {
            "video": ["video", 0],
            "vae": ["load", 2],
            "seconds": 0.5,
            "direction": "forwards",
            "fps": 0.0,
            "width": 0,
            "height": 0,
        },
    }
    graph["sample"]["inputs"]["latent"] = ["edit", 0]
    graph["save"]["inputs"]["fps"] = ["edit", 1]
    del graph["empty"]
    (longer,) = host.run(host.load(graph)).files
    report = verify(longer)
    assert report.state == "intact" and [p.name for p in report.manifest.ingredients] == ["given.mp4"]
    assert "by the model tiny" in report.manifest.ingredients[0].actions[0]
    assert probe(longer).frames > probe(first).frames
    # What carries its graph still opens as one, and what was told to leave it out does not.
    again = host.load(longer)
    assert {node.type for node in again.nodes.values()} >= {"SoraExtend", "SoraSaveVideo"}
    graph["save"]["inputs"] |= {"keep_workflow": False, "credentials": "off", "watermark": "off"}
    (plain,) = host.run(host.load(graph)).files
    assert verify(plain).state == "none" and SECRET.encode() not in plain.read_bytes()
    with pytest.raises(SoraError, match="carries no workflow"):
        host.load(plain)


def test_python_calls_note_what_they_did(tmp_path):
    pipe = sora_core.load(save_tiny(tmp_path / TINY))
    how = {"steps": 1, "cfg": 1.0}
    first = pipe.generate(SECRET, frames=5, width=32, height=32, **how).save(tmp_path / "a.mp4")
    second = pipe.extend(first, SECRET, seconds=0.5, **how).save(tmp_path / "b.mp4")
    third = pipe.long_video(SECRET, tmp_path / "c.mp4", seconds=1, video=second, **how)
    manifest = verify(third).manifest
    assert "extended in time" in manifest.actions[1] and manifest.ingredients[0].name == "b.mp4"
    assert manifest.ingredients[0].ingredients[0].name == "a.mp4"
    assert SECRET not in str(verify(third)) and SECRET.encode() not in third.read_bytes()


def test_saving_streams(tmp_path):
    """Frames are marked as they come: the second is asked for after the first was marked."""
    order = []

    def frames():
        for number, frame in enumerate(clip(3)):
            order.append(("asked", number))
            yield frame[None]

    for number, _ in enumerate(plan(History()).marked(frames())):
        order.append(("marked", number))
    assert order == [(what, n) for n in range(3) for what in ("asked", "marked")]


@pytest.mark.parametrize("kind", ["LoadImage", "Reader"])
def test_what_comes_of_files_alone_is_known_by_the_graph(tmp_path, kind):
    """As in ComfyUI, whose own nodes do not say where frames come from."""
    graph = {
        "1": {"class_type": kind, "inputs": {"image": "cat.png"}},
        "2": {"class_type": "ImageScale", "inputs": {"image": ["1", 0], "width": ["3", 0]}},
        "3": {"class_type": "PrimitiveInt", "inputs": {"value": 64}},
        "4": {"class_type": "KSampler", "inputs": {"latent_image": ["1", 0]}},
        "5": {"class_type": "ImageBatch", "inputs": {"image1": ["2", 0], "image2": ["4", 0]}},
        "6": {"class_type": "SoraImageToVideo", "inputs": {"image": ["2", 0], "last_image": ["5", 0], "frame": 3}},
    }
    Image.new("RGB", (8, 8)).save(tmp_path / "cat.png")

    def known(name: str, of: dict | None = graph) -> bool:
        return only_files(of, "6", name, lambda name: tmp_path / name.partition(" [")[0])

    assert known("image") == (kind == "LoadImage")
    assert not any(known(name) for name in ("last_image", "frame", "nothing")) and not known("image", None)
    assert not only_files(graph, "6", "image", lambda name: None)  # a file that is not there is nobody's
    for folder in ("temp", "output"):
        graph["1"]["inputs"]["image"] = f"cat.png [{folder}]"
        assert not known("image")
    graph["1"]["inputs"]["image"] = "cat.png"
    with (tmp_path / "cat.png").open("ab") as file:
        file.write(b"trainedAlgorithmicMedia")
    assert not known("image")
