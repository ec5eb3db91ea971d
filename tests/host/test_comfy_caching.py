"""Sora Step Cache on MODELs of ComfyUI's, on the stand-in."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch
from comfy_support import both_hosts

from sora_core.errors import SoraError
from sora_core.pipeline.make import Sampling, encode_prompts, sample_latent

STEPS = 12


@pytest.fixture()
def hosts(tmp_path, monkeypatch):
    with both_hosts(tmp_path, monkeypatch) as found:
        yield found


def counting(model):
    """A clone that counts the calls of its network, and what counts."""
    model, calls = model.clone(), []

    def count(executor, *args, **settings):
        calls.append(1)
        return executor(*args, **settings)

    wrappers = model.model_options.setdefault("transformer_options", {}).setdefault("wrappers", {})
    wrappers["diffusion_model"] = {**wrappers.get("diffusion_model", {}), "count": [count]}
    return model, calls


def sampled(engine, path, cache=0.0, gate=0.0, mask=None, sampler="euler"):
    loaded = engine.load_model(path, "fp32")
    model, calls = counting(loaded.model) if hasattr(loaded.model, "model_options") else (loaded.model, [])
    model = engine.with_caching(model, cache, gate)
    prompts = encode_prompts(engine, loaded.clip, "a cat")
    latent = {"samples": torch.randn(1, 16, 2, 4, 4, generator=torch.Generator().manual_seed(2))}
    if mask is not None:
        latent["noise_mask"] = mask
    how = Sampling(3, STEPS, 3.0, sampler)
    made = sample_latent(engine, model, latent, prompts.positive, prompts.negative, how)
    return made["samples"], len(calls)


@pytest.mark.parametrize(("cache", "gate"), [(0.5, 0.0), (0.0, 0.5), (0.5, 0.5)])
def test_both_hosts_leave_the_same_calls_out(hosts, cache, gate):
    native, standalone, path = hosts
    mask = torch.ones(1, 1, 2, 4, 4)
    mask[:, :, 0] = 0
    plain, every = sampled(native, path, mask=mask)
    made, calls = sampled(native, path, cache, gate, mask)
    assert every == 2 * STEPS and calls < 0.8 * every
    assert not torch.equal(made, plain) and torch.equal(made[:, :, 0], plain[:, :, 0])
    ours, _ = sampled(standalone, path, cache, gate, mask)
    torch.testing.assert_close(made, ours, atol=1e-4, rtol=1e-4)


def test_a_run_begins_with_nothing_and_leaves_nothing(hosts):
    native, _, path = hosts
    assert torch.equal(sampled(native, path, 0.5)[0], sampled(native, path, 0.5)[0])
    model = native.with_caching(native.load_model(path, "fp32").model, 0.5)
    assert "sora_caches" not in {k for k in model.model_options["transformer_options"] if k != "wrappers"}
    off = native.with_caching(model, 0.0)
    wrappers = off.model_options["transformer_options"]["wrappers"]
    assert not any("sora_caches" in some for some in wrappers.values())


def test_what_cannot_be_patched_is_refused_in_a_line(hosts, monkeypatch):
    native, _, path = hosts
    model = native.load_model(path, "fp32").model
    with pytest.raises(SoraError, match=r"cache is 2.*Use 0"):
        native.with_caching(model, 2.0)
    real = type(model).get_model_object
    other = lambda self, name: SimpleNamespace() if name == "model_sampling" else real(self, name)
    monkeypatch.setattr(type(model), "get_model_object", other)
    with pytest.raises(SoraError, match="no rectified flow"):
        native.with_caching(model, 0.5)
    monkeypatch.undo()


def test_an_older_comfyui_is_told_to_update(hosts, monkeypatch):
    native, _, path = hosts
    kinds = sys.modules["comfy.patcher_extension"].WrappersMP
    monkeypatch.delattr(kinds, "CALC_COND_BATCH")
    with pytest.raises(SoraError, match="Update it"):
        native.with_caching(native.load_model(path, "fp32").model, 0.5)
