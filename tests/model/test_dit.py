"""The transformer against diffusers' Wan, and the properties that the tasks stand on."""

from dataclasses import replace

import pytest
import torch
from dit_support import TINY, tiny, to_diffusers

from sora_core.errors import SoraError
from sora_core.model.dit import DiT
from sora_core.model.patch import grid_coordinates, pack, patchify, unpack, unpatchify
from sora_core.model.registry import DIT_CONFIGS


@pytest.mark.slow
@pytest.mark.parametrize("per_token", [False, True])
def test_equals_diffusers_wan(per_token):
    from diffusers import WanTransformer3DModel

    dit = tiny()
    oracle = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=48,
        in_channels=4,
        out_channels=4,
        text_dim=24,
        freq_dim=256,
        ffn_dim=160,
        num_layers=3,
        cross_attn_norm=True,
        eps=1e-6,
    ).eval()
    oracle.load_state_dict(to_diffusers(dit.state_dict()))
    x, context = torch.randn(2, 4, 3, 4, 6), torch.randn(2, 8, 24)
    t = torch.rand(2, 18) * 1000 if per_token else torch.tensor([700.0, 31.0])
    with torch.no_grad():
        expected = oracle(x, t, context, return_dict=False)[0]
    assert torch.allclose(dit(x, t, context), expected, atol=1e-4)


@pytest.mark.parametrize(
    "name, count, parameters",
    [("wan2.1-t2v-1.3b", 825, 1.419e9), ("wan2.1-t2v-14b", 1095, 14.288e9), ("wan2.2-ti2v-5b", 825, 5.000e9)],
)
def test_wan_sizes(name, count, parameters):
    with torch.device("meta"):
        state = DiT(DIT_CONFIGS[name]).state_dict()
    assert len(state) == count
    assert abs(sum(v.numel() for v in state.values()) / parameters - 1) < 1e-3
    assert state["blocks.29.self_attn.norm_q.weight"].shape == (DIT_CONFIGS[name].dim,)
    assert state["blocks.0.modulation"].shape == (1, 6, DIT_CONFIGS[name].dim)


def test_timesteps_per_clip_frame_and_token_agree():
    dit, x, context = tiny(), torch.randn(2, 4, 3, 4, 4), torch.randn(2, 8, 24)
    t = torch.tensor([600.0, 20.0])
    whole = dit(x, t, context)
    assert torch.allclose(dit(x, t[:, None].expand(2, 3), context), whole, atol=1e-5)
    assert torch.allclose(dit(x, t[:, None].expand(2, 12), context), whole, atol=1e-5)
    other = t[:, None].repeat(1, 3)
    other[:, 0] = 0
    assert (dit(x, other, context) - whole).abs().max() > 1e-3


def test_text_keys_are_what_the_context_gives():
    dit, x, context = tiny(), torch.randn(1, 4, 1, 4, 4), torch.randn(1, 5, 24)
    t = torch.tensor([500.0])
    assert torch.equal(dit(x, t, context), dit(x, t, text=dit.text_keys(context)))


def test_patchify_round_trip_and_embedding():
    x = torch.randn(2, 4, 3, 6, 8)
    tokens = patchify(x, (1, 2, 2))
    assert tokens.shape == (2, 36, 16)
    assert torch.equal(unpatchify(tokens, (3, 3, 4), (1, 2, 2)), x)
    dit = tiny()
    convolved = dit.patch_embedding(x).flatten(2).transpose(1, 2)
    assert torch.allclose(dit.embed(tokens, torch.zeros(36, 20)), convolved, atol=1e-5)


def test_coordinates_say_where_a_token_lies():
    where = grid_coordinates((3, 2, 4), (1, 2, 2), torch.device("cpu")).view(3, 2, 4, 5, 2, 2)
    y, x, t, h, w = where.unbind(3)
    assert torch.allclose(y[0, :, 0, :, 0].flatten(), torch.tensor([-0.75, -0.25, 0.25, 0.75]))
    assert torch.allclose(x[0, 0, :, 0].flatten(), (2 * torch.arange(8) + 1) / 8 - 1)
    assert torch.allclose(t[:, 0, 0, 0, 0], torch.tensor([0.0, 1 / 5, 2 / 6]))
    assert (h == 4 / 20).all() and (w == 8 / 24).all()
    dit = tiny(coordinates=True)
    still = torch.zeros(1, 4, 1, 4, 4)
    with_places = dit(still, torch.tensor([900.0]), torch.zeros(1, 8, 24))
    assert with_places.std((3, 4)).max() > 0.01  # a blank latent looks alike everywhere without them
    assert tiny()(still, torch.tensor([900.0]), torch.zeros(1, 8, 24))[..., ::2, ::2].std((3, 4)).max() < 1e-5


