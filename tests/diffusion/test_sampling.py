"""The sampling entry: masks and seeds through every sampler, partial runs, refusals, and the real DiT."""

import math

import pytest
import torch
from tiny_flow import CHANNELS, WIDTH, TinyFlow, conditioning, latent

from sora_core.diffusion.denoiser import make_denoiser
from sora_core.diffusion.samplers import SAMPLERS
from sora_core.diffusion.sampling import DiffusionModel, prepare_noise, sample
from sora_core.diffusion.schedules import get_sigmas
from sora_core.errors import SoraError

POSITIVE, NEGATIVE = conditioning(1), conditioning(2)


def model() -> DiffusionModel:
    return DiffusionModel(TinyFlow(), shift=3.0, name="tiny")


def run(latent_dict=None, sampler="euler", seed=1, steps=5, denoise=1.0, **kwargs):
    given = {"model": model(), "cfg": 3.0, "positive": POSITIVE, "negative": NEGATIVE, **kwargs}
    sigmas = given.pop("sigmas", get_sigmas("simple", steps, shift=3.0, denoise=denoise))
    latent_dict = {"samples": torch.zeros(2, CHANNELS, 3, 4, 4)} if latent_dict is None else latent_dict
    m, positive, negative = given.pop("model"), given.pop("positive"), given.pop("negative")
    return sample(m, latent_dict, positive, negative, seed=seed, sampler=sampler, sigmas=sigmas, **given)


@pytest.mark.parametrize("name", SAMPLERS)
def test_kept_latents_are_bit_identical(name):
    clean = latent(3)
    mask = torch.ones(2, 1, 3, 4, 4)
    mask[:, :, 0] = 0  # a frame
    mask[1, :, 2, 1:3, 1:3] = 0  # a region that cuts tokens
    seen = []
    out = run({"samples": clean, "noise_mask": mask, "fps": 8}, name, callback=seen.append)
    keep = (mask == 0).expand_as(clean)
    assert torch.equal(out["samples"][keep], clean[keep])
    assert all(torch.equal(c["denoised"][keep], clean[keep]) for c in seen) and len(seen) == 5
    assert (out["samples"][~keep] - clean[~keep]).abs().mean() > 0.1
    assert out["fps"] == 8 and torch.equal(out["noise_mask"], mask)


@pytest.mark.parametrize("name", SAMPLERS)
def test_same_seed_same_bits_other_seed_other_video(name):
    first, again, other = run(sampler=name), run(sampler=name), run(sampler=name, seed=2)
    assert torch.equal(first["samples"], again["samples"])
    assert (first["samples"] - other["samples"]).abs().mean() > 1e-2


def test_samplers_give_different_results():
    results = [run(sampler=name)["samples"] for name in SAMPLERS]
    assert all(not torch.equal(a, b) for i, a in enumerate(results) for b in results[:i])


def test_noise_is_drawn_as_comfyui_draws_it():
    torch.manual_seed(77)
    expected = torch.randn(2, CHANNELS, 3, 4, 4)
    before = torch.get_rng_state()
    assert torch.equal(prepare_noise(latent(), 77), expected)
    assert torch.equal(torch.get_rng_state(), before)  # and the global generator is left alone
    parts = torch.Generator().manual_seed(77)
    parts = [torch.randn(1, CHANNELS, 3, 4, 4, generator=parts) for _ in range(4)]
    assert torch.equal(prepare_noise(latent(), 77, [3, 1]), torch.cat([parts[3], parts[1]]))
    assert torch.equal(prepare_noise(latent(batch=3), 77, [2, 2, 0])[0], parts[2][0])


def test_a_lower_denoise_stays_nearer_to_the_latent():
    start = latent(5)
    distances = [
        float((run({"samples": start}, denoise=d)["samples"] - start).square().mean()) for d in (0.2, 0.6, 1.0)
    ]
    assert distances[0] < distances[1] < distances[2]
    assert torch.equal(run({"samples": start}, denoise=0.0)["samples"], start)


