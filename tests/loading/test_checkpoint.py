"""Checkpoints load strictly or not at all."""

import json
import pickle
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from sora_core.errors import SoraError
from sora_core.host.desk.desk import lora_file, resolve_model
from sora_core.language.lexicon import load_lexicon
from sora_core.loading import checkpoint
from sora_core.loading.lora import read_lora
from sora_core.loading.parts import PARTS, Part
from sora_core.model.dit import DiT, DiTConfig
from sora_core.model.text.concepts import TextConfig, TextEncoder, Vocabulary
from sora_core.model.vae.mini import VAEConfig, VideoVAE


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


@pytest.fixture()
def model_file(parts, tmp_path):
    path = tmp_path / "tiny.safetensors"
    checkpoint.save(path, parts, {"name": "tiny", "shift": 3.0}, dtype=torch.float32)
    return path


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


def test_a_loaded_vae_has_its_statistics(parts, model_file):
    """They are of the config: no tensors of the file, which holds weights only, and exact in any precision."""
    assert not {"vae.mean", "vae.std"} & set(load_file(model_file))
    for dtype in (torch.float32, torch.bfloat16):
        vae = checkpoint.load_model(model_file, dtype).vae
        assert vae.mean.device.type == "cpu" and vae.decoder.head.weight.dtype == dtype
        assert torch.equal(vae.mean, parts["vae"].mean) and torch.equal(vae.std, parts["vae"].std)


def test_a_further_part_is_one_entry(parts, tmp_path, monkeypatch):
    """Another VAE, under a name of its own, with something besides its config in its description."""

    class Labelled(VideoVAE):
        def __init__(self, config, label):
            super().__init__(config)
            self.label = label

    other = Part("vae", VAEConfig, Labelled, {"label": lambda vae: vae.label})
    monkeypatch.setitem(PARTS, "labelled", other)
    vae = Labelled(parts["vae"].config, "a label")
    path = tmp_path / "other.safetensors"
    checkpoint.save(path, {"dit": parts["dit"], "labelled": vae, "text": parts["text"]}, dtype=torch.float32)
    assert any(key.startswith("labelled.decoder.") for key in load_file(path))
    bundle = checkpoint.load_model(path)
    assert isinstance(bundle.vae, Labelled) and bundle.vae.label == "a label"
    z = torch.randn(1, 16, 2, 2, 2)
    assert torch.equal(bundle.vae.decode(z), vae.decode(z))


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


def test_an_unknown_model_is_told_in_the_same_words_wherever_it_is_asked_for(tmp_path, monkeypatch):
    files = {"sora-tiny": tmp_path / "sora-tiny.safetensors"}
    files["sora-tiny"].touch()
    (tmp_path / "detector.safetensors").touch()  # makes no video
    monkeypatch.setattr(checkpoint, "WEIGHTS", tmp_path)
    for name, hint in (("sora-tyni", "did you mean sora-tiny\\?"), ("quite-other", "choose one of sora-tiny")):
        for find in (checkpoint.resolve, lambda name: resolve_model(name, files)):
            with pytest.raises(SoraError, match=f"There is no model '{name}': {hint}") as refused:
                find(name)
            assert "detector" not in str(refused.value)
        with pytest.raises(SoraError, match=f"There is no LoRA '{name}': {hint}"):
            lora_file(name, files)
    with pytest.raises(SoraError, match="There is no observer 'obs': none is installed"):
        checkpoint.resolve("obs", "observer")
    with pytest.raises(SoraError, match="There is no LoRA 'sora-4stp'"):
        read_lora("sora-4stp")
    with pytest.raises(SoraError, match="none is installed"):
        lora_file("any", {})
    assert checkpoint.resolve("sora-tiny") == resolve_model("sora-tiny", files) == lora_file("sora-tiny", files)


@pytest.mark.slow
def test_a_model_is_built_without_torchs_compiler(model_file):
    """Its import would take a second of every cold start."""
    code = (
        "import sys; from sora_core.loading.checkpoint import load_model; load_model(sys.argv[1]);"
        "print('torch._dynamo' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code, str(model_file)], text=True).strip() == "False"
