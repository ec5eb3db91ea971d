"""The nodes on the embedded host, from a prompt to an mp4, on a tiny model with random weights."""

from __future__ import annotations

import json

import pytest
import torch
from nodes_support import TINY, make_host, text_to_video

from sora_core.errors import SoraError
from sora_core.host.current import engine
from sora_core.host.run.cache import signatures
from sora_core.latents.decoding import decode
from sora_core.latents.patches import unpatchify_latents
from sora_core.media.sizes import crop_frames
from sora_core.media.video import probe, read_video
from sora_core.model.dit import DiT
from sora_core.provenance.credentials.history import only_negative


@pytest.fixture()
def host(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_host(tmp_path)


def outputs(host, graph: dict, node: str) -> list:
    """Run `graph` up to `node` and return its outputs."""
    kept = host.executor.cache
    host.run({**graph, "look": {"class_type": "PreviewAny", "inputs": {"source": [node, 0]}}})
    plan = host.plan(host.load(graph | {"look": {"class_type": "PreviewAny", "inputs": {"source": [node, 0]}}}))
    with host.active():
        return [values[0] for values in kept.get(signatures(plan)[node]).outputs]


def latent_of(host, graph: dict, node: str = "sample") -> torch.Tensor:
    return outputs(host, graph, node)[0]["samples"]


def test_prompt_to_mp4(host):
    result = host.run(text_to_video())
    (path,) = result.files
    assert path.name == "sora_00001_.mp4" and path.parent.name == "video"
    info = probe(path)
    assert (info.width, info.height, info.fps) == (32, 48, 8)
    assert read_video(path)[0].shape[0] == 5
    assert json.loads(info.metadata["prompt"])["sample"]["class_type"] == "SoraSampler"


def test_same_seed_same_latent_other_seed_or_sampler_another(host):
    first = latent_of(host, text_to_video())
    host.executor.cache.keep_only(set())
    assert torch.equal(first, latent_of(host, text_to_video()))
    assert not torch.equal(first, latent_of(host, text_to_video(sample__seed=4)))
    assert not torch.equal(first, latent_of(host, text_to_video(sample__sampler="dpmpp_2m")))


def test_another_sampler_runs_sampling_and_decoding_only(host):
    host.run(text_to_video())
    result = host.run(text_to_video(sample__sampler="heun"))
    assert set(result.timings) == {"sample", "decode", "save"}


def test_options_of_a_sampler_reach_it(host):
    with_noise = text_to_video(sample__sampler="euler_ancestral")
    without = text_to_video(sample__sampler="euler_ancestral", **{"sample__sampler.eta": 0.0})
    plain = latent_of(host, text_to_video())
    assert torch.allclose(latent_of(host, without), plain, atol=1e-5)
    assert not torch.allclose(latent_of(host, with_noise), plain, atol=1e-2)


@pytest.mark.parametrize("sampler", ["euler", "dpm_2", "uni_pc"])
def test_equals_the_core_sampler(host, sampler):
    core = text_to_video()
    inputs = core["sample"]["inputs"]
    core["sample"] = {
        "class_type": "KSampler",
        "inputs": {
            "model": inputs["model"],
            "seed": 3,
            "steps": 3,
            "cfg": 3.0,
            "sampler_name": sampler,
            "scheduler": "simple",
            "positive": inputs["positive"],
            "negative": inputs["negative"],
            "latent_image": inputs["latent"],
            "denoise": 1.0,
        },
    }
    assert torch.equal(latent_of(host, core), latent_of(host, text_to_video(sample__sampler=sampler)))


def test_custom_sampling_takes_our_sampler_and_sigmas(host):
    graph = text_to_video()
    graph["which"] = {"class_type": "SoraSamplerSelect", "inputs": {"sampler": "heun"}}
    graph["sigmas"] = {
        "class_type": "SoraScheduler",
        "inputs": {"model": ["load", 0], "scheduler": "beta", "steps": 3, "denoise": 1.0},
    }
    graph["noise"] = {"class_type": "RandomNoise", "inputs": {"noise_seed": 3}}
    graph["guider"] = {
        "class_type": "CFGGuider",
        "inputs": {"model": ["load", 0], "positive": ["positive", 0], "negative": ["negative", 0], "cfg": 3.0},
    }
    core = dict(
        graph,
        sample={
            "class_type": "SamplerCustomAdvanced",
            "inputs": {
                "noise": ["noise", 0],
                "guider": ["guider", 0],
                "sampler": ["which", 0],
                "sigmas": ["sigmas", 0],
                "latent_image": ["empty", 0],
            },
        },
    )
    ours = dict(graph)
    ours["sample"]["inputs"] |= {"custom_sampler": ["which", 0], "custom_sigmas": ["sigmas", 0]}
    assert torch.equal(latent_of(host, core), latent_of(host, ours))


def test_patches_go_through_the_sampler_and_back(host):
    plain = latent_of(host, text_to_video())
    graph = text_to_video(sample__latent=["patchify", 0], decode__latent=["unpatchify", 0])
    graph["patchify"] = {"class_type": "SoraPatchify", "inputs": {"latent": ["empty", 0], "model": ["load", 0]}}
    graph["unpatchify"] = {"class_type": "SoraUnpatchify", "inputs": {"patches": ["sample", 0]}}
    assert torch.equal(latent_of(host, graph, "unpatchify"), plain)
    result = host.run(graph)
    (text,) = result.outputs["patchify"]["text"]
    assert "12 tokens" in text and "2 x 3 x 2" in text and "GFLOP" in text and len(result.files) == 1


def test_clips_of_different_shapes_get_what_they_get_alone(host):
    graph = text_to_video(sample__latent=["behind", 0], decode__latent=["unpatchify", 0])
    graph["other"] = {
        "class_type": "SoraEmptyLatent",
        "inputs": {"seconds": 1.2, "fps": 8.0, "width": 48, "height": 16, "aspect": "as set", "batch_size": 2},
    }
    graph["patchify"] = {"class_type": "SoraPatchify", "inputs": {"latent": ["empty", 0]}}
    graph["behind"] = {"class_type": "SoraPatchify", "inputs": {"latent": ["other", 0], "patches": ["patchify", 0]}}
    graph["unpatchify"] = {"class_type": "SoraUnpatchify", "inputs": {"patches": ["sample", 0]}}
    result = host.run(graph)
    assert [probe(path).width for path in result.files] == [32, 48]
    assert read_video(result.files[1])[0].shape[0] == 2 * 9
    assert "30 tokens in 3 clips" in result.outputs["behind"]["text"][0]
    alone = text_to_video(sample__latent=["other", 0])
    alone["other"] = graph["other"]
    patches = outputs(host, graph, "sample")[0]
    first, second = unpatchify_latents(patches)
    assert torch.allclose(first["samples"], latent_of(host, text_to_video()), atol=1e-4)
    assert torch.allclose(second["samples"], latent_of(host, alone), atol=1e-4)


def test_kept_latents_stay_as_they_are(host, tmp_path):
    sora = engine()
    loaded = sora.load_model(tmp_path / "models" / TINY, "fp32")
    positive, _ = sora.encode_text(loaded.clip, "a cat")
    samples = torch.randn(1, 16, 3, 4, 4)
    mask = torch.ones(1, 1, 3, 4, 4)
    mask[:, :, 0] = 0
    sigmas = sora.make_sigmas(loaded.model, "simple", 3, 1.0, "euler")
    made = sora.sample(
        loaded.model,
        {"samples": samples, "noise_mask": mask, "note": 1},
        positive,
        None,
        sampler=sora.make_sampler("euler", {}),
        sigmas=sigmas,
        seed=0,
        cfg=1.0,
        interval=(0, 1),
    )
    assert torch.equal(made["samples"][:, :, 0], samples[:, :, 0]) and made["note"] == 1
    assert not torch.allclose(made["samples"][:, :, 1], samples[:, :, 1], atol=0.1)


def test_says_which_words_it_does_not_know(host):
    result = host.run(text_to_video(positive__text="a cat and a Zeppelin, (running:1.2)"))
    (told,) = result.outputs["positive"]["text"]
    assert told.splitlines() == [
        "Read as: a cat and an airplane, (running:1.2)",
        "The model cannot draw a zeppelin (drawn as an airplane).",
    ]


def test_nobody_stands_in_for_what_a_negative_prompt_names(host):
    result = host.run(text_to_video(positive__text="a wolf", negative__text="an alligator, a cat"))
    said = " ".join(result.outputs["positive"]["text"] + result.outputs["negative"]["text"])
    assert "a wolf (drawn as a dog)" in said and "an alligator (the nearest that it can: a dinosaur)" in said
    links = {"positive": ["1", 0], "negative": ["2", 0]}
    graph = {"1": {"inputs": None}, "2": {}, "3": {"inputs": links}, "4": {"inputs": {"images": ["1", 1]}}}
    assert [only_negative(graph, node) for node in ("1", "2", "3", None)] == [False, True, False, False]
    graph["4"]["inputs"]["conditioning"] = ["2", 0]
    assert not only_negative(graph, "2") and not only_negative(None, "1")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"empty__width": 100}, ["width is 100", "96 or 112"]),
        ({"empty__seconds": -1}, ["empty", "seconds", "-1"]),
        ({"empty__aspect": "1:2"}, ["aspect", "1:2"]),
        ({"sample__sampler": "eular"}, ["sampler", "eular", "euler"]),
        ({"sample__steps": 0}, ["steps", "0"]),
        ({"sample__cfg": "much"}, ["cfg", "much"]),
        ({"sample__sampler.eta": 1.0}, ["eta"]),
        ({"load__model": "sora-maxi"}, ["model", "sora-maxi", "sora-mini"]),
        ({"positive__text": "  "}, ["sample", "The prompt is empty: say what"]),
        ({"positive__text": "cat " * 1500}, ["positive", "6000", "4000"]),
        ({"save__filename_prefix": "../out"}, ["save", "../out"]),
        ({"decode__latent": ["positive", 0]}, ["decode", "latent", "CONDITIONING"]),
    ],
)
def test_bad_input_is_named(host, tmp_path, change, words):
    with pytest.raises(SoraError) as error:
        host.run(text_to_video(**change))
    message = str(error.value)
    assert all(word in message for word in words), message
    assert message.count("\n") <= 1 and not list(tmp_path.glob("output/**/*.mp4"))


