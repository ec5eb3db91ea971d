"""Tokens and the text encoder: words of both languages, order, and prompts side by side."""

import pytest
import torch

from sora_core.errors import SoraError
from sora_core.language.lexicon import load_lexicon
from sora_core.loading import checkpoint
from sora_core.model.text.concepts import TextConfig, TextEncoder, Tokenizer, Vocabulary
from sora_core.training.recipes.dit import widened


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.from_lexicon(load_lexicon())


def test_words_that_see_their_neighbours(vocabulary, tmp_path):
    """It begins as it was; then order counts, and what a prompt is encoded beside does not."""
    torch.manual_seed(1)
    blind = TextEncoder(TextConfig(16, 2, 1, 64), vocabulary)
    text = widened(blind, 2)
    prompts = ["a cat on the left of a dog", "a dog on the left of a cat", "a cat " * 12]
    assert torch.equal(text.encode(prompts), blind.encode(prompts)) and widened(text, 3) is text
    torch.nn.init.normal_(text.neighbours.weight, std=0.1)
    together, alone = text.encode(prompts), torch.cat([text.encode([prompt]) for prompt in prompts])
    torch.testing.assert_close(together, alone)
    cat = [int((ids == Tokenizer(vocabulary).ids("cat", 2)[0]).nonzero()[0]) for ids in text.token_ids(prompts[:2])]
    assert not torch.allclose(together[0, cat[0]], together[1, cat[1]], atol=0.1)
    checkpoint.save_part(tmp_path / "text.safetensors", "text", text, dtype=torch.float32)
    loaded = checkpoint.load_parts(tmp_path / "text.safetensors")[0]["text"]
    torch.testing.assert_close(loaded.encode(prompts), together)


def concepts(vocabulary, prompt):
    return [c if c is None else vocabulary.concepts[c] for _, c in Tokenizer(vocabulary).match(prompt)]


def test_languages_share_concepts(vocabulary):
    assert "cat" in concepts(vocabulary, "A cat!") and "cat" in concepts(vocabulary, "一只猫")
    left = concepts(vocabulary, "moving left")
    assert "left" in left and "left" in concepts(vocabulary, "向左") and "right" not in left


def test_unknown_words_are_told(vocabulary):
    assert Tokenizer(vocabulary).unknown_words("a cat rides a qwyjibo past the qwyjibo").count("qwyjibo") == 1
    assert Tokenizer(vocabulary).unknown_words("a cat's beach, ＣＡＴ") == []


def test_long_prompts(vocabulary):
    tokenizer = Tokenizer(vocabulary)
    assert len(tokenizer.ids("a cat on the beach " * 12, 64)) <= 64
    with pytest.raises(SoraError, match="words that count"):
        tokenizer.ids("cat dog fish " * 100, 64)
    with pytest.raises(SoraError, match="characters"):
        tokenizer.ids("cat " * 5000, 64)


def test_encoder_pads_with_zeros_and_ignores_the_batch(vocabulary):
    torch.manual_seed(0)
    text = TextEncoder(TextConfig(16, 2, 1, 64), vocabulary).eval()
    with torch.no_grad():
        both, alone = text.encode(["a cat", "a dog moving right on a beach"]), text.encode(["a cat"])
        empty = text.encode([""])
    assert both.shape == (2, 64, 16) and torch.allclose(both[:1], alone, atol=1e-6)
    assert (both[0, 2:] == 0).all() and (empty == 0).all() and torch.isfinite(both).all()
