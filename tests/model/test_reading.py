"""Cross-attention to a short text, worked out ahead: what it gives is what the formulas give."""

import copy

import pytest
import torch

from sora_core.model.dit import DiT, DiTConfig
from sora_core.model.products import onednn

WIDE = DiTConfig(128, 160, num_heads=2, num_layers=2, in_dim=4, out_dim=4, text_dim=24, text_len=64, freq_dim=32)

pytestmark = pytest.mark.skipif(torch.float32 not in onednn(), reason="this processor takes the plain way")


@pytest.fixture(scope="module")
def dit():
    torch.manual_seed(0)
    made = DiT(WIDE).eval().requires_grad_(False)
    for name, weight in made.named_parameters():
        if "bias" in name or "norm" in name:
            weight.normal_(0.5, 0.5)
    return made


def context(*words: int) -> torch.Tensor:
    made = torch.zeros(len(words), 40, 24)
    for row, count in zip(made, words, strict=True):
        row[:count] = torch.randn(count, 24)
    return made


@pytest.mark.parametrize("words", [(7,), (0,), (7, 0), (0, 3, 0, 0), (3, 5), (0, 0), (7, 0, 4, 0, 0, 31)])
def test_what_is_read_is_what_the_formulas_give(dit, words):
    texts, t = context(*words), torch.tensor([300.0])
    x = torch.randn(1, 4, 2, 4, 6)
    with torch.no_grad():
        text = dit.text_keys(texts)
        assert all(one.digest is not None for one in text)
        made, again = dit(x, t, text=text), dit(x, t, text=text)
    with torch.enable_grad():
        wanted = dit(x.repeat(len(words), 1, 1, 1, 1), t.repeat(len(words)), texts)
    assert torch.equal(made, again)
    assert torch.allclose(made, wanted, atol=1e-5)


def test_one_text_serves_all_clips(dit):
    x, t = torch.randn(3, 4, 2, 4, 6), torch.tensor([300.0, 20.0, 900.0])
    for words in (5, 0):
        texts = context(words)
        with torch.no_grad():
            made = dit(x, t, texts)
        with torch.enable_grad():
            assert torch.allclose(made, dit(x, t, texts.expand(3, -1, -1)), atol=1e-5)


def test_where_it_does_not_serve_it_is_not_made(dit):
    hooked = copy.deepcopy(dit)
    for block in hooked.blocks:
        block.cross_attn.o.register_forward_hook(lambda layer, args, made: made + 1)
    watched = copy.deepcopy(dit)
    for block in watched.blocks:
        block.cross_attn.register_forward_hook(lambda layer, args, made: made + 1)
    half = copy.deepcopy(dit).bfloat16()
    with torch.no_grad():
        assert all(one.digest is None for one in hooked.text_keys(context(5)))
        assert all(one.digest is None for one in watched.text_keys(context(5)))
        assert all(one.digest is None for one in half.text_keys(context(5).bfloat16()))
        assert all(one.digest is None for one in dit.text_keys(context(40)))
    assert all(one.digest is None for one in dit.text_keys(context(5)))
