"""A step without gradients: what is fast gives what the plain formulas give, in any shape, and twice the same."""

import copy

import pytest
import torch
import torch.nn.functional as F
from dit_support import TINY, tiny

from sora_core import memory
from sora_core.diffusion.denoiser import make_denoiser
from sora_core.errors import SoraError
from sora_core.model import attention as ways
from sora_core.model import products
from sora_core.model.attention import attention, tile_rows, tiled
from sora_core.model.dit import DiT
from sora_core.model.reading import merge_padding


def plainly(dit: DiT, *args, **kwargs) -> torch.Tensor:
    """What the formulas that training uses give."""
    with torch.enable_grad():
        return dit(*args, **kwargs).detach()


def off(made: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((made.double() - wanted.double()).norm() / wanted.double().norm())


SHAPES = [(1, 4, 3, 4, 6), (2, 4, 1, 2, 2), (1, 4, 5, 14, 10), (3, 4, 2, 6, 2)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("times", ["clip", "frame", "token"])
@pytest.mark.parametrize("pays", [True, False])
def test_a_step_is_what_the_formulas_give(shape, times, pays, monkeypatch):
    monkeypatch.setattr(products, "onednn_pays", lambda: pays)
    dit, x, context = tiny(), torch.randn(shape), torch.randn(shape[0], 5, 24)
    groups = {"clip": 1, "frame": shape[2], "token": shape[2] * shape[3] * shape[4] // 4}[times]
    t = torch.rand(shape[0], groups) * 1000
    with torch.no_grad():
        made, again = dit(x, t, context), dit(x, t, context)
    assert torch.equal(made, again)
    assert torch.allclose(made, plainly(dit, x, t, context), atol=2e-5)


def test_a_mask_of_many_pieces_is_looked_up_token_by_token():
    dit, x, context = tiny(), torch.randn(2, 4, 5, 16, 16), torch.randn(2, 5, 24)
    t = 700.0 * (torch.arange(640).view(2, 320) % 3 != 0)  # more runs of kept tokens than are worth a call each
    with torch.no_grad():
        assert torch.allclose(dit(x, t, context), plainly(dit, x, t, context), atol=2e-5)


def test_a_block_leaves_what_it_is_given():
    dit, x = tiny(), torch.randn(1, 4, 2, 4, 4)
    with torch.no_grad():
        text = dit.text_keys(torch.randn(1, 5, 24))
        _, features = dit(x, torch.tensor([300.0]), text=text, taps=(1, 2))
        _, (alone,) = dit(x, torch.tensor([300.0]), text=text, taps=(1,))
    assert torch.equal(features[0], alone)


def test_bfloat16_is_as_near_to_float32_as_the_plain_formulas():
    dit, x, context = tiny(), torch.randn(1, 4, 5, 16, 16), torch.randn(1, 8, 24)
    t = torch.tensor([400.0])
    with torch.no_grad():
        exact = dit(x, t, context)
    half = copy.deepcopy(dit).bfloat16()
    args = x.bfloat16(), t, context.bfloat16()
    with torch.no_grad():
        made = half(*args)
    assert off(made, exact) < 1.2 * off(plainly(half, *args), exact)


@pytest.mark.parametrize("queries, keys", [(256, 256), (700, 256), (257, 611), (1031, 300)])
def test_tiles_of_any_shape(queries, keys, monkeypatch):
    monkeypatch.setattr(ways, "_SCORES", 1 << 16)  # more than one tile of these few
    if torch.bfloat16 not in products.onednn():
        pytest.skip("this processor has no bfloat16")
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, n, 3, 32).bfloat16() for n in (queries, keys, keys))
    with torch.no_grad():
        made = tiled(q, k, v, 32**-0.5)
    exact = F.scaled_dot_product_attention(*(x.double().transpose(1, 2) for x in (q, k, v))).transpose(1, 2)
    assert off(made, exact) < 0.01


@pytest.mark.parametrize("spread", [1.0, 4.0, 12.0])
def test_tiles_keep_their_error_bound(spread):
    if torch.bfloat16 not in products.onednn():
        pytest.skip("this processor has no bfloat16")
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 320, 2, 64).bfloat16() for _ in range(3))
    q = q * spread
    with torch.no_grad():
        made = tiled(q, k, v, 64**-0.5).double()
    scores = (q * 64**-0.5).double().transpose(1, 2) @ k.double().permute(0, 2, 3, 1)
    weights = scores.softmax(-1)
    exact = (weights @ v.double().transpose(1, 2)).transpose(1, 2)
    # Each weight by its factor, the weights' own rounding, and that of the result.
    factor = torch.exp(2**-7 * scores.abs().amax(-1, keepdim=True)) - 1 + 2**-7
    bound = (factor * (weights @ v.double().abs().transpose(1, 2))).transpose(1, 2) + 2**-8 * exact.abs()
    assert bool(((made - exact).abs() <= bound).all())


