"""The denoiser: guidance in one batch, intervals, prompts, masks and per-token times."""

import pytest
import torch
from tiny_flow import TinyFlow, conditioning, latent

from sora_core.diffusion.denoiser import make_denoiser
from sora_core.diffusion.guidance import rescale_guidance
from sora_core.errors import SoraError

SIGMA = torch.tensor([0.6, 0.6])


def test_x0_is_x_minus_sigma_v():
    dit, x, positive = TinyFlow(), latent(), conditioning(1)
    with torch.no_grad():
        x0 = make_denoiser(dit, positive)(x, SIGMA)
        v = dit(x, SIGMA * 1000, positive[0][0].expand(2, -1, -1))
    torch.testing.assert_close(x0, x - 0.6 * v)


@torch.no_grad()
def test_guidance_in_one_batch_equals_two_calls():
    dit, x = TinyFlow(), latent()
    positive, negative = conditioning(1), conditioning(2)
    together = make_denoiser(dit, positive, negative, cfg=4.5)(x, SIGMA)
    assert len(dit.seen) == 1 and dit.seen[0][0].shape[0] == 4
    cond, uncond = make_denoiser(dit, positive)(x, SIGMA), make_denoiser(dit, negative)(x, SIGMA)
    torch.testing.assert_close(together, uncond + 4.5 * (cond - uncond), atol=2e-6, rtol=0)
    assert not torch.allclose(together, cond, atol=1e-2)


@torch.no_grad()
def test_cfg_one_asks_for_the_positive_prompt_only():
    dit = TinyFlow()
    assert torch.equal(
        make_denoiser(dit, conditioning(1), conditioning(2), cfg=1.0)(latent(), SIGMA),
        make_denoiser(dit, conditioning(1))(latent(), SIGMA),
    )
    assert [x.shape[0] for x, *_ in dit.seen] == [2, 2]


@torch.no_grad()
@pytest.mark.parametrize(("sigma", "guided"), [(0.9, False), (0.8, True), (0.5, True), (0.3, True), (0.1, False)])
def test_guidance_interval(sigma, guided):
    dit, at = TinyFlow(), torch.full((2,), sigma)
    limited = make_denoiser(dit, conditioning(1), conditioning(2), cfg=6.0, guidance_interval=(0.3, 0.8001))
    out = limited(latent(), at.double().float())
    assert dit.seen[0][0].shape[0] == (4 if guided else 2)
    full = make_denoiser(dit, conditioning(1), conditioning(2), cfg=6.0 if guided else 1.0)(latent(), at)
    assert torch.equal(out, full)


@torch.no_grad()
def test_rescale_brings_the_spread_back():
    cond, guided = latent(1), 3 * latent(2) + latent(1)
    full = rescale_guidance(guided, cond, 1.0)
    torch.testing.assert_close(full.flatten(1).std(dim=1), cond.flatten(1).std(dim=1))
    half = rescale_guidance(guided, cond, 0.5)
    torch.testing.assert_close(half, (full + guided) / 2)
    dit = TinyFlow()
    plain = make_denoiser(dit, conditioning(1), conditioning(2), cfg=8.0)(latent(), SIGMA)
    rescaled = make_denoiser(dit, conditioning(1), conditioning(2), cfg=8.0, cfg_rescale=0.7)(latent(), SIGMA)
    assert rescaled.std() < plain.std()


@torch.no_grad()
def test_prompts_of_different_length_are_padded_with_zeros():
    dit = TinyFlow()
    make_denoiser(dit, conditioning(1, length=3), conditioning(2, length=7), cfg=2.0)(latent(), SIGMA)
    context = dit.seen[0][2]
    assert context.shape == (4, 7, 6)
    assert context[:2, 3:].abs().max() == 0 and context[2:, 3:].abs().min() > 0


@torch.no_grad()
def test_one_prompt_for_each_latent():
    dit, x = TinyFlow(), latent()
    pair = conditioning(1, batch=2)
    both = make_denoiser(dit, pair)(x, SIGMA)
    for i in range(2):
        alone = make_denoiser(dit, pair[0][0][i : i + 1])(x[i : i + 1], SIGMA[:1])
        torch.testing.assert_close(both[i : i + 1], alone, atol=1e-6, rtol=0)
    with pytest.raises(SoraError, match="2 prompts for a batch of 3"):
        make_denoiser(dit, pair)(latent(batch=3), torch.full((3,), 0.5))


