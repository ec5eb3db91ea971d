"""Python, `sora generate` and `sora run` are three ways to make one video: their latents are equal bit by bit."""

from __future__ import annotations

import pytest
import torch
from marks import with_slow
from nodes_support import text_to_video
from parity_support import HOW, PROMPT, SIZE, same

from sora_core.diffusion.samplers import SAMPLERS
from sora_core.diffusion.schedules import SCHEDULERS
from sora_core.loading.lora import Change, save_lora

# Samplers that KSampler gives a schedule of their own, and one of the others.
QUICK = ("euler", "dpm_2", "uni_pc")


def graph(ways, **changes) -> torch.Tensor:
    """The latent that `sora run` samples in the text-to-video graph with `changes`."""
    return ways.run(text_to_video(**changes))[0]


@pytest.mark.parametrize("sampler", with_slow(SAMPLERS, [name for name in SAMPLERS if name not in QUICK]))
def test_every_sampler(ways, sampler):
    made = ways.pipe.generate(PROMPT, sampler=sampler, **SIZE, **HOW)
    command, _ = ways.command("--sampler", sampler, "--cfg", "3")
    assert same(made.latent, graph(ways, sample__sampler=sampler), command)


@pytest.mark.parametrize("scheduler", with_slow(SCHEDULERS, [name for name in SCHEDULERS if name != "beta"]))
@pytest.mark.parametrize("sampler", ["euler", "dpm_2"])
def test_every_scheduler(ways, scheduler, sampler):
    made = ways.pipe.generate(PROMPT, sampler=sampler, scheduler=scheduler, **SIZE, **HOW)
    command, _ = ways.command("--sampler", sampler, "--scheduler", scheduler, "--cfg", "3")
    assert same(made.latent, graph(ways, sample__scheduler=scheduler, sample__sampler=sampler), command)


@pytest.mark.parametrize("prompt", ["a (red cat:1.5) on a beach", "((a dog)) runs [left]", r"a \(cat\) in a forest"])
def test_weights_in_a_prompt(ways, prompt):
    made = ways.pipe.generate(prompt, **SIZE, **HOW)
    command, said = ways.command("--cfg", "3", prompt=prompt)
    assert same(made.latent, graph(ways, positive__text=prompt), command)
    # A weight is no word, and it changes what is made.
    assert not made.notes and "does not know" not in said
    plain = ways.pipe.generate(prompt.replace(":1.5", "").translate(str.maketrans("", "", "()[]\\")), **SIZE, **HOW)
    assert same(plain.latent, made.latent) == ("\\" in prompt)


def test_a_negative_prompt(ways):
    made = ways.pipe.generate(PROMPT, negative="a (dog:1.2)", **SIZE, **HOW)
    command, _ = ways.command("--negative", "a (dog:1.2)", "--cfg", "3")
    assert same(made.latent, graph(ways, negative__text="a (dog:1.2)"), command)
    assert not same(made.latent, graph(ways, negative__text="a dog"))


def test_without_guidance(ways):
    made = ways.pipe.generate(PROMPT, **SIZE, **HOW | {"cfg": 1.0})
    command, _ = ways.command("--cfg", "1")
    assert same(made.latent, graph(ways, sample__cfg=1.0), command)


def test_a_lora(ways):
    shape = ways.pipe.bundle.dit.blocks[0].self_attn.q.weight.shape
    torch.manual_seed(0)
    change = Change(torch.randn(shape[0], 2) * 0.1, torch.randn(2, shape[1]) * 0.1)
    file = ways.folder / "models" / "loras" / "odd.safetensors"
    file.parent.mkdir(exist_ok=True)
    save_lora(file, {"diffusion_model.blocks.0.self_attn.q": change})
    changed = ways.pipe.with_lora(file, 0.8)
    made = changed.generate(PROMPT, **SIZE, **HOW)
    command, _ = ways.command("--lora", f"{file}:0.8", "--cfg", "3")
    assert same(made.latent, graph(ways, load__lora="odd.safetensors", load__lora_strength=0.8), command)
    assert not same(made.latent, graph(ways))
    assert [model.file for model in made.history.models] == [ways.model, file]


def test_guidance_in_a_part_of_the_run(ways):
    made = ways.pipe.generate(PROMPT, interval=(0.3, 0.8), **SIZE, **HOW)
    run = graph(ways, sample__guidance_start=0.3, sample__guidance_end=0.8)
    assert same(made.latent, run) and not same(made.latent, graph(ways))


def test_options_of_a_sampler(ways):
    made = ways.pipe.generate(PROMPT, sampler="euler_ancestral", options={"eta": 0.3}, **SIZE, **HOW)
    run = graph(ways, **{"sample__sampler": "euler_ancestral", "sample__sampler.eta": 0.3})
    assert same(made.latent, run) and not same(made.latent, graph(ways, sample__sampler="euler_ancestral"))


def test_the_shift_of_the_schedule(ways):
    made = ways.pipe.generate(PROMPT, shift=5.0, **SIZE, **HOW)
    shifted = text_to_video(sample__model=["shift", 0])
    shifted["shift"] = {"class_type": "ModelSamplingSD3", "inputs": {"model": ["load", 0], "shift": 5.0}}
    command, _ = ways.command("--shift", "5", "--cfg", "3")
    assert same(made.latent, ways.run(shifted)[0], command) and not same(made.latent, graph(ways))


def test_core_sampler_is_the_same_engine(ways):
    made = ways.pipe.generate(PROMPT, sampler="dpm_2", **SIZE, **HOW)
    core = text_to_video()
    inputs = core["sample"]["inputs"]
    core["sample"] = {
        "class_type": "KSampler",
        "inputs": {
            **{name: inputs[name] for name in ("model", "positive", "negative", "seed", "steps", "cfg", "scheduler")},
            "sampler_name": "dpm_2",
            "latent_image": ["empty", 0],
            "denoise": 1.0,
        },
    }
    assert same(made.latent, ways.run(core)[0])