def test_nan_stops_at_the_node_and_step(host, monkeypatch):
    calls = []
    forward = DiT.forward

    def spoiled(self, *args, **kwargs):
        calls.append(1)
        return forward(self, *args, **kwargs) * (float("nan") if len(calls) == 2 else 1)

    monkeypatch.setattr(DiT, "forward", spoiled)
    with pytest.raises(SoraError, match=r"sample.*step 2 of 3"):
        host.run(text_to_video())


def test_previews_move(host):
    seen = []
    host.run(text_to_video(), listener=lambda event, data: seen.append(data) if event == "progress" else None)
    steps = [data for data in seen if data["node"] == "sample"]
    assert [data["value"] for data in steps] == [1, 2, 3]
    preview = steps[-1]["preview"]
    assert preview.frames.shape == (2, 6, 4, 3) and preview.picture(3).size[1] >= 192


def test_encode_crops_to_what_fits(host, tmp_path):
    vae = engine().load_model(tmp_path / "models" / TINY, "fp32").vae
    cut = crop_frames(torch.rand(7, 50, 40, 3))
    assert cut.shape == (5, 48, 32, 3)
    latent = engine().encode(vae, cut)
    assert latent["samples"].shape == (1, 16, 2, 6, 4)
    assert engine().decode(vae, latent).shape == (5, 48, 32, 3)
    with pytest.raises(SoraError, match="7"):
        engine().encode(vae, torch.rand(7, 48, 32, 3))


