"""Our own engine: wrappers of the model call, decoding in pieces, and progress in parts."""

from __future__ import annotations

import pytest
import torch
from nodes_support import TINY, save_tiny

from sora_core.diffusion import experts
from sora_core.errors import SoraError
from sora_core.host.core_nodes.guiding import SeededNoise
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


SEED, STEPS, BOUNDARY = 4, 5, 0.8


@pytest.fixture(scope="module")
def pair(loaded, tmp_path_factory):
    """The tiny model, and another in place of a LoRA of it."""
    other = OwnEngine().load_model(save_tiny(tmp_path_factory.mktemp("model") / TINY), "fp32").model
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in other.dit.blocks.parameters():
            weight += 0.05 * torch.randn(weight.shape, generator=generator)
    return loaded.model, other


class Run:
    """Settings of a run over both experts, with a mask or without."""

    def __init__(self, loaded, sampler="heun", masked=False):
        self.engine, self.prompts = OwnEngine(), encode_prompts(OwnEngine(), loaded.clip, "a cat")
        self.how = Sampling(SEED, STEPS, 2.0, sampler)
        self.sigmas = self.engine.make_sigmas(loaded.model, "simple", STEPS, 1.0, sampler)
        self.latent = {"samples": torch.randn(1, 16, 2, 4, 4, generator=torch.Generator().manual_seed(2))}
        if masked:
            # Half of the first latent, which cuts through a token.
            mask = torch.ones(1, 1, 2, 4, 4)
            mask[:, :, 0, :3] = 0
            self.latent["noise_mask"] = mask

    def __call__(self, model, latent=None, **settings):
        latent, (yes, no) = latent or self.latent, (self.prompts.positive, self.prompts.negative)
        return sample_latent(self.engine, model, latent, yes, no, self.how, **{"sigmas": self.sigmas, **settings})

    def halves(self, high, low):
        """Two runs in a row, with core's NOISE."""
        edge = next(i for i, s in enumerate(self.sigmas.tolist()) if s < BOUNDARY)
        half = self(high, sigmas=self.sigmas[: edge + 1], noise=SeededNoise(SEED))
        return self(low, half, sigmas=self.sigmas[edge:], noise=SeededNoise(adds=False))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("sampler", ["euler", "heun", "dpm_2"])
def test_two_experts_in_one_model_equal_two_runs(loaded, pair, sampler, masked):
    run = Run(loaded, sampler, masked)
    joined = run.engine.join_experts(*pair, BOUNDARY)
    made, halves = run(joined)["samples"], run.halves(*pair)
    assert torch.allclose(made, halves["samples"], atol=1e-4) and set(halves) == set(run(joined))
    # Each of them makes something else; and a model that was joined is as it was.
    assert min((run(model)["samples"] - made).abs().max() for model in pair) > 1e-2
    assert pair[0].low_noise is None and torch.equal(run(joined.with_shift(joined.shift))["samples"], made)


def test_a_run_in_halves_is_the_same_run_for_one_model(loaded):
    for masked in (False, True):
        run = Run(loaded, "heun", masked)
        assert torch.allclose(
            run.halves(loaded.model, loaded.model)["samples"], run(loaded.model)["samples"], atol=1e-4
        )
        noise = SeededNoise(SEED)
        assert torch.equal(run(loaded.model, noise=noise)["samples"], run(loaded.model)["samples"])


def test_a_sampler_that_looks_back_does_so_across_the_boundary(loaded):
    run = Run(loaded, "dpmpp_2m")
    same = run.engine.join_experts(loaded.model, loaded.model, BOUNDARY)
    assert torch.equal(run(same)["samples"], run(loaded.model)["samples"])


def test_only_the_expert_whose_turn_it_is_stays_on_the_device(loaded, pair, monkeypatch):
    moves = []
    monkeypatch.setattr(experts, "offload", lambda network: moves.append(("off", network)))
    monkeypatch.setattr(experts, "place", lambda network, device=None: moves.append(("on", network)))
    high, low = (model.dit for model in pair)
    run = Run(loaded, "euler")
    run(run.engine.join_experts(*pair, BOUNDARY))
    calls = list(zip(moves[::2], moves[1::2], strict=True))
    high_turn, low_turn = (("off", low), ("on", high)), (("off", high), ("on", low))
    steps = sum(s >= BOUNDARY for s in run.sigmas.tolist())
    assert calls == [high_turn] * steps + [low_turn] * (STEPS - steps) and 0 < steps < STEPS


def test_both_experts_and_their_boundary_are_in_a_fingerprint(loaded, pair):
    engine, (high, low) = OwnEngine(), pair
    models = [high, low, *(engine.join_experts(high, other, at) for other, at in ((low, 0.5), (low, 0.6), (high, 0.5)))]
    assert len({engine.fingerprint(model) for model in models}) == len(models)


def test_experts_that_cannot_be_joined(loaded, pair):
    engine = OwnEngine()
    with pytest.raises(SoraError, match="boundary is 0, the model's own, and none is known of tiny"):
        engine.join_experts(*pair)
    with pytest.raises(SoraError, match="boundary is 2. Use a number from 0 to 1"):
        engine.join_experts(*pair, 2)
    with pytest.raises(SoraError, match="low_noise: tiny is two experts already"):
        engine.join_experts(pair[0], engine.join_experts(*pair, BOUNDARY), BOUNDARY)
    narrow = pair[1].clone()
    narrow.text_dim = 8
    with pytest.raises(SoraError, match=r"high_noise is tiny, low_noise is tiny: they read .* \(32 and 8\)"):
        engine.join_experts(pair[0], narrow, BOUNDARY)


def test_noise_of_another_shape_is_refused(loaded):
    class Wide(SeededNoise):
        def generate_noise(self, latent):
            return super().generate_noise(latent).repeat(1, 1, 2, 1, 1)

    with pytest.raises(SoraError, match=r"The noise is \(1, 16, 4, 4, 4\), the latent \(1, 16, 2, 4, 4\)"):
        Run(loaded)(loaded.model, noise=Wide(SEED))
