"""Linear layers as the CPU does them best: what PyTorch's own give, whatever comes in and whatever hangs on them."""

import threading

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
import torch.nn.functional as F
from dit_support import tiny
from torch import nn

from sora_core.model import products
from sora_core.model.dit import Block
from sora_core.model.reading import TextKeys
from sora_core.model.rope import grid_table


@pytest.fixture(params=[True, False], ids=["oneDNN", "MKL"])
def processor(request, monkeypatch):
    """One with AVX-512, and one without, where no halves are multiplied either."""
    monkeypatch.setattr(products, "onednn_pays", lambda: request.param)
    if not request.param:
        monkeypatch.setattr(products, "slow_halves", lambda: (torch.bfloat16, torch.float16))


@pytest.mark.usefixtures("processor")
@pytest.mark.parametrize("shape", [(0, 64), (64,), (1, 40, 64), (2, 0, 64)])
@pytest.mark.parametrize("width", [0, 1, 5])
def test_layers_of_any_shape(shape, width, monkeypatch):
    monkeypatch.setattr(products, "_SMALL", 0)
    layer, x, packs = nn.Linear(64, width).requires_grad_(False), torch.randn(shape), products.Packs()
    with torch.no_grad(), products.using(packs):
        for how in ({}, {"gelu": True}, {}, {"add": torch.randn(*shape[:-1], width)}):
            made, wanted = products.linear(layer, x, **how), layer(x)
            wanted = F.gelu(wanted, approximate="tanh") if "gelu" in how else wanted + how.get("add", 0)
            assert made.shape == wanted.shape and torch.allclose(made, wanted, atol=1e-5)


