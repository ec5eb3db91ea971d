"""The core nodes on a tiny model of our own: sampling in several ways, stills, videos, whole graphs."""

from __future__ import annotations

import json
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from nodes_support import TINY, make_host, save_tiny, text_to_video
from PIL import Image

from sora_core.errors import SoraError
from sora_core.host.core_nodes import CORE_NODES
from sora_core.host.current import engine as current
from sora_core.host.run.executor import Executor
from sora_core.pipeline.progress import Interrupted

NODES = {node.GET_SCHEMA().node_id: node for node in CORE_NODES}


def call(node: str, **inputs):
    result = NODES[node].execute(**inputs).args
    return result[0] if len(result) == 1 else result


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return current().load_model(save_tiny(Path(tmp_path_factory.mktemp("model")) / TINY), "fp32")


@pytest.fixture(scope="module")
def prompts(loaded):
    return {
        name: call("CLIPTextEncode", text=text, clip=loaded.clip)
        for name, text in (("positive", "a cat moving right on a beach"), ("negative", ""))
    }


@pytest.fixture
def latent():
    return {"samples": torch.zeros(1, 16, 2, 4, 4), "note": "kept"}


def ksample(loaded, prompts, latent, **changes):
    inputs = {
        "model": loaded.model,
        "seed": 1,
        "steps": 4,
        "cfg": 3.0,
        "sampler_name": "euler",
        "scheduler": "simple",
        "denoise": 1.0,
    }
    return call("KSampler", latent_image=latent, **prompts, **{**inputs, **changes})


def test_the_same_sampling_in_three_ways(loaded, prompts, latent):
    one = ksample(loaded, prompts, latent)
    assert one["note"] == "kept" and one["samples"].shape == latent["samples"].shape
    sigmas = call("BasicScheduler", model=loaded.model, scheduler="simple", steps=4, denoise=1.0)
    sampler = call("KSamplerSelect", sampler_name="euler")
    guider = call("CFGGuider", model=loaded.model, cfg=3.0, **prompts)
    two, denoised = call(
        "SamplerCustomAdvanced",
        noise=call("RandomNoise", noise_seed=1),
        guider=guider,
        sampler=sampler,
        sigmas=sigmas,
        latent_image=latent,
    )
    three, _ = call(
        "SamplerCustom",
        model=loaded.model,
        add_noise=True,
        noise_seed=1,
        cfg=3.0,
        sampler=sampler,
        sigmas=sigmas,
        latent_image=latent,
        **prompts,
    )
    assert torch.equal(one["samples"], two["samples"]) and torch.equal(one["samples"], three["samples"])
    # The last step of Euler ends on its estimate of the clean latent.
    torch.testing.assert_close(denoised["samples"], one["samples"])


def test_seed_sampler_and_shift_matter(loaded, prompts, latent):
    one = ksample(loaded, prompts, latent)["samples"]
    assert torch.equal(one, ksample(loaded, prompts, latent)["samples"])
    assert not torch.equal(one, ksample(loaded, prompts, latent, seed=2)["samples"])
    assert not torch.equal(one, ksample(loaded, prompts, latent, sampler_name="heun")["samples"])
    shifted = call("ModelSamplingSD3", model=loaded.model, shift=9.0)
    assert shifted.shift == 9.0 and loaded.model.shift == 3.0
    assert not torch.equal(one, ksample(loaded, prompts, latent, model=shifted)["samples"])


def test_a_run_in_two_halves_is_the_whole_run(loaded, prompts, latent):
    common = {"noise_seed": 1, "steps": 6, "cfg": 3.0, "sampler_name": "euler", "scheduler": "simple", **prompts}

    def part(start_from, first, last, add_noise="enable", leftover="disable"):
        steps = {"start_at_step": first, "end_at_step": last, "return_with_leftover_noise": leftover}
        inputs = {"model": loaded.model, "latent_image": start_from, "add_noise": add_noise, **steps}
        return call("KSamplerAdvanced", **inputs, **common)

    whole = part(latent, 0, 10000)
    half = part(latent, 0, 3, leftover="enable")
    rest = part(half, 3, 10000, add_noise="disable")
    torch.testing.assert_close(rest["samples"], whole["samples"], atol=1e-5, rtol=1e-5)
    nothing = part(whole, 6, 10000, add_noise="disable")
    assert torch.equal(nothing["samples"], whole["samples"])


