"""Weights in brackets: how they are read, and what they scale."""

from __future__ import annotations

import time

import pytest
import torch
from nodes_support import tiny_parts

from sora_core.errors import SoraError
from sora_core.model.text import emphasis
from sora_core.model.text.emphasis import encode_prompt, plain_text, split_weights


@pytest.mark.parametrize(
    ("prompt", "pieces"),
    [
        ("a cat", [("a cat", 1.0)]),
        ("a (red cat:1.5) runs", [("a ", 1.0), ("red cat", 1.5), (" runs", 1.0)]),
        ("((cat))", [("cat", 1.1 * 1.1)]),
        (r"a \(small\) cat", [("a (small) cat", 1.0)]),
        ("a cat :) (", [("a cat :) (", 1.0)]),
    ],
)
def test_weights_are_read(prompt, pieces):
    found = split_weights(prompt)
    assert [t for t, _ in found] == [t for t, _ in pieces]
    assert [w for _, w in found] == pytest.approx([w for _, w in pieces])


def test_a_weight_scales_its_word_only():
    encoder = tiny_parts()["text"]
    plain, weighted = encode_prompt(encoder, "a red cat"), encode_prompt(encoder, "a (red:1.5) cat")
    red = [c for c, (word, _) in enumerate(encoder.tokenizer.match("a red cat")) if word == "red"]
    assert torch.allclose(weighted[:, red], plain[:, red] * 1.5)
    rest = [i for i in range(plain.shape[1]) if i not in red]
    assert torch.equal(weighted[:, rest], plain[:, rest]) and plain_text("a (red:1.5) cat") == "a red cat"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("draw", "pieces"),
    [
        (lambda n: "(" * n, 1),
        (lambda n: "()" * (n // 2), 0),
        (lambda n: "(" * (n // 5) + "cat" + ":1)" * (n // 5), 1),
        (lambda n: "(a:" * (n // 3), 1),
        (lambda n: ":" + "1" * n, 1),
        (lambda n: "(a:" + "1" * n + "x)", 1),
        (lambda n: "(a:1" + " " * n + "x)", 1),
        (lambda n: "(a)" * (n // 3), None),
    ],
)
def test_brackets_are_read_in_time_with_the_prompt(draw, pieces, monkeypatch):
    monkeypatch.setattr(emphasis, "MAX_WEIGHTED", 10**7)

    def spent(length: int) -> float:
        text, start = draw(length), time.process_time()
        found = split_weights(text)
        assert pieces is None or len(found) == pieces
        return time.process_time() - start

    assert min(spent(160_000) for _ in range(2)) < 24 * max(min(spent(20_000) for _ in range(2)), 0.01)


def test_a_long_prompt_is_refused_before_it_is_read():
    start = time.process_time()
    for reader in (split_weights, plain_text, lambda prompt: encode_prompt(tiny_parts()["text"], prompt)):
        with pytest.raises(SoraError, match="1000000 characters; with brackets at most 16000"):
            reader("(" * 1_000_000)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("(a cat:" + "9" * 400 + ")", "is endless: use at most 1000"),
        ("(a cat:" + "9" * 30 + ")", "is 1e.30: use at most 1000"),
        ("(a cat:-5000)", "is -5e.03"),
        ("(" * 1200 + "a cat" + ")" * 1200, "use at most 1000. Brackets multiply"),
    ],
)
def test_weights_that_no_number_can_be_scaled_by_are_refused(prompt, said):
    with pytest.raises(SoraError, match=said):
        split_weights(prompt)
