"""Tokens, the text encoder, and checkpoints that load strictly or not at all."""

import json
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from sora_core.errors import SoraError
from sora_core.language.lexicon import load_lexicon
from sora_core.loading import checkpoint
from sora_core.model.dit import DiT, DiTConfig
from sora_core.model.text.concepts import TextConfig, TextEncoder, Tokenizer, Vocabulary
from sora_core.model.vae.mini import VAEConfig, VideoVAE
from sora_core.training.recipes.dit import widened


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.from_lexicon(load_lexicon())


@pytest.fixture(scope="module")
def parts(vocabulary):
    torch.manual_seed(0)
    return {
        "dit": DiT(DiTConfig(32, 64, 2, 1, text_dim=16, text_len=64)),
        "vae": VideoVAE(
            VAEConfig(
                width=(8, 8),
                encoder_blocks=(1, 1),
                decoder_blocks=(1, 1),
                latent_mean=(0.5,) * 16,
                latent_std=(2.0,) * 16,
            )
        ),
        "text": TextEncoder(TextConfig(16, 2, 1, 64), vocabulary),
    }


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


@pytest.fixture()
def model_file(parts, tmp_path):
    path = tmp_path / "tiny.safetensors"
    checkpoint.save(path, parts, {"name": "tiny", "shift": 3.0}, dtype=torch.float32)
    return path


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


def test_encoder_pads_with_zeros_and_ignores_the_batch(parts):
    text = parts["text"].eval()
    with torch.no_grad():
        both, alone = text.encode(["a cat", "a dog moving right on a beach"]), text.encode(["a cat"])
        empty = text.encode([""])
    assert both.shape == (2, 64, 16) and torch.allclose(both[:1], alone, atol=1e-6)
    assert (both[0, 2:] == 0).all() and (empty == 0).all() and torch.isfinite(both).all()


def test_round_trip(parts, model_file):
    bundle = checkpoint.load_model(model_file)
    assert bundle.info["name"] == "tiny"
    for name, part in parts.items():
        loaded = getattr(bundle, name)
        assert loaded.config == part.config
        assert all(torch.equal(v, loaded.state_dict()[k]) for k, v in part.state_dict().items())
    assert bundle.text.tokenizer.vocabulary == parts["text"].tokenizer.vocabulary
    z = torch.randn(1, 16, 2, 2, 2)
    assert torch.allclose(bundle.vae.decode(z), parts["vae"].decode(z), atol=1e-6)


def rewrite(path, change_state=None, change_meta=None):
    from safetensors import safe_open

    with safe_open(path, "pt") as f:
        meta = json.loads(f.metadata()["sora"])
    state = load_file(path)
    if change_state:
        change_state(state)
    if change_meta:
        change_meta(meta)
    save_file(state, path, {"sora": json.dumps(meta)})


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda p: p.write_bytes(p.read_bytes()[:1000]), "cut short"),
        (lambda p: p.write_bytes(pickle.dumps({"a": 1})), "pickle"),
        (lambda p: p.write_bytes(b""), "cannot be read"),
        (lambda p: rewrite(p, lambda s: s.pop("dit.head.head.weight")), "missing: head.head.weight"),
        (lambda p: rewrite(p, lambda s: s.update({"dit.extra": torch.zeros(1)})), "unexpected: extra"),
        (
            lambda p: rewrite(p, lambda s: s.update({"dit.head.head.bias": torch.zeros(3)})),
            "wrong shape: head.head.bias",
        ),
        (lambda p: rewrite(p, None, lambda m: m.update(format=99)), "format 1"),
        (lambda p: rewrite(p, None, lambda m: m["parts"]["dit"].update(window=3)), "newer version"),
        (lambda p: rewrite(p, None, lambda m: m["parts"].update(observer={})), "no part of a model"),
        (lambda p: rewrite(p, None, lambda m: m["parts"].pop("vae")), "lacks vae"),
        (lambda p: save_file({"a": torch.zeros(1)}, p), "no Sora Nodes config"),
    ],
)
def test_damaged_files_are_refused(model_file, damage, words):
    damage(model_file)
    with pytest.raises(SoraError, match=words):
        checkpoint.load_model(model_file)


def test_unknown_model_names_the_known(tmp_path):
    with pytest.raises(SoraError, match="embedded models"):
        checkpoint.load_model("no-such-model")
