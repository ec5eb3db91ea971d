"""Sora Experts in a graph of the embedded host: sora-mini, and sora-mini with a LoRA, one after the other."""

from __future__ import annotations

import pytest
import torch
from nodes_support import make_host

from sora_core.host.run.cache import signatures

STEPS, CFG, SEED, BOUNDARY = 5, 3.0, 3, 0.8


@pytest.fixture(scope="module")
def latents(tmp_path_factory):
    """The latent of a node of `graph(sampler)`, by name."""
    folder = tmp_path_factory.mktemp("host")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        host = make_host(folder)

        def run(sampler: str, name: str) -> torch.Tensor:
            nodes = {**graph(sampler), "look": node("PreviewAny", source=[name, 0])}
            host.run(nodes)
            plan = host.plan(host.load(nodes))
            with host.active():
                return host.executor.cache.get(signatures(plan)[name]).outputs[0][0]["samples"]

        yield run


def node(kind: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs}


EDGE = 3  # sigmas of sora-mini: 1, 0.95, 0.88, then 0.77


def graph(sampler: str) -> dict:
    """Both experts in core's pair of KSamplerAdvanced, in two Sora Samplers, and as one model in three samplers."""
    size = {"seconds": 0.7, "fps": 8.0, "width": 64, "height": 64, "aspect": "as set", "batch_size": 1}
    model = {"model": "sora-mini", "precision": "fp32"}
    return {
        "high": node("SoraLoadModel", **model),
        "low": node("SoraLoadModel", **model, lora="sora-mini-4step", lora_strength=1.0),
        "positive": node("SoraTextEncode", clip=["high", 1], text="a cat moving right on a beach"),
        "negative": node("SoraTextEncode", clip=["high", 1], text=""),
        "empty": node("SoraEmptyLatent", **size),
        "experts": node("SoraExperts", high_noise=["high", 0], low_noise=["low", 0], boundary=BOUNDARY),
        "sigmas": node("BasicScheduler", model=["high", 0], scheduler="simple", steps=STEPS, denoise=1.0),
        "split": node("SplitSigmas", sigmas=["sigmas", 0], step=EDGE),
        "noise": node("RandomNoise", noise_seed=SEED),
        "none": node("DisableNoise"),
        **core_samplers(sampler),
        **our_samplers(sampler),
    }


def core_samplers(sampler: str) -> dict:
    prompts = {"positive": ["positive", 0], "negative": ["negative", 0]}
    common = {"steps": STEPS, "cfg": CFG, "sampler_name": sampler, "scheduler": "simple", **prompts}

    def half(model: str, latent: str, start: int, end: int, first: bool) -> dict:
        yes = "enable" if first else "disable"
        settings = {"add_noise": yes, "noise_seed": SEED, "start_at_step": start, "end_at_step": end}
        settings["return_with_leftover_noise"] = yes
        return node("KSamplerAdvanced", model=[model, 0], latent_image=[latent, 0], **settings, **common)

    one = {"model": ["experts", 0], "seed": SEED, "denoise": 1.0, "latent_image": ["empty", 0]}
    return {
        "first half": half("high", "empty", 0, EDGE, True),
        "pair": half("low", "first half", EDGE, 10000, False),
        "core's": node("KSampler", **one, **common),
    }


def our_samplers(sampler: str) -> dict:
    def ours(model: str, latent: str = "empty", **changes) -> dict:
        settings = {"seed": SEED, "steps": STEPS, "cfg": CFG, "scheduler": "simple", "denoise": 1.0}
        settings |= {"guidance_start": 0.0, "guidance_end": 1.0, "sampler": sampler, **changes}
        prompts = {"positive": ["positive", 0], "negative": ["negative", 0]}
        return node("SoraSampler", model=[model, 0], latent=[latent, 0], **prompts, **settings)

    rest = {"custom_sigmas": ["split", 1], "noise": ["none", 0], "seed": 99}
    return {
        "our first": ours("high", custom_sigmas=["split", 0], noise=["noise", 0], seed=99),
        "our pair": ours("low", "our first", **rest),
        "ours": ours("experts"),
        "ours, split": ours("experts", "our first", **rest),
        "high alone": ours("high"),
        "low alone": ours("low"),
    }


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_two_samplers_and_one_model_equal_cores_pair(latents, sampler):
    expected = latents(sampler, "pair")
    for name in ("our pair", "core's", "ours", "ours, split"):
        assert (latents(sampler, name) - expected).abs().max() <= 1e-4, name
    for name in ("high alone", "low alone"):
        assert (latents(sampler, name) - expected).abs().max() > 0.05, name
