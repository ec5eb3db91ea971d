"""The editing nodes on the embedded host, from files to files, on a tiny model with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from marks import with_slow
from nodes_support import TINY, make_host
from PIL import Image

from sora_core.errors import SoraError
from sora_core.media.sound import read_audio
from sora_core.media.video import probe, read_video
from sora_core.media.write import write_video

pytestmark = pytest.mark.usefixtures("unmarked")


def clip(frames: int, seed: int = 0, size=(32, 32)) -> torch.Tensor:
    small = torch.rand(frames, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(small, size, mode="bilinear").movedim(1, -1).clamp(0, 1)


@pytest.fixture()
def host(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "input"
    folder.mkdir()
    write_video(folder / "a.mp4", clip(9), 8)
    sound = {"waveform": torch.rand(1, 1, 8000) - 0.5, "sample_rate": 8000}
    write_video(folder / "b.mp4", clip(14, 1, (48, 64)), 16, audio=sound)
    Image.fromarray((clip(1)[0] * 255).byte().numpy()).save(folder / "still.png")
    return make_host(tmp_path)


def graph(kind: str, prompt: str = "a cat on a beach", **inputs) -> dict:
    """A node between files and sampler, decoder, and file."""
    common = {"fps": 0.0, "width": 0, "height": 0}
    nodes = {
        "load": ("SoraLoadModel", {"model": TINY, "precision": "auto"}),
        "a": ("LoadVideo", {"file": "a.mp4"}),
        "b": ("LoadVideo", {"file": "b.mp4"}),
        "still": ("LoadImage", {"image": "still.png"}),
        "positive": ("SoraTextEncode", {"clip": ["load", 1], "text": prompt}),
        "edit": (kind, {"vae": ["load", 2], **common, **inputs}),
        "sample": (
            "SoraSampler",
            {
                "model": ["load", 0],
                "positive": ["positive", 0],
                "latent": ["edit", 0],
                "seed": 3,
                "steps": 2,
                "cfg": 1.0,
                "scheduler": "simple",
                "denoise": 1.0,
                "guidance_start": 0.0,
                "guidance_end": 1.0,
                "sampler": "euler_ancestral",
            },
        ),
        "decode": ("SoraVAEDecode", {"latent": ["sample", 0], "vae": ["load", 2]}),
        "save": (
            "SoraSaveVideo",
            {"images": ["decode", 0], "fps": ["edit", 1], "filename_prefix": "video/edit", "crf": 0.0},
        ),
    }
    return {name: {"class_type": k, "inputs": dict(i)} for name, (k, i) in nodes.items()}


EDITS = {
    "SoraImageToVideo": ({"image": ["still", 0], "position": "first", "frame": 0, "seconds": 2.0, "fps": 8.0}, 17),
    "SoraExtend": ({"video": ["a", 0], "seconds": 1.0, "direction": "backwards"}, 18),
    "SoraInfill": ({"video": ["a", 0], "frames": "3-5"}, 9),
    "SoraConnect": ({"first": ["a", 0], "second": ["b", 0], "seconds": 1.0}, 24),
    "SoraLoop": ({"video": ["a", 0], "seconds": 0.5}, 13),
}


@pytest.mark.parametrize("kind", with_slow(EDITS, ("SoraConnect", "SoraImageToVideo")))
def test_files_in_file_out_with_kept_pixels(host, kind):
    inputs, length = EDITS[kind]
    result = host.run(graph(kind, **inputs))
    (path,) = result.files
    made = read_video(path)[0]
    assert made.shape == (length, 32, 32, 3) and probe(path).fps == 8
    (text,) = result.outputs["edit"]["text"]
    assert f"{length} frames of 32x32 at 8 fps" in text
    source = read_video(Path("input") / "a.mp4")[0]
    kept = {
        "SoraImageToVideo": (slice(0, 1), clip(1)),
        "SoraExtend": (slice(9, 18), source),
        "SoraInfill": (slice(6, 9), source[6:]),
        "SoraConnect": (slice(0, 9), source),
        "SoraLoop": (slice(0, 9), source),
    }[kind]
    # What is left is the file's own loss, of colour at half the resolution.
    assert (made[kept[0]] - kept[1]).abs().mean() < 0.02
    if kind == "SoraConnect":
        assert "16 to 8 frames per second" in text and "64x48 to 32x32" in text


def test_sound_stays_with_what_is_kept(host):
    made = graph("SoraExtend", video=["b", 0], seconds=0.5, direction="backwards")
    made["save"]["inputs"]["audio"] = ["edit", 2]
    (path,) = host.run(made).files
    sound = read_audio(path)
    wave = sound["waveform"][0, 0]
    lead = round(9 / 16 * sound["sample_rate"])
    assert wave[: lead - 2000].abs().max() < 0.01 and wave[lead + 1000 : lead + 5000].abs().mean() > 0.05


def test_remix_and_region(host):
    remix = graph("SoraRemix", video=["a", 0], strength=0.4)
    remix["sample"]["inputs"]["denoise"] = ["edit", 1]
    remix["save"]["inputs"]["fps"] = ["edit", 2]
    (path,) = host.run(remix).files
    assert probe(path).frames == 9
    Image.new("RGBA", (32, 32), (0, 0, 0, 255)).save("input/mask.png")
    picture = Image.open("input/mask.png")
    picture.paste((0, 0, 0, 0), (0, 0, 16, 16))
    picture.save("input/mask.png")
    region = graph("SoraInfill", video=["a", 0], frames="", mask=["mask", 1])
    region["mask"] = {"class_type": "LoadImage", "inputs": {"image": "mask.png"}}
    (path,) = host.run(region).files
    made, source = read_video(path)[0], read_video(Path("input") / "a.mp4")[0]
    assert (made - source)[:, 17:, 17:].abs().mean() < 0.02 < (made - source)[:, :15, :15].abs().mean()


def test_core_sampler_runs_an_edit(host):
    made = graph("SoraExtend", video=["a", 0], seconds=1.0, direction="forwards")
    made["sample"] = {
        "class_type": "KSampler",
        "inputs": {
            "model": ["load", 0],
            "seed": 3,
            "steps": 2,
            "cfg": 1.0,
            "sampler_name": "euler",
            "scheduler": "simple",
            "positive": ["positive", 0],
            "negative": ["positive", 0],
            "latent_image": ["edit", 0],
            "denoise": 1.0,
        },
    }
    (path,) = host.run(made).files
    assert probe(path).frames == 17


def test_storyboard(host):
    made = graph("SoraStoryboard")
    made["edit"]["inputs"] = {
        "clip": ["load", 1],
        "shots": "1s: a cat on a beach\n1s: a zeppelin",
        "fps": 8.0,
        "width": 32,
        "height": 32,
    }
    made["sample"]["inputs"] |= {"positive": ["edit", 0], "latent": ["edit", 1]}
    made["save"]["inputs"]["fps"] = ["edit", 2]
    result = host.run(made)
    (text,) = result.outputs["edit"]["text"]
    assert "shot 2: frames 9 to 16" in text and "zeppelin" in text.splitlines()[-1]
    assert probe(result.files[0]).frames == 17


LONG = {
    "model": ["load", 0],
    "clip": ["load", 1],
    "vae": ["load", 2],
    "shots": "3s: a cat\n2s: a dog",
    "negative": "",
    "seconds": 0.0,
    "fps": 8.0,
    "width": 32,
    "height": 32,
    "seed": 1,
    "steps": 3,
    "cfg": 2.0,
    "scheduler": "simple",
    "filename_prefix": "video/long",
    "window": 5,
    "context": 1,
    "overlap": 1,
    "renoise": 0.8,
    "hold": 0.1,
    "sampler": "euler",
}


def test_a_storyboard_keeps_the_shots_that_have_not_changed(host):
    shown = []
    for last in ("a dog", "a zeppelin"):
        made = graph("SoraStoryboard")
        shots = f"1s: a cat on a beach\n1s: a cat\n1s: {last}"
        made["edit"]["inputs"] = {"clip": ["load", 1], "shots": shots, "fps": 8.0, "width": 32, "height": 32}
        made["sample"]["inputs"] |= {"positive": ["edit", 0], "latent": ["edit", 1]}
        made["save"]["inputs"]["fps"] = ["edit", 2]
        shown.append(str(host.run(made).outputs.get("sample")))
    assert shown[0] == "None" and "Shots 1, 2 kept from the earlier render; shot 3 and 1 join made." in shown[1]


def long_graph(**changes) -> dict:
    made = {"load": graph("SoraLoop")["load"], "a": graph("SoraLoop")["a"]}
    return made | {"long": {"class_type": "SoraLongVideo", "inputs": LONG | changes}}


@pytest.mark.slow
def test_long_video_goes_on_after_a_stop(host, tmp_path):
    (whole,) = host.run(long_graph()).files
    assert probe(whole).frames == 41 and not list(tmp_path.glob("output/**/*.segments"))
    seen = []

    def stop(event, data):
        if event == "progress" and data["node"] == "long":
            seen.append((data["value"], data["max"]))
            if data["value"] > 0.6 * data["max"] and len(seen) < 100:
                raise KeyboardInterrupt

    host.executor.cache.keep_only(set())
    with pytest.raises(KeyboardInterrupt):
        host.run(long_graph(), listener=stop)
    assert [b >= a for (a, _), (b, _) in zip(seen, seen[1:], strict=False)].count(False) <= 1
    (folder,) = tmp_path.glob("output/**/*.segments")
    assert len(list(folder.glob("segment_*"))) >= 1
    host.executor.cache.keep_only(set())
    (again,) = host.run(long_graph()).files
    assert torch.equal(read_video(again)[0], read_video(whole)[0])
    assert not list(tmp_path.glob("output/**/*.segments"))


def test_long_video_keeps_the_shots_that_have_not_changed(host, tmp_path, monkeypatch):
    monkeypatch.setenv("SORA_KEPT_RENDERS", str(tmp_path / "renders"))
    board = ["2s: a cat on a beach", "2s: a dog in a forest", "2s: a cat"]
    told: list[str] = []

    def listen(event, data):
        if event == "progress_text":
            told.append(data["text"])

    (first,) = host.run(long_graph(shots="\n".join(board)), listener=listen).files
    assert "kept" not in told[-1]
    host.run(long_graph(shots="\n".join([*board[:2], "2s: a dog"])), listener=listen)
    assert "Shots 1, 2 kept from the earlier render; shot 3 and 1 join made." in told[-1]
    # Another name is no other video.
    run = host.run(long_graph(shots="\n".join(board[:2]), filename_prefix="another"), listener=listen)
    assert "Shots 1, 2 kept from the earlier render; nothing had to be made." in told[-1]
    frames = [read_video(path)[0][:20] for path in (first, *run.files)]
    assert (frames[0] - frames[1]).abs().mean() < 0.01


def test_long_video_goes_on_from_a_file(host):
    (path,) = host.run(long_graph(video=["a", 0], seconds=2.0, shots="a cat")).files
    made, source = read_video(path)[0], read_video(Path("input") / "a.mp4")[0]
    assert made.shape[0] == 9 + 16 and (made[:9] - source).abs().mean() < 0.03


@pytest.mark.parametrize(
    ("kind", "inputs", "words"),
    [
        ("SoraInfill", {"video": ["a", 0], "frames": "5-"}, ["5-", "5-12, 20"]),
        ("SoraInfill", {"video": ["a", 0], "frames": "5-12"}, ["Frame 9", "0 to 8"]),
        ("SoraExtend", {"video": ["a", 0], "seconds": 1.0, "direction": "both", "width": 32}, ["width", "both"]),
        ("SoraExtend", {"video": ["a", 0], "seconds": 1.0, "direction": "up"}, ["direction", "up"]),
        (
            "SoraImageToVideo",
            {"image": ["still", 0], "position": "frame", "frame": 99, "seconds": 2.0, "fps": 8.0},
            ["99", "0 to 16"],
        ),
    ],
)
def test_bad_input_is_named(host, kind, inputs, words):
    with pytest.raises(SoraError) as error:
        host.run(graph(kind, **inputs))
    assert all(word in str(error.value) for word in words), str(error.value)


def test_the_latent_of_a_loop_does_not_stand_for_its_frames(host):
    nodes = graph("SoraLoop", video=["a", 0], seconds=1.0)  # 17 frames, and a latent of as many: its end first
    given = {"video": ["decode", 0], "vae": ["load", 2], "seconds": 0.5, "direction": "forwards", "fps": 8.0}
    size = {"width": 0, "height": 0}
    nodes["more"] = {"class_type": "SoraExtend", "inputs": {**given, **size, "latent": ["sample", 0]}}
    nodes["save"]["inputs"]["fps"] = ["more", 1]
    with pytest.raises(SoraError, match="latent: it is of a part of its video, or in another order"):
        host.run(nodes)


def test_bad_storyboards_stop_before_anything_runs(host):
    with pytest.raises(SoraError, match="Line 2.*no prompt"):
        host.run(long_graph(shots="2s: a cat\n2s:"))


@pytest.mark.parametrize("fps", [8.0, 0.0])
def test_images_go_where_a_video_goes(host, fps):
    """At the rate that the node is given; what a graph wrote with a VIDEO there stays valid."""
    made = {}
    for kind, source in (("video", ["a", 0]), ("images", ["parts", 0])):
        nodes = graph("SoraExtend", video=source, seconds=0.5, direction="forwards", fps=fps)
        nodes["parts"] = {"class_type": "GetVideoComponents", "inputs": {"video": ["a", 0]}}
        result = host.run(nodes)
        made[kind] = read_video(result.files[0])[0]
        (text,) = result.outputs["edit"]["text"]
        assert ("taken for 8 frames per second" in text) == (kind == "images" and not fps)
    assert torch.equal(made["video"], made["images"])
    nodes["edit"]["inputs"]["video"] = ["load", 2]
    with pytest.raises(SoraError, match="takes VIDEO,IMAGE, but output 2 of .* is VAE"):
        host.run(nodes)