def test_a_detailer_sees_across_the_borders_of_tokens_and_no_further_than_its_convolutions():
    dit, context = tiny(detail=8, detail_blocks=1), torch.zeros(1, 8, 24)
    plan, x = torch.zeros(1, 8, 2, 8, 16), torch.zeros(1, 4, 2, 8, 16)
    other = x.clone()
    other[..., 0, 3, 6] += 1
    moved = (dit.detail(other, plan) - dit.detail(x, plan)).abs().amax((0, 1)) > 0
    assert moved[0, :8, 2:11].all(), "four 3x3 convolutions reach four latents"
    assert not moved[1].any() and not moved[0, :, :2].any() and not moved[0, :, 11:].any()
    t = torch.tensor([500.0])
    plain = DiT(TINY).eval().requires_grad_(False)
    plain.load_state_dict({k: v for k, v in dit.state_dict().items() if not k.startswith("detail.")})
    assert (dit(x, t, context) - plain(x, t, context)).abs().max() > 1e-3
    for value in dit.detail.head.parameters():
        value.zero_()
    assert torch.equal(dit(x, t, context), plain(x, t, context))


def test_one_clip_with_several_texts_is_corrected_for_each():
    dit, x, t = tiny(detail=8), torch.randn(2, 4, 2, 4, 4), torch.tensor([500.0, 300.0])
    contexts = torch.randn(4, 8, 24)
    shared = dit(x, t, text=dit.text_keys(contexts))
    assert torch.allclose(shared, dit(x.repeat(2, 1, 1, 1, 1), t.repeat(2), contexts), atol=1e-5)


@pytest.mark.parametrize("more", [{}, {"coordinates": True}, {"coordinates": True, "detail": 8}])
def test_packed_clips_get_what_they_get_alone(more):
    dit = tiny(**more)
    clips = [torch.randn(1, 4, 3, 4, 6), torch.randn(1, 4, 1, 8, 4), torch.randn(1, 4, 2, 2, 2)]
    contexts = [torch.randn(1, 8, 24) for _ in clips]
    times = [900.0, 300.0, 50.0]
    packed = pack(clips, (1, 2, 2))
    assert packed.tokens.shape[1] == 18 + 8 + 2
    text_mask = packed.clip[:, None] == torch.arange(3).repeat_interleave(8)[None, :]
    wide = DiT(replace(TINY, text_len=24, **more)).eval().requires_grad_(False)
    wide.load_state_dict(dit.state_dict())
    t = torch.tensor(times)[packed.clip][None]
    out = wide.forward_tokens(
        packed.tokens, packed.positions, packed.sizes, t, torch.cat(contexts, 1), packed.attention_mask, text_mask
    )
    for clip, context, time, got in zip(clips, contexts, times, unpack(packed.replace(out)), strict=True):
        assert torch.allclose(got, dit(clip, torch.tensor([time]), context), atol=1e-4)
    assert all(torch.equal(a, b) for a, b in zip(unpack(packed), clips, strict=True))


def test_tokens_that_begin_within_a_clip_are_refused():
    dit, packed = tiny(), pack([torch.randn(1, 4, 1, 4, 4), torch.randn(1, 4, 1, 2, 2)], (1, 2, 2))
    with pytest.raises(SoraError, match="whole clips"):
        dit.forward_tokens(
            packed.tokens[:, 1:], packed.positions[1:], packed.sizes[1:], torch.tensor([500.0]), torch.zeros(1, 8, 24)
        )


@pytest.mark.parametrize("shape", [(1, 4, 1, 2, 2), (3, 4, 1, 2, 6), (2, 4, 5, 6, 10)])
@pytest.mark.parametrize(("dtype", "most"), [(torch.bfloat16, 0.15), (torch.float16, 0.02)])
def test_a_detailer_corrects_clips_of_any_size_in_any_precision(shape, dtype, most):
    dit, x, t = tiny(detail=8), torch.randn(shape), torch.tensor([500.0])
    low = tiny(detail=8).to(dtype)
    low.load_state_dict(dit.state_dict())
    for texts in (1, shape[0], 2 * shape[0]):
        contexts = torch.randn(texts, 8, 24)
        exact = dit(x, t, contexts)
        with torch.no_grad():
            made = low(x, t, contexts.to(dtype))
        assert made.shape == exact.shape == (max(texts, shape[0]), *shape[1:]) and made.dtype == dtype
        assert (made.float() - exact).abs().max() < most


def test_training_attention_equals_the_fused_one():
    dit, x, context = tiny(), torch.randn(1, 4, 2, 4, 4), torch.randn(1, 8, 24)
    t = torch.tensor([500.0])
    with torch.no_grad():
        fused = dit(x, t, context)
    assert torch.allclose(dit(x.requires_grad_(), t, context), fused, atol=1e-5)


@pytest.mark.parametrize(
    "x, t, context, words",
    [
        ((1, 5, 1, 4, 4), (1,), (1, 8, 24), "denoises"),
        ((1, 4, 1, 5, 4), (1,), (1, 8, 24), "height is 5"),
        ((1, 4, 1, 4, 4), (1,), (1, 8, 32), "reads"),
        ((1, 4, 1, 4, 4), (1,), (1, 9, 24), "9 tokens"),
        ((1, 4, 1, 4, 4), (1, 3), (1, 8, 24), "Timesteps"),
    ],
)
def test_wrong_shapes_are_named(x, t, context, words):
    with pytest.raises(SoraError, match=words):
        tiny()(torch.zeros(x), torch.zeros(t), torch.zeros(context))


def test_pack_refuses_mixed_channels():
    with pytest.raises(SoraError, match="one C"):
        pack([torch.zeros(1, 4, 1, 2, 2), torch.zeros(1, 5, 1, 2, 2)], (1, 2, 2))
