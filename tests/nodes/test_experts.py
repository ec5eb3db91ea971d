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


def graph(sampler: str) -> dict:
    """Both experts in core's pair of KSamplerAdvanced, in two Sora Samplers, and as one model in three samplers."""
    prompts = {"positive": ["positive", 0], "negative": ["negative", 0]}
    core = {"steps": STEPS, "cfg": CFG, "sampler_name": sampler, "scheduler": "simple", **prompts}
    ours = {"seed": 99, "steps": STEPS, "cfg": CFG, "scheduler": "simple", "denoise": 1.0, "sampler": sampler}
    ours |= {"guidance_start": 0.0, "guidance_end": 1.0, **prompts}
    edge = 3  # sigmas of sora-mini: 1, 0.95, 0.88, then 0.77
    size = {"seconds": 0.7, "fps": 8.0, "width": 64, "height": 64, "aspect": "as set", "batch_size": 1}
    return {
        "high": node("SoraLoadModel", model="sora-mini", precision="fp32"),
        "low": node("SoraLoadModel", model="sora-mini", precision="fp32", lora="sora-mini-4step", lora_strength=1.0),
        "positive": node("SoraTextEncode", clip=["high", 1], text="a cat moving right on a beach"),
        "negative": node("SoraTextEncode", clip=["high", 1], text=""),
        "empty": node("SoraEmptyLatent", **size),
        "experts": node("SoraExperts", high_noise=["high", 0], low_noise=["low", 0], boundary=BOUNDARY),
        "sigmas": node("BasicScheduler", model=["high", 0], scheduler="simple", steps=STEPS, denoise=1.0),
        "split": node("SplitSigmas", sigmas=["sigmas", 0], step=edge),
        "noise": node("RandomNoise", noise_seed=SEED),
        "none": node("DisableNoise"),
        "first half": node(
            "KSamplerAdvanced",
            model=["high", 0],
            add_noise="enable",
            noise_seed=SEED,
            latent_image=["empty", 0],
            start_at_step=0,
            end_at_step=edge,
            return_with_leftover_noise="enable",
            **core,
        ),
        "pair": node(
            "KSamplerAdvanced",
            model=["low", 0],
            add_noise="disable",
            noise_seed=SEED,
            latent_image=["first half", 0],
            start_at_step=edge,
            end_at_step=10000,
            return_with_leftover_noise="disable",
            **core,
        ),
        "our first": node(
            "SoraSampler",
            model=["high", 0],
            latent=["empty", 0],
            custom_sigmas=["split", 0],
            noise=["noise", 0],
            **ours,
        ),
        "our pair": node(
            "SoraSampler",
            model=["low", 0],
            latent=["our first", 0],
            custom_sigmas=["split", 1],
            noise=["none", 0],
            **ours,
        ),
        "core's": node("KSampler", model=["experts", 0], seed=SEED, latent_image=["empty", 0], denoise=1.0, **core),
        "ours": node("SoraSampler", model=["experts", 0], latent=["empty", 0], **{**ours, "seed": SEED}),
        "ours, split": node(
            "SoraSampler",
            model=["experts", 0],
            latent=["our first", 0],
            custom_sigmas=["split", 1],
            noise=["none", 0],
            **ours,
        ),
        "high alone": node("SoraSampler", model=["high", 0], latent=["empty", 0], **{**ours, "seed": SEED}),
        "low alone": node("SoraSampler", model=["low", 0], latent=["empty", 0], **{**ours, "seed": SEED}),
    }


@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_two_samplers_and_one_model_equal_cores_pair(latents, sampler):
    expected = latents(sampler, "pair")
    for name in ("our pair", "core's", "ours", "ours, split"):
        assert (latents(sampler, name) - expected).abs().max() <= 1e-4, name
    for name in ("high alone", "low alone"):
        assert (latents(sampler, name) - expected).abs().max() > 0.05, name