@torch.no_grad()
def test_combined_prompts_are_averaged_by_strength():
    dit, x = TinyFlow(), latent()
    combined = conditioning(1, strength=3.0) + conditioning(2)
    out = make_denoiser(dit, combined)(x, SIGMA)
    one, two = (make_denoiser(dit, conditioning(i))(x, SIGMA) for i in (1, 2))
    torch.testing.assert_close(out, 0.75 * one + 0.25 * two, atol=1e-6, rtol=0)


@torch.no_grad()
def test_prompts_take_turns_by_percent():
    dit, x = TinyFlow(), latent()
    turns = conditioning(1, end_percent=0.5) + conditioning(2, start_percent=0.5)
    denoiser = make_denoiser(dit, turns, shift=3.0)  # half way is sigma 0.75
    for sigma, seed in ((0.9, 1), (0.6, 2)):
        at = torch.full((2,), sigma)
        assert torch.equal(denoiser(x, at), make_denoiser(dit, conditioning(seed))(x, at))
    with pytest.raises(SoraError, match="No positive prompt is active at sigma 0.600"):
        make_denoiser(dit, conditioning(1, end_percent=0.1))(x, SIGMA)


@torch.no_grad()
def test_masked_latents_are_clean_at_time_zero():
    dit, x, clean = TinyFlow(), latent(1), latent(2)
    mask = torch.ones(2, 1, 3, 4, 4, dtype=torch.bool)
    mask[0, :, 0] = False  # first frame of the first clip
    mask[1, :, 1, :2, 2:] = False  # one token of the second
    out = make_denoiser(dit, conditioning(1), conditioning(2), cfg=3.0, mask=mask, clean=clean)(x, SIGMA)
    seen, t, _ = dit.seen[0]
    kept = ~mask.expand_as(x)
    assert torch.equal(seen[:2][kept], clean[kept]) and torch.equal(seen[2:][kept], clean[kept])
    assert torch.equal(seen[:2][~kept], x[~kept])
    assert t.shape == (4, 12) and torch.equal(t[:2], t[2:])
    expected = torch.full((2, 12), 600.0)
    expected[0, :4] = 0
    expected[1, 4 + 1] = 0
    torch.testing.assert_close(t[:2], expected)
    assert torch.equal(out[kept], clean[kept])
    assert not torch.isclose(out[~kept], clean[~kept]).all()


@torch.no_grad()
def test_a_token_is_kept_only_if_all_of_it_is():
    dit, x, clean = TinyFlow(), latent(1), latent(2)
    mask = torch.zeros(2, 1, 3, 4, 4, dtype=torch.bool)
    mask[:, :, 2, 3, 3] = True  # one latent of the last token
    out = make_denoiser(dit, conditioning(1), mask=mask, clean=clean)(x, SIGMA)
    seen, t, _ = dit.seen[0]
    assert t[:, :-1].abs().max() == 0 and torch.allclose(t[:, -1], torch.tensor(600.0))
    # That token comes in as the sampler has it, all of it at its own noise level...
    assert torch.equal(seen[..., 2, 2:, 2:], x[..., 2, 2:, 2:])
    # ...and its kept part goes out clean.
    keep = ~mask.expand_as(x)
    assert torch.equal(out[keep], clean[keep])


@torch.no_grad()
def test_a_mask_of_ones_is_no_mask():
    dit, x = TinyFlow(), latent(1)
    mask = torch.ones(2, 1, 3, 4, 4, dtype=torch.bool)
    assert torch.equal(
        make_denoiser(dit, conditioning(1), mask=mask, clean=latent(2))(x, SIGMA),
        make_denoiser(dit, conditioning(1))(x, SIGMA),
    )
    assert dit.seen[0][1].shape == (2,)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"positive": "a cat"}, "positive prompt is str, not a conditioning"),
        ({"positive": []}, "positive prompt is list"),
        ({"positive": [[torch.zeros(3, 4), {}]]}, r"no embedding of shape \[B,L,D\]"),
        ({"positive": conditioning(1, area=(1, 1, 0, 0))}, "positive prompt has 'area'"),
        ({"cfg": float("nan")}, "cfg is nan"),
        ({"guidance_interval": (0.8, 0.2)}, "interval is 0.8 to 0.2"),
        ({"cfg_rescale": 2.0}, "cfg_rescale is 2.0"),
        ({"mask": torch.ones(1)}, "A mask needs the clean latent"),
    ],
)
def test_bad_input_is_named(kwargs, words):
    with pytest.raises(SoraError, match=words):
        make_denoiser(TinyFlow(), **{"positive": conditioning(1), **kwargs})
