"""Two experts in one MODEL of ComfyUI's, on the stand-in; tests/benchmarks/comfyui_experts.py runs the real one."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
from comfy_sampling_standin import LOADED

from sora_core.errors import SoraError
from sora_core.loading import checkpoint
from sora_core.pipeline.make import Sampling, encode_prompts, sample_latent

SEED, STEPS, BOUNDARY = 5, 5, 0.8


class DrawnNoise(SimpleNamespace):
    """What core's RandomNoise and DisableNoise give."""

    def generate_noise(self, latent):
        drawn = torch.randn(latent["samples"].shape, generator=torch.Generator().manual_seed(self.seed))
        return drawn * self.adds


@pytest.fixture()
def both(hosts, tmp_path):
    """(ComfyUI's engine, the standalone one, the files of two experts)"""
    native, standalone, path = hosts
    parts, info = checkpoint.load_parts(path)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in parts["dit"].blocks.parameters():
            weight += 0.05 * torch.randn(weight.shape, generator=generator)
    other = tmp_path / "other.safetensors"
    checkpoint.save(other, parts, info, dtype=torch.float32)
    LOADED.clear()
    return native, standalone, (path, other)


class Run:
    """The two experts on one host."""

    def __init__(self, engine, files, sampler="heun", masked=False):
        self.engine, loaded = engine, [engine.load_model(file, "fp32") for file in files]
        self.high, self.low = (one.model for one in loaded)
        self.prompts = encode_prompts(engine, loaded[0].clip, "a cat")
        self.how = Sampling(SEED, STEPS, 2.0, sampler)
        self.sigmas = engine.make_sigmas(self.high, "simple", STEPS, 1.0)
        self.latent = {"samples": torch.randn(1, 16, 2, 4, 4, generator=torch.Generator().manual_seed(2))}
        if masked:
            self.latent["noise_mask"] = torch.ones(1, 1, 2, 4, 4)
            self.latent["noise_mask"][:, :, 0, :3] = 0

    def join(self):
        return self.engine.join_experts(self.high, self.low, BOUNDARY)

    def __call__(self, model, latent=None, **settings):
        latent, (yes, no) = latent or self.latent, (self.prompts.positive, self.prompts.negative)
        made = sample_latent(self.engine, model, latent, yes, no, self.how, **{"sigmas": self.sigmas, **settings})
        return made if settings else made["samples"]

    def halves(self):
        edge = next(i for i, s in enumerate(self.sigmas.tolist()) if s < BOUNDARY)
        half = self(self.high, sigmas=self.sigmas[: edge + 1], noise=DrawnNoise(seed=SEED, adds=1))
        rest = {"sigmas": self.sigmas[edge:], "noise": DrawnNoise(seed=0, adds=0)}
        return self(self.low, half, **rest)["samples"]


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("sampler", ["euler", "heun", "dpm_2"])
def test_both_hosts_join_alike_and_as_two_runs(both, sampler, masked):
    native, standalone, files = both
    theirs, ours = Run(native, files, sampler, masked), Run(standalone, files, sampler, masked)
    made = theirs(theirs.join())
    assert torch.allclose(made, ours(ours.join()), atol=1e-5)
    assert torch.allclose(made, theirs.halves(), atol=1e-4)
    assert min((theirs(model) - made).abs().max() for model in (theirs.high, theirs.low)) > 1e-2


def counting(model, asked, whose, networks):
    """A clone with a wrapper of each kind that notes who is at work when it is asked."""
    model = model.clone()

    def wrapper(kind, network_of):
        def count(executor, *args, **settings):
            asked.add((kind, whose, networks[network_of(executor)]))
            return executor(*args, **settings)

        return {whose: [count]}

    kinds = {
        "outer_sample": lambda executor: executor.class_obj.model_patcher.model.diffusion_model,
        "predict_noise": lambda executor: executor.class_obj.inner_model.diffusion_model,
        "diffusion_model": lambda executor: executor.class_obj,
    }
    wrappers = model.model_options["transformer_options"].setdefault("wrappers", {})
    for kind, network_of in kinds.items():
        wrappers[kind] = {**wrappers.get(kind, {}), **wrapper(kind, network_of)}
    return model


def test_each_expert_has_patches_of_its_own_and_what_is_put_on_both_later(both):
    run, asked = Run(both[0], both[2]), set()
    networks = {run.high.model.diffusion_model: "high", run.low.model.diffusion_model: "low"}
    run.high, run.low = (counting(m, asked, networks[m.model.diffusion_model], networks) for m in (run.high, run.low))
    run(counting(run.join(), asked, "later", networks))
    expected = {("high", "high"), ("low", "low"), ("later", "high"), ("later", "low")}
    assert asked == {(kind, *who) for kind in ("outer_sample", "predict_noise", "diffusion_model") for who in expected}