def test_start_is_the_latent_noised_to_the_first_sigma():
    seen, start = [], latent(5)
    sigmas = torch.tensor([0.4, 0.2, 0.0])
    run({"samples": start}, sigmas=sigmas, callback=seen.append)
    torch.testing.assert_close(seen[0]["x"], 0.6 * start + 0.4 * prepare_noise(start, 1))
    custom = torch.ones_like(start)
    run({"samples": start}, sigmas=sigmas, callback=seen.append, noise=custom)
    torch.testing.assert_close(seen[2]["x"], 0.6 * start + 0.4)


@pytest.mark.parametrize("name", ["euler", "heun", "dpm_2"])
def test_a_run_in_two_parts_is_the_run_in_one(name):
    sigmas = get_sigmas("simple", 6, shift=3.0)
    whole = run(sampler=name, sigmas=sigmas)
    half = run(sampler=name, sigmas=sigmas[:4])
    rest = run(half, sampler=name, sigmas=sigmas[3:], add_noise=False)
    torch.testing.assert_close(rest["samples"], whole["samples"], atol=1e-5, rtol=1e-5)


def test_nothing_to_generate_is_the_latent_itself():
    clean, dit = latent(3), TinyFlow()
    out = run({"samples": clean, "noise_mask": torch.zeros(4, 4)}, model=DiffusionModel(dit))
    assert torch.equal(out["samples"], clean) and not dit.seen


def test_sampler_options_reach_the_sampler():
    assert torch.equal(
        run(sampler="euler_ancestral", options={"eta": 0.0})["samples"][0],
        run(sampler=SAMPLERS["euler_ancestral"], options={"eta": 0.0, "s_noise": 1.0})["samples"][0],
    )
    plain, ancestral = run(), run(sampler="euler_ancestral", options={"eta": 0.0})
    torch.testing.assert_close(plain["samples"], ancestral["samples"], atol=1e-5, rtol=1e-5)


def test_a_function_is_a_sampler():
    def one_jump(model, x, sigmas, extra_args=None, callback=None, disable=None, gain=1.0):
        return gain * model(x, sigmas[:1].expand(len(x)), **extra_args)

    doubled = run(sampler=one_jump, options={"gain": 2.0})["samples"]
    torch.testing.assert_close(doubled, 2 * run(sampler=one_jump)["samples"])


def test_shift_and_clone():
    first = model()
    other = first.with_shift(8.0)
    assert (first.shift, other.shift, other.clone().shift) == (3.0, 8.0, 8.0) and other.dit is first.dit
    assert other.percent_to_sigma(0.5) == pytest.approx(8 * 0.5 / (1 + 7 * 0.5))
    with pytest.raises(SoraError, match="shift is 0"):
        first.with_shift(0)


def test_repeated_sigmas_are_no_steps():
    sigmas = get_sigmas("simple", 4, shift=3.0)
    doubled = sigmas.repeat_interleave(2)
    for name in ("euler", "dpmpp_2m", "uni_pc", "er_sde"):
        assert torch.equal(run(sampler=name, sigmas=doubled)["samples"], run(sampler=name, sigmas=sigmas)["samples"])


def test_an_exception_of_the_callback_stops_the_run():
    class Stop(BaseException):
        pass

    dit = TinyFlow()

    def stop_at_two(step):
        if step["i"] == 2:
            raise Stop

    with pytest.raises(Stop):
        run(model=DiffusionModel(dit), callback=stop_at_two, steps=10)
    assert len(dit.seen) == 3


