"""What nodes tell the extension of the frontend: files to compare, badges, shots and patches."""

from __future__ import annotations

import pytest
import torch
from nodes_support import make_host, text_to_video
from PIL import Image
from safety_support import brightness_classifier, policy_with

from sora_core.errors import SoraError
from sora_core.host.desk.folders import Folders
from sora_core.host.host import Host
from sora_core.media.video import probe
from sora_core.media.write import write_video
from sora_core.safety.frames import FramesBlocked
from sora_core.safety.prompts.check import PromptBlocked


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_host(tmp_path)


def compare(**inputs) -> dict:
    return {"class_type": "SoraCompare", "inputs": {"fps": 8.0, **inputs}}


def loaded(folder, name: str, value: float, frames: int, fps: float) -> dict:
    (folder / "input").mkdir(exist_ok=True)
    write_video(folder / "input" / name, torch.full((frames, 32, 48, 3), value), fps)
    return {"class_type": "LoadVideo", "inputs": {"file": name}}


def still(folder, width: int, height: int) -> dict:
    (folder / "input").mkdir(exist_ok=True)
    Image.new("RGB", (width, height), "blue").save(folder / "input" / "still.png")
    return {"class_type": "LoadImage", "inputs": {"image": "still.png"}}


def test_videos_and_frames_are_shown_beside_each_other(host, tmp_path):
    graph = {
        "a": loaded(tmp_path, "a.mp4", 0.2, 9, 12.0),
        "b": still(tmp_path, 33, 47),
        "look": compare(first=["a", 0], second=["b", 0], fps=4.0),
    }
    result = host.run(graph)
    shown = result.outputs["look"]
    assert shown["sora_compare"] == [
        {"name": "first", "fps": 12.0, "frames": 9},
        {"name": "second", "fps": 4.0, "frames": 1},
    ]
    assert shown["animated"] == [True] and [file["type"] for file in shown["images"]] == ["temp", "temp"]
    one, other = [probe(tmp_path / "temp" / file["filename"]) for file in shown["images"]]
    assert (one.width, one.height, one.fps, one.frames) == (48, 32, 12, 9)
    # 4:2:0 colour needs even sides.
    assert (other.width, other.height, other.fps, other.frames) == (34, 48, 4, 1)
    # Nothing of it is a result that somebody has saved.
    assert result.files == [] and not list((tmp_path / "output").glob("**/*.mp4"))
    assert "second: 1 frame of 33x47 at 4 fps" in shown["text"][0]


def test_a_policy_sees_every_frame_that_is_compared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    graph = {
        "dark": loaded(tmp_path, "dark.mp4", 0.1, 5, 8.0),
        "bright": loaded(tmp_path, "bright.mp4", 0.9, 5, 8.0),
        "look": compare(first=["dark", 0], second=["bright", 0]),
    }
    policy = policy_with(tmp_path, brightness_classifier(tmp_path / "bright.onnx"))
    host = Host(Folders(tmp_path / "input", tmp_path / "output", tmp_path / "temp"), policy=policy)
    with pytest.raises(SoraError) as caught:
        host.run(graph)
    assert isinstance(caught.value.__cause__, FramesBlocked)
    shown = list((tmp_path / "temp").glob("*.mp4"))
    assert len(shown) <= 1 and all(path.stat().st_size for path in shown)


def test_a_saved_video_has_badges_for_what_was_done(host):
    shown = host.run(text_to_video()).outputs["save"]
    (badge,) = shown["sora_badges"]
    assert badge["state"] == "signed" and badge["why"].startswith("Signed with this machine's own certificate")
    assert host.run(text_to_video(save__credentials="off")).outputs["save"]["sora_badges"] == []


def test_a_policy_that_is_enforced_gives_a_badge(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_host(tmp_path)
    policy = policy_with(tmp_path, brightness_classifier(tmp_path / "bright.onnx"), action="blur")
    host = Host(Folders(tmp_path / "input", tmp_path / "output", tmp_path / "temp"), policy=policy)
    shown = host.run(text_to_video()).outputs["save"]
    assert shown["sora_badges"] == [{"state": "checked", "why": "Every frame was checked by the policy 'test'."}]


def test_a_check_of_prompts_has_a_badge_or_an_error_of_its_own(host):
    check = {"class_type": "SoraPromptSafety", "inputs": {"prompt": "a cat on a beach", "policy": "strict"}}
    see = {"class_type": "PreviewAny", "inputs": {"source": ["check", 0]}}
    shown = host.run({"check": check, "see": see}).outputs["check"]
    (badge,) = shown["sora_badges"]
    assert badge["state"] == "checked" and "nothing against it" in badge["why"]
    check["inputs"]["prompt"] = "two naked people having sex"
    with pytest.raises(SoraError) as caught:
        host.run({"check": check, "see": see})
    assert isinstance(caught.value.__cause__, PromptBlocked)


def test_a_storyboard_tells_its_shots_and_patchify_its_grid(host, tmp_path):
    graph = text_to_video()
    shots = "0.6s: a cat\n1s keep: a dog"
    graph["board"] = {
        "class_type": "SoraStoryboard",
        "inputs": {"clip": ["load", 1], "shots": shots, "fps": 8.0, "width": 32, "height": 48},
    }
    graph["still"] = still(tmp_path, 32, 48)
    graph["edit"] = {
        "class_type": "SoraImageToVideo",
        "inputs": {"image": ["still", 0], "vae": ["load", 2], "seconds": 0.6, "fps": 8.0, "width": 0, "height": 0},
    }
    patches = {"latent": ["edit", 0], "model": ["load", 0], "frames": ["still", 0]}
    graph["cut"] = {"class_type": "SoraPatchify", "inputs": patches}
    graph["see"] = {"class_type": "PreviewAny", "inputs": {"source": ["cut", 1]}}
    graph["told"] = {"class_type": "PreviewAny", "inputs": {"source": ["board", 2]}}
    shown = host.run(graph).outputs
    assert shown["board"]["sora_shots"] == [
        {"prompt": "a cat", "seconds": 0.6, "start": 0.0},
        {"prompt": "a dog", "seconds": 1.0, "start": 0.6},
    ]
    (facts,) = shown["cut"]["sora_patches"]
    times, rows, columns = facts["grid"]
    assert (rows, columns) == (3, 2) and facts["tokens"] == times * 6 and facts["frames"] == 4
    # The picture that it starts from is kept, the rest is made.
    assert facts["kept"] == "1" * 6 + "0" * (times - 1) * 6
    assert len(facts["images"]) == times and all(file["type"] == "temp" for file in facts["images"])
