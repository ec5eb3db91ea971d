"""The observer: targets are the truth, also in a mirror; it learns; any video becomes facts that a caption can say."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("cv2")

from sora_core.cli import main
from sora_core.errors import SoraError
from sora_core.host.desk.folders import Folders
from sora_core.host.host import Host
from sora_core.language import load_lexicon
from sora_core.loading import checkpoint
from sora_core.loading.checkpoint import save_part
from sora_core.media.write import write_video
from sora_core.model.vae.mini import VAEConfig, VideoVAE
from sora_core.observer.network import Observer, load_observer, save_observer, shrink
from sora_core.observer.watch import watch
from sora_core.training.data.shards import open_buckets, render_shards
from sora_core.training.recipes.observer import ObserverTrainer, ObserverTraining, evaluate, observer_config
from sora_core.training.recipes.observer_targets import describe_targets, mirror
from sora_core.training.world import PRESETS, World

VOCABULARY = observer_config("stage")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    root = tmp_path_factory.mktemp("observer")
    render_shards(root / "data", "stage", None, {(17, 64, 64): 24}, seed=3)
    render_shards(root / "data", "shots", None, {(17, 64, 64): 4}, seed=4, label="shots")
    save_part(
        root / "vae.safetensors",
        "vae",
        VideoVAE(VAEConfig(width=(16, 16), encoder_blocks=(0, 0), decoder_blocks=(0, 0))),
    )
    return root


def training(root, name, **changes):
    config = ObserverTraining(
        out=str(root / name),
        data=str(root / "data"),
        vae=str(root / "vae.safetensors"),
        device="cpu",
        bf16=False,
        steps=30,
        batch=8,
        warmup=2,
        decay=10,
        lr=4e-3,
        adam_lr=2e-3,
        holdout=4,
        sheet_every=30,
        save_every=30,
        log_every=10,
        vae_share=0.0,
        cut_share=0.0,
        ema=0.9,
    )
    return replace(config, **changes)


def test_targets_say_where_and_when(clips):
    for bucket in open_buckets(clips / "data"):
        for fact, labels in zip(bucket.facts, bucket.labels, strict=True):
            target = describe_targets(fact, labels, VOCABULARY)
            assert np.flatnonzero(target.frames["cut"]).tolist() == [s["start"] for s in fact["shots"][1:]]
            for shot in fact["shots"]:
                scenes = target.frames["scene"][shot["start"] : shot["end"]]
                assert {VOCABULARY.scenes[i] for i in scenes} == {shot["scene"]}
            named = {VOCABULARY.subjects[i - 1] for i in np.unique(target.maps["subjects"]) if i}
            assert named <= {s["name"] for s in fact["subjects"]}
            back = mirror(mirror(target, VOCABULARY), VOCABULARY)
            for name, value in {**target.frames, **target.maps}.items():
                assert np.allclose({**back.frames, **back.maps}[name], value, atol=1e-6, equal_nan=True), name


def test_a_mirror_turns_left_into_right():
    world = World(PRESETS["stage"])
    fixed = {"motion": "left", "event": "none", "n_subjects": "1", "camera": "pan left, zoom in"}
    clip = world.sample(5, 64, 64, 17, fixed)
    labels = clip.labels[::4, 4::8, 4::8]
    target = describe_targets(clip.facts, labels, VOCABULARY)
    other = mirror(target, VOCABULARY)
    seen = [{VOCABULARY.motions[i] for i in np.unique(t.maps["motions"]) if i >= 0} for t in (target, other)]
    assert seen == [{"left"}, {"right"}]
    assert VOCABULARY.cameras[other.frames["camera"][0]] == "pan right, zoom in"
    # A part of the clip does not show both moves.
    assert (target.part(4, 9).frames["camera"] == -1).all()


def test_it_learns_and_is_written(clips, capsys):
    trainer = ObserverTrainer(training(clips, "run"))
    before = float(trainer.loss(1000)[0].detach())
    trainer.train()
    assert float(trainer.loss(1000)[0].detach()) < 0.6 * before
    observer = load_observer(clips / "run" / "model.safetensors")
    scores = evaluate(observer, trainer.buckets, 2)
    assert scores["style"] > 0.5 and set(scores) >= {"subjects", "scene", "camera", "motion", "cuts", "event", "centre"}
    assert (clips / "run" / "held_out.csv").read_text().startswith("step,seconds,camera")
    # Half precision on disk changes next to nothing.
    video = torch.rand(1, 17, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(observer(video)["scene"], trainer.averaged()(video)["scene"], atol=0.05, rtol=0.05)


def test_one_part_is_trained_alone(clips):
    """The tracker learns where subjects are; what the observer names stays as it is, bit for bit."""
    first = ObserverTrainer(training(clips, "whole", steps=1))
    first.export(clips / "whole.safetensors")
    whole = load_observer(clips / "whole.safetensors")
    config = training(clips, "part", init=str(clips / "whole.safetensors"), only="tracker", steps=60, lr=0.01)
    trainer = ObserverTrainer(config)
    before = trainer.loss(1000)[1]["centre"]
    trainer.train()
    assert trainer.loss(1000)[1]["centre"] < 0.8 * before
    tuned, old = trainer.averaged().state_dict(), whole.state_dict()
    changed = {name.split(".")[0] for name in old if not torch.equal(old[name], tuned[name])}
    assert changed == {"tracker"}
    for wrong in ({"only": "eyes"}, {"preset": "cast"}):
        with pytest.raises(SoraError, match="only|init"):
            ObserverTrainer(replace(config, out=str(clips / "wrong"), **wrong))


def test_half_of_the_clips_pass_through_the_vae(clips):
    trainer = ObserverTrainer(training(clips, "vae", vae_share=0.5))
    plain = ObserverTrainer(training(clips, "plain"))
    bucket, other = trainer.buckets[0], plain.buckets[0]
    changed = [not np.array_equal(a, b) for a, b in zip(bucket.frames, other.frames, strict=True)]
    assert changed == [bool(t) for t in bucket.decoded] and 0.2 < np.mean(changed) < 0.8


@pytest.fixture(scope="module")
def observer(tmp_path_factory):
    """Random weights, whose facts are wild: every combination must still be one that a caption can say."""
    torch.manual_seed(1)
    network = Observer(VOCABULARY)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.12)
    path = tmp_path_factory.mktemp("weights") / "observer.safetensors"
    save_observer(path, network)
    return path


@pytest.mark.parametrize(
    ("shape", "fps"), [((1, 40, 64), 8), ((2, 33, 21), 24), ((17, 64, 64), 8), ((50, 48, 80), 12), ((61, 32, 32), 8)]
)
def test_any_video_gets_captions_of_known_words(observer, shape, fps):
    sight = watch(torch.rand(*shape, 3), fps, load_observer(observer))
    assert all(0 <= value <= 1 for value in sight.confidence.values())
    assert sight.tracks["cut"].shape == (sight.facts["frames"],)
    for language in ("en", "zh"):
        for length in ("short", "medium", "long"):
            text = sight.say(language, length, seed=2)
            assert text and not load_lexicon().scan(text)[1] and "{" not in text


def test_windows_agree_with_one_look(observer):
    """A video of one window is what the network says; a longer one says the same of a part that it repeats."""
    network = load_observer(observer)
    frames = torch.rand(17, 64, 64, 3)
    one = watch(frames, 8, network)
    with torch.no_grad():
        raw = network(shrink(frames)[None])
    np.testing.assert_allclose(one.tracks["states"], raw["states"][0].sigmoid().numpy(), atol=1e-6)
    assert watch(torch.cat((frames, frames)), 8, network).tracks["states"].shape == (34, len(VOCABULARY.events))


def test_other_files_are_refused(clips, tmp_path):
    with pytest.raises(SoraError, match="no observer"):
        load_observer(clips / "vae.safetensors")
    with pytest.raises(SoraError, match="holds no VAE"):
        ObserverTrainer(training(clips, "none", vae="", vae_share=0.5))


def test_a_folder_is_captioned_for_training(observer, tmp_path, capsys):
    for name in ("a", "b"):
        write_video(tmp_path / f"{name}.mp4", torch.rand(9, 48, 64, 3), 8)
    (tmp_path / "b.txt").write_text("my own words\n")
    (tmp_path / "c.mp4").write_bytes(b"no video")
    assert main(["caption", str(tmp_path), "--observer", str(observer), "--json"]) == 1
    out, err = capsys.readouterr()
    (row,) = json.loads(out)
    assert (tmp_path / "a.txt").read_text().strip() == row["caption"] and 0 <= row["confidence"]["overall"] <= 1
    assert (tmp_path / "b.txt").read_text() == "my own words\n" and "kept" in err and "c.mp4" in err
    assert main(["caption", str(tmp_path / "b.mp4"), "--observer", str(observer), "--language", "zh"]) == 0
    assert "sure" in capsys.readouterr().out


def test_the_node_takes_a_video_or_images(observer, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "WEIGHTS", observer.parent)
    monkeypatch.chdir(tmp_path)
    load_observer.cache_clear()
    host = Host(Folders(tmp_path / "input", tmp_path / "output", tmp_path / "temp"))
    write_video(tmp_path / "input" / "clip.mp4", torch.rand(9, 48, 64, 3), 8)
    choices = {"length": "short", "language": "en", "fps": 8.0, "seed": 1}
    graph = {
        "load": {"class_type": "LoadVideo", "inputs": {"file": "clip.mp4"}},
        "frames": {"class_type": "GetVideoComponents", "inputs": {"video": ["load", 0]}},
        "video": {"class_type": "SoraCaption", "inputs": {"video": ["load", 0], **choices}},
        "images": {"class_type": "SoraCaption", "inputs": {"images": ["frames", 0], **choices}},
        "neither": {"class_type": "SoraCaption", "inputs": choices},
    }
    said = []
    for name in ("video", "images"):
        look = {"class_type": "PreviewAny", "inputs": {"source": [name, 0]}}
        result = host.run({k: v for k, v in graph.items() if k != "neither"} | {"look": look})
        said.append(result.outputs["look"]["text"][0])
    assert said[0] == said[1] and not load_lexicon().scan(said[0])[1]
    with pytest.raises(SoraError, match="Connect a video or images"):
        host.run({"neither": graph["neither"], "look": {**look, "inputs": {"source": ["neither", 0]}}})
    load_observer.cache_clear()