@pytest.mark.parametrize("name", SAMPLERS)
def test_nan_names_the_step(name):
    class Breaks(TinyFlow):
        def forward(self, x, t, context):
            v = super().forward(x, t, context)
            return v * math.nan if float(t.max()) < 700 else v

    # Sigmas 1, .94, .86, .75, .55, 0 (shift 3, 5 steps): the fifth is the first below 0.7.
    with pytest.raises(SoraError, match=rf"at step [45] of 5 \(sigma 0\.\d+, sampler {name}\)"):
        run(sampler=name, model=DiffusionModel(Breaks(), shift=3.0))


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"latent_dict": {"samples": torch.zeros(2, 4, 4, 4)}}, r"shape \[2, 4, 4, 4\]; tiny works on \[B,4,T,H,W\]"),
        ({"latent_dict": {"samples": torch.zeros(1, 16, 3, 4, 4)}}, "16 channels, tiny works on 4"),
        ({"latent_dict": {"samples": torch.zeros(1, 4, 3, 5, 4)}}, r"height is 5 \(40 in the video\).* 2 \(16\)"),
        ({"latent_dict": {"samples": torch.zeros(1, 4, 3, 4, 7)}}, "width is 7"),
        ({"latent_dict": {"samples": torch.zeros(1, 4, 0, 4, 4)}}, "frames is 0"),
        ({"latent_dict": {"samples": torch.full((1, 4, 3, 4, 4), math.nan)}}, "latent has NaN"),
        ({"positive": conditioning(1, width=9)}, f"positive prompt is encoded 9 wide, tiny reads {WIDTH}"),
        ({"negative": conditioning(1, width=9)}, "negative prompt is encoded 9 wide"),
        ({"negative": None}, "cfg is 3.0 and there is no negative prompt"),
        ({"sampler": "plms"}, "no sampler 'plms'"),
        ({"options": {"eta": 1.0}}, "no option 'eta'"),
        ({"sigmas": torch.tensor([0.5, 0.7, 0.0])}, "sigmas are 0.500, 0.700"),
        ({"sigmas": torch.tensor([14.6, 3.0, 0.0])}, "sigmas are 14.600"),
        ({"sigmas": torch.zeros(2, 2)}, "sigmas has shape"),
        ({"seed": -1}, "seed is -1"),
        ({"noise": torch.zeros(1, 4, 3, 4, 4)}, r"noise is \(1, 4, 3, 4, 4\), the latent \(2, 4, 3, 4, 4\)"),
        (
            {"latent_dict": {"samples": torch.zeros(1, 4, 3, 4, 4), "noise_mask": torch.ones(1, 1, 5, 4, 4)}},
            "covers 5 frames, the latent 3",
        ),
    ],
)
def test_input_that_does_not_fit_names_both_sides(kwargs, words):
    with pytest.raises(SoraError, match=words):
        run(**kwargs)


def real_dit():
    from sora_core.model.dit import DiT, DiTConfig

    torch.manual_seed(0)
    sizes = {"dim": 32, "ffn_dim": 64, "num_heads": 2, "num_layers": 1, "in_dim": 4, "out_dim": 4}
    dit = DiT(DiTConfig(**sizes, text_dim=8, text_len=6)).eval()
    with torch.no_grad():
        for parameter in dit.parameters():
            parameter.normal_(std=0.2)  # some layers start at zero, where nothing would reach the output
    return dit


def test_the_real_dit_sees_what_is_kept():
    dit, clean = real_dit(), latent(3)
    mask = torch.ones(2, 1, 3, 4, 4)
    mask[:, :, 0] = 0
    prompts = (conditioning(1, width=8), conditioning(2, width=8))
    given = {"seed": 1, "sampler": "euler", "sigmas": get_sigmas("simple", 3), "cfg": 3.0}
    out = sample(DiffusionModel(dit), {"samples": clean, "noise_mask": mask}, *prompts, **given)["samples"]
    assert torch.equal(out[:, :, 0], clean[:, :, 0]) and torch.isfinite(out).all()
    moved = torch.cat([clean[:, :, :1] + 1, clean[:, :, 1:]], dim=2)
    other = sample(DiffusionModel(dit), {"samples": moved, "noise_mask": mask}, *prompts, **given)["samples"]
    assert not torch.allclose(other[:, :, 1:], out[:, :, 1:], atol=1e-3)


@torch.no_grad()
def test_the_real_dit_reads_its_text_once_a_run():
    dit, x, at = real_dit(), latent(3), torch.full((2,), 0.5)
    (positive, _), (negative, _) = conditioning(1, width=8)[0], conditioning(2, width=8)[0]
    calls, text_keys = [], dit.text_keys
    dit.text_keys = lambda context: calls.append(len(context)) or text_keys(context)
    denoiser = make_denoiser(dit, positive, negative, cfg=3.0)
    out = [denoiser(x, at) for _ in range(3)]
    assert calls == [4]
    v, u = (dit(x, at * 1000, context.expand(2, -1, -1)) for context in (positive, negative))
    torch.testing.assert_close(out[2], x - 0.5 * (u + 3 * (v - u)), atol=1e-5, rtol=1e-5)
