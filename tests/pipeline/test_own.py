"""Our own engine: wrappers of the model call, decoding in pieces, and progress in parts."""

from __future__ import annotations

import pytest
import torch
from nodes_support import TINY, save_tiny

from sora_core.latents import streaming
from sora_core.latents.streaming import decode_with_history
from sora_core.pipeline import own, progress
from sora_core.pipeline.make import Sampling, encode_prompts, sample_latent
from sora_core.pipeline.own import OwnEngine


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return OwnEngine().load_model(save_tiny(tmp_path_factory.mktemp("model") / TINY), "fp32")


def test_wrappers_of_an_engine_see_every_call(loaded):
    calls = []

    def counting(velocity):
        def count(x, sigma, prompts):
            calls.append(len(prompts))
            return velocity(x, sigma, prompts)

        return count

    plain, counted = OwnEngine(), OwnEngine([counting])
    prompts = encode_prompts(plain, loaded.clip, "a cat")
    how = Sampling(seed=1, steps=3, cfg=2.0)
    latent = {"samples": plain.latent_space(model=loaded.model).empty(2, 32, 32)}
    made = [
        sample_latent(engine, loaded.model, latent, prompts.positive, prompts.negative, how)["samples"]
        for engine in (plain, counted)
    ]
    assert torch.equal(*made) and calls == [2, 2, 2]


def pieces(*sizes):
    whole = torch.randn(1, 16, sum(sizes), 4, 4, generator=torch.Generator().manual_seed(0))
    return whole, whole.split(sizes, 2)


@pytest.mark.parametrize("sizes", [(9,), (1, 2, 6), (5, 4)])
def test_pieces_decode_as_the_whole(loaded, sizes):
    whole, parts = pieces(*sizes)
    expected = OwnEngine().decode(loaded.vae, {"samples": whole})
    made = torch.cat(list(OwnEngine().decode_pieces(loaded.vae, parts)))
    assert made.shape == expected.shape and torch.allclose(made, expected, atol=1e-5)


def test_decoding_goes_on_in_tiles_where_memory_runs_out(loaded, monkeypatch):
    whole, parts = pieces(3, 3, 3)
    expected = OwnEngine().decode(loaded.vae, {"samples": whole})
    real, calls = loaded.vae.vae.stream_decode, []

    def short_of_memory(latent, *args, cache=None, **options):
        calls.append(cache is not None)
        if cache is not None and len(calls) > 1:
            raise MemoryError
        return real(latent, *args, cache=cache, **options)

    monkeypatch.setattr(loaded.vae.vae, "stream_decode", short_of_memory)
    made = torch.cat(list(OwnEngine().decode_pieces(loaded.vae, parts)))
    assert calls[:3] == [True, True, False]  # streamed, failed, and then behind its history
    assert torch.allclose(made, expected, atol=1e-5)


def test_any_causal_vae_decodes_in_pieces_behind_its_history(loaded):
    whole, parts = pieces(7, 20)
    expected = OwnEngine().decode(loaded.vae, {"samples": whole})
    lengths = []

    def decode(latent):
        lengths.append(latent.shape[2])
        return OwnEngine().decode(loaded.vae, {"samples": latent})

    made = torch.cat(list(decode_with_history(decode, parts)))
    assert torch.allclose(made, expected, atol=1e-5)
    assert max(lengths) <= streaming.REMEMBERED + 12  # what is decoded at once does not grow


def test_previews_are_made_for_those_who_look_at_them(loaded, monkeypatch):
    made = []
    real = own.latent_preview
    monkeypatch.setattr(own, "latent_preview", lambda *given: made.append(real(*given)) or made[-1])
    engine = OwnEngine()
    prompts = encode_prompts(engine, loaded.clip, "a cat")
    latent = {"samples": engine.latent_space(model=loaded.model).empty(2, 32, 32)}
    seen = []

    def run():
        sample_latent(engine, loaded.model, latent, prompts.positive, prompts.negative, Sampling(seed=1, steps=3))

    run()
    with progress.listening(lambda done, total: None):
        run()
    assert not made
    with progress.running(progress.Running(lambda done, total, preview: seen.append(preview), lambda: False)):
        run()
    assert len(made) == 3 and seen == made


def test_parts_of_a_nodes_work_count_as_one(loaded):
    told = []
    listener = progress.Running(lambda done, total, preview: told.append((done, total)), lambda: False)
    with progress.running(listener):
        for index in range(2):
            with progress.part(index, 2), OwnEngine().wait(3) as report:
                report(3)
        with OwnEngine().wait(3) as report:
            report(1)
    assert told == [(3, 6), (6, 6), (1, 3)]