class Short:
    """A VAE on a machine that has memory for `limit` latents side by side."""

    def __init__(self, vae, limit: int):
        self.vae, self.limit, self.widest = vae, limit, 0

    def __getattr__(self, name):
        return getattr(self.vae, name)

    def stream_decode(self, latent, chunk):
        if latent.shape[-1] * latent.shape[-2] > self.limit:
            raise torch.OutOfMemoryError("out of memory")
        self.widest = max(self.widest, latent.shape[-1] * latent.shape[-2])
        return self.vae.stream_decode(latent, chunk)


def test_decode_goes_on_in_tiles_when_memory_is_short(host, tmp_path):
    vae = engine().load_model(tmp_path / "models" / TINY, "fp32").vae.vae
    latent = torch.randn(1, 16, 5, 30, 26)
    short = Short(vae, 600)
    assert torch.allclose(decode(short, latent), decode(vae, latent), atol=1e-5)
    assert 0 < short.widest <= 600
    with pytest.raises(SoraError, match="Not enough memory"):
        decode(Short(vae, 10), latent)
    with pytest.raises(SoraError, match="NaN"):
        decode(vae, latent * float("nan"))
    with pytest.raises(SoraError, match="4 channels.*16"):
        decode(vae, torch.zeros(1, 4, 1, 8, 8))
