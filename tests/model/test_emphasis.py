"""Weights in brackets: how they are read, and what they scale."""

from __future__ import annotations

import pytest
import torch
from nodes_support import tiny_parts

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