def test_masked_latents_stay_bit_identical(loaded, prompts):
    start = {"samples": torch.randn(1, 16, 2, 4, 4, generator=torch.Generator().manual_seed(5))}
    mask = torch.zeros(1, 32, 32)
    mask[:, :, 16:] = 1
    made = ksample(loaded, prompts, call("SetLatentNoiseMask", samples=start, mask=mask))["samples"]
    assert torch.equal(made[..., :2], start["samples"][..., :2])
    assert not torch.equal(made[..., 2:], start["samples"][..., 2:])


def test_the_core_empty_latent_fits_any_model(loaded, prompts):
    empty = call("EmptyLatentImage", width=32, height=48, batch_size=1)
    made = ksample(loaded, prompts, empty)
    assert made["samples"].shape == (1, 16, 1, 6, 4)
    images = call("VAEDecode", samples=made, vae=loaded.vae)
    assert images.shape == (1, 48, 32, 3) and float(images.min()) >= 0 and float(images.max()) <= 1
    again = call("VAEEncode", pixels=images, vae=loaded.vae)
    assert again["samples"].shape == made["samples"].shape


def test_an_empty_prompt_is_refused(loaded, prompts, latent):
    with pytest.raises(SoraError, match="prompt is empty"):
        ksample(loaded, {"positive": prompts["negative"], "negative": prompts["negative"]}, latent)


@pytest.mark.parametrize(
    ("method", "crop"),
    [(m, c) for m in ("nearest-exact", "bilinear", "area", "bicubic", "lanczos") for c in ("disabled", "center")],
)
def test_scaling_keeps_colours_and_aspect(method, crop):
    image = torch.zeros(2, 20, 40, 3)
    image[:, :, 10:30] = torch.tensor([0.2, 0.5, 0.9])
    scaled = call("ImageScale", image=image, upscale_method=method, width=10, height=10, crop=crop)
    assert scaled.shape == (2, 10, 10, 3)
    torch.testing.assert_close(scaled[0, 5, 5], torch.tensor([0.2, 0.5, 0.9]), atol=0.02, rtol=0)
    # Squeezed, the dark edges are still there; cropped, they are gone.
    assert (scaled[0, 5, 0].max() < 0.1) == (crop == "disabled")
    wide = call("ImageScale", image=image, upscale_method=method, width=20, height=0, crop=crop)
    assert wide.shape == (2, 10, 20, 3)


def test_batches_of_pictures():
    one, two = torch.zeros(2, 8, 8, 3), torch.ones(3, 16, 16, 4)
    both = call("ImageBatch", image1=one, image2=two)
    assert both.shape == (5, 8, 8, 3) and float(both[2:].min()) == 1
    assert call("ImageFromBatch", image=both, batch_index=1, length=3).shape[0] == 3
    assert float(call("ImageFromBatch", image=both, batch_index=-1, length=9).min()) == 1
    assert call("ImageFromBatch", image=both, batch_index=99, length=1).shape[0] == 1


def core_graph(**sampling):
    """The graph from a prompt to a video, with core nodes wherever there are some."""
    common = text_to_video()
    sampler = {"seed": 1, "steps": 3, "cfg": 3.0, "sampler_name": "dpmpp_2m", "scheduler": "simple", "denoise": 1.0}
    links = {"model": ["load", 0], "positive": ["pos", 0], "negative": ["neg", 0], "latent_image": ["empty", 0]}
    made = {
        "pos": ("CLIPTextEncode", {"text": "a dog", "clip": ["load", 1]}),
        "neg": ("CLIPTextEncode", {"text": "", "clip": ["load", 1]}),
        "sample": ("KSampler", {**links, **sampler, **sampling}),
        "decode": ("VAEDecode", {"samples": ["sample", 0], "vae": ["load", 2]}),
        "video": ("CreateVideo", {"images": ["decode", 0], "fps": 8.0}),
        "save": (
            "SaveVideo",
            {"video": ["video", 0], "filename_prefix": "video/core", "format": "mp4", "format.codec": "h264"},
        ),
    }
    nodes = {name: {"class_type": kind, "inputs": inputs} for name, (kind, inputs) in made.items()}
    return {"load": common["load"], "empty": common["empty"], **nodes}