def test_tiles_fill_what_there_is():
    for queries in (1, 256, 577, 2304, 7800, 32760):
        for keys in (256, 2304, 32760):
            for threads in (1, 2, 64):
                rows = tile_rows(queries, keys, threads)
                assert 1 <= rows <= queries
                parts = -(-queries // rows)
                assert queries - (parts - 1) * rows > rows / 2 or parts == 1  # no sliver at the end


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("grads", [False, True])
def test_a_query_that_may_read_nothing_gets_zeros(dtype, grads):
    q, k, v = (torch.randn(2, 6, 2, 8, dtype=dtype) for _ in range(3))
    mask = torch.ones(6, 6, dtype=torch.bool)
    mask[2] = False
    with torch.set_grad_enabled(grads):
        made = attention(q, k, v, mask)
        nothing = attention(q, k, v, torch.zeros_like(mask))
    assert (made[:, 2] == 0).all() and torch.isfinite(made).all() and (made[:, 3] != 0).any()
    assert (nothing == 0).all()


def test_one_token_and_one_key():
    q, k, v = (torch.randn(1, 1, 2, 8) for _ in range(3))
    with torch.no_grad():
        assert torch.allclose(attention(q, k, v), v.flatten(2))
        assert torch.allclose(attention(q.bfloat16(), k.bfloat16(), v.bfloat16()), v.bfloat16().flatten(2))


@pytest.mark.parametrize("words", [0, 1, 5, 15, 16, 40, 63, 64])
def test_padding_is_one_token(words):
    dit, context = tiny(text_len=64), torch.zeros(2, 64, 24)
    context[0, :words] = torch.randn(words, 24)
    context[1, : words // 2] = torch.randn(words // 2, 24)
    x, t = torch.randn(2, 4, 2, 4, 4), torch.tensor([300.0, 80.0])
    with torch.no_grad():
        text = dit.text_keys(context)
        assert torch.allclose(dit(x, t, text=text), plainly(dit, x, t, context), atol=2e-5)
        half = copy.deepcopy(dit).bfloat16()
        assert off(half(x.bfloat16(), t, context.bfloat16()), dit(x, t, text=text)) < 0.02
    assert text[0].keys.shape[1] == min(64, -(-(words + 1) // 16) * 16)


def test_padding_counts_in_all():
    merged, bias = merge_padding(torch.ones(1, 3, 2), 512)
    assert merged.shape == (1, 16, 2) and bias is not None
    assert round(float(bias.exp().sum())) == 512


def test_clips_that_differ_in_text_alone_are_one_until_they_read_it():
    dit, x, context = tiny(), torch.randn(2, 4, 3, 4, 6), torch.randn(6, 8, 24)
    t = torch.rand(2, 18) * 1000
    with torch.no_grad():
        text = dit.text_keys(context)
        made = dit(x, t, text=text)
        assert torch.allclose(made, dit(x.repeat(3, 1, 1, 1, 1), t.repeat(3, 1), text=text), atol=1e-5)
        with pytest.raises(SoraError, match="6 texts do not fit 4 latents"):
            dit(x.repeat(2, 1, 1, 1, 1), t.repeat(2, 1), text=text)
        one = dit.text_keys(context[:1])
        assert torch.allclose(dit(x, t, text=one), dit(x, t, context[:1].expand(2, -1, -1)), atol=1e-5)


@pytest.mark.parametrize("dtype", products.onednn())
def test_the_order_of_weights_changes_no_bit(dtype, monkeypatch):
    monkeypatch.setattr(products, "onednn_pays", lambda: True)
    monkeypatch.setattr(products, "_SMALL", 0)
    torch.manual_seed(0)
    dit = DiT(TINY).eval().requires_grad_(False).to(dtype)
    x, context, t = torch.randn(1, 4, 3, 8, 8).to(dtype), torch.randn(1, 5, 24).to(dtype), torch.tensor([400.0])
    packs = products.Packs()
    with torch.no_grad(), products.using(packs):
        packed = dit(x, t, context)
    assert len(packs._packed) > 20
    with torch.no_grad():
        assert torch.equal(packed, dit(x, t, context))


def test_no_memory_no_copies(monkeypatch):
    monkeypatch.setattr(products, "_SMALL", 0)
    monkeypatch.setattr(products, "free_memory", lambda: 0)
    packs = products.Packs()
    layer = torch.nn.Linear(64, 64)
    assert packs.get(layer, 100) is layer.weight


@pytest.mark.parametrize("pays", [True, False])
def test_weights_that_change_are_read_again(pays, monkeypatch):
    monkeypatch.setattr(products, "onednn_pays", lambda: pays)
    monkeypatch.setattr(products, "_SMALL", 0)
    layer, x, packs = torch.nn.Linear(64, 32).requires_grad_(False), torch.randn(100, 64), products.Packs()
    with torch.no_grad(), products.using(packs):
        products.linear(layer, x)
        layer.weight.mul_(2)
        assert torch.allclose(products.linear(layer, x), F.linear(x, layer.weight, layer.bias), atol=1e-5)
    # Edits that PyTorch does not count: each run reads the weights anew.
    run = make_denoiser(small := tiny(), [[torch.randn(1, 8, 24), {}]])
    z, sigma = torch.randn(1, 4, 2, 16, 16), torch.tensor([0.5])
    with torch.no_grad():
        run(z, sigma)
        small.blocks[0].ffn[0].weight.data *= 3
        made = make_denoiser(small, [[torch.ones(1, 8, 24), {}]])(z, sigma)
        wanted = z - 0.5 * small(z, torch.tensor([500.0]), torch.ones(1, 8, 24))
    assert torch.allclose(made, wanted, atol=1e-5)


def test_layers_with_something_hung_on_them_are_called():
    dit, x, context, t = tiny(), torch.randn(1, 4, 2, 4, 4), torch.randn(1, 5, 24), torch.tensor([400.0])
    seen = []
    dit.blocks[0].ffn[0].register_forward_hook(lambda *_: seen.append("ffn"))
    dit.blocks[1].self_attn.o.register_forward_pre_hook(lambda *_: seen.append("o"))

    class Doubled(torch.nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    old = dit.blocks[2].ffn[2]
    new = Doubled(old.in_features, old.out_features).requires_grad_(False)
    new.load_state_dict(old.state_dict())
    with torch.no_grad():
        before = dit(x, t, context)
        dit.blocks[2].ffn[2] = new
        assert not torch.allclose(dit(x, t, context), before)
    assert seen == ["ffn", "o"] * 2


def test_gradients_are_those_of_the_formulas():
    dit = tiny().requires_grad_(True)
    x = torch.randn(1, 4, 2, 4, 4, requires_grad=True)
    context = torch.randn(1, 5, 24, requires_grad=True)
    dit(x, torch.tensor([400.0]), context).square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in [x, context, *dit.parameters()])


def test_freed_memory_is_kept_without_taking_any():
    before = memory.free_memory()
    memory.keep_freed.cache_clear()
    memory.keep_freed()
    assert before is None or memory.free_memory() > before - (256 << 20)


def test_compiled_blocks_are_compiled_once():
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    dit = tiny().requires_grad_(True)
    for block in dit.blocks:
        block.compile(dynamic=False, backend="eager")
    x, context = torch.randn(2, 4, 3, 4, 4), torch.randn(2, 8, 24)
    counters.clear()
    for level in (900.0, 500.0, 20.0):
        dit(x, torch.full((2, 3), level), context)
    assert counters["stats"]["unique_graphs"] == 1
    with torch.no_grad():
        for level in (900.0, 500.0):
            dit(x, torch.full((2, 3), level), context)
    assert counters["stats"]["unique_graphs"] == 2
