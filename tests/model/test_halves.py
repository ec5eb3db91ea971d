"""Half precisions that the processor does not multiply: float32 inside, as right as ever, and hardly slower than it."""

import copy
import dataclasses
import time

import pytest
import torch
import torch.nn.functional as F
from dit_support import TINY, tiny
from torch import nn

from sora_core.model import products
from sora_core.model.attention import attention
from sora_core.model.dit import DiT
from sora_core.model.vae.causal import FeatureCache, Pointwise, SpatialConv, TemporalConv
from sora_core.model.vae.mini import VAEConfig, VideoVAE

HALVES = {torch.bfloat16: 0.02, torch.float16: 0.003}  # and what may be off, of its size


@pytest.fixture(params=[True, False], ids=["emulated", "as it is"])
def processor(request, monkeypatch):
    """One that multiplies no halves, and this one."""
    if request.param:
        monkeypatch.setattr(products, "slow_halves", lambda: tuple(HALVES))


def off(made: torch.Tensor, wanted: torch.Tensor) -> float:
    made, wanted = made.detach().double(), wanted.detach().double()
    return float((made - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("grads", [False, True])
@pytest.mark.usefixtures("processor")
def test_a_transformer_of_halves_is_as_right_as_they_are(dtype, grads):
    torch.manual_seed(5)
    dit = DiT(dataclasses.replace(TINY, detail=8, detail_blocks=1)).eval()
    nn.init.normal_(dit.detail.head.weight, std=0.2)
    half = copy.deepcopy(dit).to(dtype)
    x, t, context = torch.randn(2, 4, 3, 4, 6), torch.tensor([300.0, 800.0]), torch.randn(2, 5, 24)
    with torch.set_grad_enabled(grads):
        wanted, made = dit(x, t, context), half(x.to(dtype), t, context.to(dtype))
    assert made.dtype == dtype and off(made, wanted) < HALVES[dtype]
    assert {p.dtype for p in half.parameters()} == {dtype}
    if grads:
        made.float().square().mean().backward()
        assert all(p.grad is None or p.grad.dtype == dtype for p in half.parameters())
        assert half.blocks[0].ffn[0].weight.grad.abs().max() > 0


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.usefixtures("processor")
def test_a_vae_of_halves_is_as_right_as_they_are_and_its_stream_is_the_whole(dtype):
    torch.manual_seed(6)
    vae = VideoVAE(VAEConfig(width=(16, 16), encoder_blocks=(1, 1), decoder_blocks=(1, 1))).eval().requires_grad_(False)
    half = copy.deepcopy(vae).to(dtype)
    video = torch.rand(1, 3, 9, 16, 24) * 2 - 1
    latent, found = vae.encode(video), half.encode(video.to(dtype))
    assert found.dtype == dtype and off(found, latent) < HALVES[dtype]
    shown, made = vae.decode(latent), half.decode(latent.to(dtype))
    assert made.dtype == dtype and off(made, shown) < HALVES[dtype]
    streamed = torch.cat(list(half.stream_decode(latent.to(dtype), chunk=1)), 2)
    assert streamed.dtype == dtype and off(streamed, made) < HALVES[dtype] / 4


@pytest.mark.parametrize("dtype", HALVES)
def test_what_is_rounded_is_rounded_once(dtype, monkeypatch):
    monkeypatch.setattr(products, "slow_halves", lambda: tuple(HALVES))
    torch.manual_seed(7)
    layer = nn.Linear(64, 48).to(dtype)
    x, add = torch.randn(3, 5, 64).to(dtype), torch.randn(3, 5, 48).to(dtype)
    with torch.no_grad():
        exact = F.linear(x.float(), layer.weight.float(), layer.bias.float())
        assert torch.equal(products.linear(layer, x), exact.to(dtype))
        assert torch.equal(products.linear(layer, x, gelu=True), F.gelu(exact, approximate="tanh").to(dtype))
        assert torch.equal(products.linear(layer, x, add=add), (exact + add).to(dtype))
        q, k = (torch.randn(1, n, 2, 8).to(dtype) for n in (7, 9))
        assert torch.equal(attention(q, k, k), attention(q.float(), k.float(), k.float()).to(dtype))


def test_a_layer_with_something_hung_on_it_is_called(monkeypatch):
    monkeypatch.setattr(products, "slow_halves", lambda: tuple(HALVES))
    layer, conv, seen = nn.Linear(8, 8).bfloat16(), nn.Conv3d(2, 2, 1).bfloat16(), []
    for one in (layer, conv):
        one.register_forward_hook(lambda module, given, made: seen.append(given[0].dtype))
    products.linear(layer, torch.ones(1, 8).bfloat16())
    products.convolve(conv, torch.ones(1, 2, 1, 2, 2).bfloat16())
    assert seen == [torch.bfloat16] * 2


def test_autocast_chooses_for_itself(monkeypatch):
    monkeypatch.setattr(products, "slow_halves", lambda: tuple(HALVES))
    dit, x, context = tiny(), torch.randn(1, 4, 2, 4, 4), torch.randn(1, 5, 24)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert products.linear(nn.Linear(8, 8), torch.ones(1, 8)).dtype == torch.bfloat16
        assert off(dit(x, torch.tensor([500.0]), context).float(), dit(x, torch.tensor([500.0]), context).float()) == 0


def _seconds(call) -> float:
    call()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


@pytest.mark.parametrize("dtype", HALVES)
def test_no_half_is_far_slower_than_float32(dtype):
    """Measured on this very processor: in PyTorch's own hands 13 times in a linear layer, 100 in a convolution."""
    layer, x = nn.Linear(512, 512), torch.randn(512, 512)
    parts = [SpatialConv(32, 32), TemporalConv(32, 32), Pointwise(32, 32), nn.Conv3d(32, 32, 3, padding=1)]
    frames = torch.randn(1, 32, 4, 32, 32)

    def once(part: nn.Module, given: torch.Tensor) -> None:
        if isinstance(part, nn.Linear):
            products.linear(part, given)
        elif isinstance(part, nn.Conv3d):
            products.convolve(part, given)
        elif isinstance(part, TemporalConv):
            part(given, FeatureCache())
        else:
            part(given)

    with torch.no_grad():
        for part, given in [(layer, x), *((part, frames) for part in parts)]:
            half, rounded = copy.deepcopy(part).to(dtype), given.to(dtype)
            plain = _seconds(lambda part=part, given=given: once(part, given))
            assert _seconds(lambda half=half, rounded=rounded: once(half, rounded)) < 6 * plain + 0.002, part


@pytest.mark.parametrize("dtype", HALVES)
@torch.no_grad()
def test_a_compiler_is_given_products_of_float32_too(dtype, monkeypatch):
    """It would hand halves to the same slow products."""
    monkeypatch.setattr(products, "_SLOW", {"halves": tuple(HALVES)}, raising=False)
    torch._dynamo.reset()
    torch.manual_seed(8)
    dit = DiT(dataclasses.replace(TINY, detail=8, detail_blocks=1)).eval().requires_grad_(False).to(dtype)
    nn.init.normal_(dit.detail.head.weight, std=0.2)
    given = torch.randn(1, 4, 2, 4, 4).to(dtype), torch.tensor([400.0]), torch.randn(1, 5, 24).to(dtype)
    wanted, read = dit(*given), []

    def backend(graph, _):
        read.append(graph)
        return graph

    for module in (*dit.blocks, dit.detail):
        module.compile(dynamic=False, backend=backend)
    made = dit(*given)
    assert made.dtype == dtype and off(made, wanted) < HALVES[dtype]
    assert len(read) == 2, "one program for all blocks, and one behind them"
    of = {
        node.meta["example_value"].dtype
        for graph in read
        for node in graph.graph.nodes
        if node.target in (F.linear, torch.conv3d, torch.matmul, torch.bmm, F.scaled_dot_product_attention)
    }
    assert of == {torch.float32}