def test_prompt_to_video_with_core_nodes_and_back(tmp_path, monkeypatch, unmarked):
    monkeypatch.chdir(tmp_path)
    host = make_host(tmp_path)
    steps = []
    result = host.run(
        core_graph(),
        listener=lambda event, data: (
            steps.append(data["preview"]) if event == "progress" and data["node"] == "sample" else None
        ),
    )
    video = result.files[0]
    frames = imageio.imread(video)
    assert frames.shape == (5, 48, 32, 3) and video.name == "core_00001_.mp4"
    assert len(steps) == 3 and steps[-1].frames.shape == (2, 6, 4, 3)

    # The file carries its workflow, and running that again changes nothing.
    again = host.load(video)
    assert json.loads(json.dumps(again.prompt())) == again.prompt() == host.load(core_graph()).prompt()
    assert len(host.run(again).cached) == 8

    # Load it back, take it apart, save pictures, and copy it with its metadata.
    host.folders.input.mkdir()
    (host.folders.input / "clip.mp4").write_bytes(video.read_bytes())
    flow = {
        "1": {"class_type": "LoadVideo", "inputs": {"file": "clip.mp4"}},
        "2": {"class_type": "GetVideoComponents", "inputs": {"video": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "still"}},
        "4": {"class_type": "CreateVideo", "inputs": {"images": ["2", 0], "fps": ["2", 2], "audio": ["2", 1]}},
        "5": {"class_type": "SaveVideo", "inputs": {"video": ["4", 0], "filename_prefix": "copy"}},
        "6": {"class_type": "SaveVideo", "inputs": {"video": ["1", 0], "filename_prefix": "remux"}},
        "7": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
        "8": {"class_type": "PreviewAny", "inputs": {"source": ["2", 2]}},
    }
    result = host.run(flow)
    names = sorted(path.name for path in result.files)
    assert names == ["copy_00001_.mp4", "remux_00001_.mp4", *[f"still_0000{i}_.png" for i in range(1, 6)]]
    assert np.array_equal(imageio.imread(host.folders.output / "remux_00001_.mp4"), frames)
    tags = Image.open(host.folders.output / "still_00001_.png").info
    assert json.loads(tags["prompt"]).keys() == flow.keys()
    assert result.outputs["8"]["text"] == ["8.0"]
    assert {entry["type"] for entry in result.outputs["7"]["images"]} == {"temp"}


def test_changing_the_sampler_reruns_sampling_and_decoding_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    host = make_host(tmp_path)
    host.run(core_graph())
    cached = host.run(core_graph(sampler_name="euler")).cached
    assert sorted(cached) == ["empty", "load", "neg", "pos"]


def test_interrupt_within_sampling(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    host = make_host(tmp_path)
    seen = []

    def listener(event, data):
        if event == "progress" and data["node"] == "sample":
            seen.append(data["value"])
            host.executor.interrupt()

    assert isinstance(host.executor, Executor)
    with pytest.raises(Interrupted):
        host.run(core_graph(steps=500), listener=listener)
    assert seen == [1] and not list(host.folders.output.rglob("*.mp4"))


def test_every_core_node_describes_itself():
    for node_id, node in NODES.items():
        info = json.loads(json.dumps(node.GET_NODE_INFO_V1()))
        assert info["name"] == node_id and info["display_name"] and info["category"]
        assert len(info["output"]) == len(info["output_name"]) == len(info["output_is_list"])