@pytest.mark.usefixtures("processor")
@pytest.mark.parametrize("shape", [(8,), (5, 8), (2, 5, 1), (3, 2, 5, 8), ()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("other", [torch.float32, torch.bfloat16, torch.float64])
def test_what_is_added_spreads_as_in_any_sum(shape, dtype, other):
    layer, x, add = nn.Linear(8, 8).to(dtype), torch.randn(2, 5, 8).to(dtype), torch.randn(shape).to(other)
    with torch.no_grad():
        made, wanted = products.linear(layer, x, add=add), layer(x) + add
    assert made.shape == wanted.shape and made.dtype == wanted.dtype
    assert torch.allclose(made.float(), wanted.float(), atol=0.05)


@pytest.mark.usefixtures("processor")
def test_one_number_may_be_added_to_one_row():
    layer, x = nn.Linear(8, 8), torch.randn(8)
    with torch.no_grad():
        assert torch.allclose(products.linear(layer, x, add=torch.tensor(2.0)), layer(x) + 2, atol=1e-5)


@pytest.mark.usefixtures("processor")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_what_hangs_on_every_module_is_called(dtype):
    seen = []
    hooks = nn.modules.module
    hung = [
        hooks.register_module_forward_hook(lambda module, given, made: seen.append("after")),
        hooks.register_module_forward_pre_hook(lambda module, given: seen.append("before")),
    ]
    try:
        with torch.no_grad():
            products.linear(nn.Linear(8, 8).to(dtype), torch.ones(2, 8).to(dtype))
            products.convolve(nn.Conv3d(2, 2, 1).to(dtype), torch.ones(1, 2, 1, 1, 1).to(dtype))
    finally:
        for one in hung:
            one.remove()
    assert seen == ["before", "after"] * 2


@pytest.mark.usefixtures("processor")
def test_what_hangs_on_gradients_is_called():
    seen, layer = [], nn.Linear(8, 8).bfloat16()
    layer.register_full_backward_hook(lambda module, given, made: seen.append("back"))
    products.linear(layer, torch.ones(2, 8, requires_grad=True).bfloat16()).sum().backward()
    assert seen == ["back"]


@pytest.mark.usefixtures("processor")
@pytest.mark.parametrize("grads", [False, True])
def test_what_hangs_on_a_feed_forward_part_is_called(grads):
    dit = tiny()
    x, t, context = torch.randn(1, 4, 2, 4, 4), torch.tensor([400.0]), torch.randn(1, 5, 24)
    with torch.set_grad_enabled(grads):
        before, seen = dit(x, t, context), []
        dit.blocks[0].ffn.register_forward_hook(lambda module, given, made: seen.append("part"))
        dit.blocks[1].ffn[1].register_forward_hook(lambda module, given, made: seen.append("between"))
        assert torch.allclose(dit(x, t, context), before, atol=1e-5) and seen == ["part", "between"]
        dit.blocks[2].ffn[1] = nn.ReLU()
        assert not torch.allclose(dit(x, t, context), before, atol=1e-3)
        dit.blocks[2].ffn = nn.Identity()
        dit(x, t, context)


@pytest.mark.usefixtures("processor")
def test_what_hangs_on_a_layer_sees_all_tokens_at_once(monkeypatch):
    monkeypatch.setattr(products, "_INSIDE", 64)
    seen, part = [], nn.Sequential(nn.Linear(8, 32), nn.GELU(approximate="tanh"), nn.Linear(32, 8))
    part[2].register_forward_pre_hook(lambda layer, given: seen.append(tuple(given[0].shape)))
    with torch.no_grad():
        products.feed_forward(part, torch.randn(2, 5, 8))
    assert seen == [(2, 5, 32)]


@pytest.mark.usefixtures("processor")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_thread_that_compiles_changes_nothing_in_the_others(dtype, monkeypatch):
    """PyTorch says to all threads that it compiles, as soon as one does."""
    dit = tiny().to(dtype)
    x, t, context = torch.randn(1, 4, 2, 4, 4).to(dtype), torch.tensor([400.0]), torch.randn(1, 5, 24).to(dtype)
    with torch.no_grad():
        alone = dit(x, t, context)
        monkeypatch.setattr(torch.compiler, "_is_compiling_flag", True)
        found = []
        worker = threading.Thread(target=torch.no_grad()(lambda: found.append(dit(x, t, context))))
        worker.start()
        worker.join()
    assert torch.equal(found[0], alone)


def test_a_block_has_no_use_for_what_it_was_given_before():
    """A block may be called again with the same tokens: it writes into none of them."""
    torch.manual_seed(0)
    dit = tiny()
    block = dit.blocks[0]
    assert isinstance(block, Block)
    x, rope = torch.randn(1, 8, 96), grid_table(2, 2, 2, 48, torch.device("cpu"))
    with torch.no_grad():
        text = dit.text_keys(torch.randn(1, 5, 24))[0]
        assert isinstance(text, TextKeys)
        _, e = dit.time_vectors(torch.tensor([[300.0]]))
        given = x.clone()
        first = block(x, e, rope, text, None, None)
        assert torch.equal(x, given) and torch.equal(block(x, e, rope, text, None, None), first)


@pytest.mark.usefixtures("processor")
@pytest.mark.parametrize("how", [{}, {"gelu": True}, {"add": torch.ones(3, 8)}])
@torch.no_grad()
def test_derivatives_that_run_forward_are_not_lost(how):
    layer, x, along = nn.Linear(8, 8), torch.randn(3, 8), torch.randn(3, 8)
    with forward_ad.dual_level():
        made = forward_ad.unpack_dual(products.linear(layer, forward_ad.make_dual(x, along), **how))
    step = 1e-3
    ends = [products.linear(layer, x + sign * step * along, **how) for sign in (1, -1)]
    assert made.tangent is not None
    assert torch.allclose(made.tangent, (ends[0] - ends[1]) / (2 * step), atol=1e-3)


@pytest.mark.usefixtures("processor")
@torch.no_grad()
def test_a_transformer_is_differentiated_forward_mapped_and_traced_without_gradients():
    dit, x = tiny(), torch.randn(2, 1, 4, 2, 4, 4)
    t, context = torch.tensor([400.0]), torch.randn(1, 5, 24)
    wanted = torch.stack([dit(one, t, context) for one in x])
    assert torch.allclose(torch.func.vmap(lambda one: dit(one, t, context))(x), wanted, atol=1e-5)
    made, change = torch.func.jvp(lambda one: dit(one, t, context), (x[0],), (x[1],))
    with torch.enable_grad():
        right = torch.func.jvp(lambda one: dit(one, t, context), (x[0],), (x[1],))[1]
    assert torch.allclose(made, wanted[0], atol=1e-5) and torch.allclose(change, right, atol=1e-4)
    traced = torch.jit.trace(dit, (x[0], t, context), check_trace=False)
    assert torch.allclose(traced(x[1], t, context), wanted[1], atol=1e-5)