def test_one_expert_at_a_time_is_on_the_device(both):
    run, seen = Run(both[0], both[2], "euler"), []
    for model in (run.high.model, run.low.model):
        model.diffusion_model.register_forward_pre_hook(
            lambda network, _: seen.append([loaded.model.model.diffusion_model is network for loaded in LOADED])
        )
    joined = run.join()
    for _ in range(2):
        run(joined)
    edge = next(i for i, s in enumerate(run.sigmas.tolist()) if s < BOUNDARY)
    for part in (run.sigmas[edge:], run.sigmas[: edge + 1]):
        run(joined, sigmas=part)
    assert seen and all(on == [True] for on in seen)


def test_what_was_put_on_is_told_from_what_is_its_own(both):
    from sora_core.host.comfy.experts import exchange

    a, b, c = object(), object(), object()
    high = {"patches": {"attn": [a]}, "scale": a, "gone": b}
    low = {"patches": {"attn": [b], "ff": [b]}, "own": b}
    joined = {"patches": {"attn": [a, c]}, "scale": c, "gone": b, "new": [c]}
    assert exchange(joined, high, low) == {"patches": {"attn": [b, c], "ff": [b]}, "scale": c, "own": b, "new": [c]}
    assert exchange(high, high, low) == low


def test_experts_that_cannot_be_joined(both, monkeypatch):
    native, _, files = both
    run = Run(native, files)
    with pytest.raises(SoraError, match="boundary is 0, the model's own, and none is known of tiny"):
        native.join_experts(run.high, run.low)
    with pytest.raises(SoraError, match="low_noise: tiny is two experts already"):
        native.join_experts(run.high, run.join(), BOUNDARY)
    still = run.low.clone()
    still.object_patches["latent_format"] = SimpleNamespace(latent_dimensions=2)
    with pytest.raises(SoraError, match="low_noise: tiny is not a video model"):
        native.join_experts(run.high, still, BOUNDARY)
    monkeypatch.delattr(sys.modules["comfy.patcher_extension"].WrappersMP, "PREDICT_NOISE")
    with pytest.raises(SoraError, match="This ComfyUI cannot change models within a run. Update it"):
        run.join()


def test_experts_that_are_told_of_an_edit_in_different_ways_are_refused(both, monkeypatch):
    """The low-noise expert would be given no picture, and nobody would notice."""
    from sora_core.host.comfy import experts
    from sora_core.tasks.families import ModelKind

    native, _, files = both
    run = Run(native, files)
    space = native.latent_space(model=run.high)

    def joined(high, low):
        kinds = {id(run.high): ModelKind(high, space, 20), id(run.low): ModelKind(low, space, 20)}
        monkeypatch.setattr(experts, "model_kind", lambda model: kinds[id(model)])
        return run.join()

    for high, low in (("WAN21", "WAN21_T2V"), ("WAN21_T2V", "WAN21"), ("WAN21_T2V", "WAN21_Vace")):
        with pytest.raises(SoraError, match="told of an edit in different ways .*noise mask"):
            joined(high, low)
    assert joined("WAN21_Vace", "WAN21_T2V") and joined("WAN21", "WAN21")


def test_a_run_does_not_change_what_the_experts_are_called(both):
    native, _, files = both
    run = Run(native, files)
    joined = run.join()
    before = native.fingerprint(joined)
    run(joined)
    for model in (run.high, run.low):
        model.size = 1  # as ComfyUI notes it where it loads one
    assert native.fingerprint(joined) == before
    lora = run.low.clone()
    lora.patches = {"diffusion_model.head.head.weight": [(0.5, ("diff", (torch.ones(2),)), 1.0, None, None)]}
    assert native.fingerprint(native.join_experts(run.high, lora, BOUNDARY)) != before
    assert native.fingerprint(native.join_experts(run.high, run.high, BOUNDARY)) != before


def test_noise_of_another_shape_is_refused(both):
    run = Run(both[0], both[2])
    noise = DrawnNoise(seed=1, adds=torch.ones(2, 1, 1, 1, 1))
    with pytest.raises(SoraError, match=r"The noise is \(2, 16, 2, 4, 4\), the latent \(1, 16, 2, 4, 4\)"):
        run(run.high, noise=noise)
