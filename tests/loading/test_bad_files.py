"""Files that are no model or no LoRA are refused in words that say what they are."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sora_core.errors import SoraError
from sora_core.loading import checkpoint
from sora_core.loading.lora import apply_lora, read_lora

Q = "diffusion_model.blocks.0.self_attn.q"


@pytest.fixture(scope="module")
def bundle():
    return checkpoint.load_model()


def tensors(path: Path, meta: str | None = None, key: str = "sora", **named: torch.Tensor) -> Path:
    save_file(named or {"x": torch.zeros(2)}, path, None if meta is None else {key: meta})
    return path


def refusal(call, *given) -> str:
    with pytest.raises(SoraError) as error:
        call(*given)
    assert len(str(error.value).splitlines()) <= 2
    return str(error.value)


SORA = {"format": 1, "info": {}, "parts": {}}
METADATA = {
    "no JSON": ("{", "metadata that cannot be read"),
    "deep": ("[" * 100_000, "metadata that cannot be read"),
    "5000 digits": ("9" * 5000, "metadata that cannot be read"),
    "a list": ("[1]", "carries no Sora Nodes config"),
    "of another format": ('{"format": 7}', "carries no Sora Nodes config"),
    "without parts": ('{"format": 1}', "say nothing of its parts"),
    "parts a list": (json.dumps({**SORA, "parts": [1]}), "say nothing of its parts"),
    "info a text": (json.dumps({**SORA, "info": "x"}), "say nothing of its parts"),
    "a part that is a number": (json.dumps({**SORA, "parts": {"dit": 5}}), "say nothing of its parts"),
    "no parts": (json.dumps(SORA), "lacks dit, text, vae"),
    "an unknown part": (json.dumps({**SORA, "parts": {"eye": {}}}), "no part of a model"),
    "a config of nothing": (json.dumps({**SORA, "parts": {"dit": {}}}), "m.safetensors (dit)"),
    "a config of words": (json.dumps({**SORA, "parts": {"dit": {"dim": "x"}}}), "describes no network"),
    "no heads": (json.dumps({**SORA, "parts": {"dit": {"num_heads": 0}}}), "describes no network"),
    "no vocabulary": (json.dumps({**SORA, "parts": {"text": {}}}), "describes no network"),
    "a vocabulary of numbers": (json.dumps({**SORA, "parts": {"text": {"vocabulary": 5}}}), "describes no network"),
}


@pytest.mark.parametrize("case", METADATA)
def test_metadata_of_a_model(tmp_path, case):
    meta, words = METADATA[case]
    message = refusal(checkpoint.load_model, tensors(tmp_path / "m.safetensors", meta))
    assert words in message and "m.safetensors" in message


CONTENTS = {
    "nothing": (b"", "cut short"),
    "half a header": (struct.pack("<Q", 90) + b"{", "cut short"),
    "a pickle": (b"\x80\x04K\x01.", "is a pickle"),
    "a zip": (b"PK\x03\x04", "is a pickle"),
    "gguf": (b"GGUF\x03\0\0\0", "is a GGUF file"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 5\n", "git lfs pull"),
    "a web page": (b"\n<!DOCTYPE html><html>404</html>", "is a web page"),
}


@pytest.mark.parametrize("case", CONTENTS)
@pytest.mark.parametrize("call", [checkpoint.load_model, read_lora])
def test_files_of_another_kind(tmp_path, case, call):
    content, words = CONTENTS[case]
    path = tmp_path / "f.safetensors"
    path.write_bytes(content)
    assert words in refusal(call, path)


def test_a_folder_is_no_model(tmp_path):
    assert "is a folder" in refusal(checkpoint.load_model, tmp_path)


def pair(rank: int = 2, width: int = 256, **more: torch.Tensor) -> dict[str, torch.Tensor]:
    return {
        f"{Q}.lora_up.weight": torch.zeros(256, rank),
        f"{Q}.lora_down.weight": torch.zeros(rank, width),
        **{f"{Q}.{name}": value for name, value in more.items()},
    }


BAD_LORAS = {
    "alpha of three": (pair(alpha=torch.ones(3)), None, "alpha is [3], not one number"),
    "alpha of nothing": (pair(alpha=torch.tensor(float("nan"))), None, "alpha is nan"),
    "rank 0": (pair(0), None, "no low-rank change"),
    "one number": ({f"{Q}.lora_up.weight": torch.tensor(1.0), f"{Q}.lora_down.weight": torch.tensor(1.0)}, None, "[]"),
    "whole numbers": ({name: value.long() for name, value in pair().items()}, None, "no low-rank change"),
    "half a pair": ({f"{Q}.lora_up.weight": torch.zeros(2, 2)}, None, "no lora_down.weight"),
    "of another width": (pair(width=7), None, "of another model"),
    "ranks that differ": ({**pair(), f"{Q}.lora_up.weight": torch.zeros(256, 3)}, None, "of another model"),
    "words a number": (pair(), '{"words": 5}', "words: 5"),
    "words of numbers": (pair(), '{"words": [5]}', "words: [5]"),
    "metadata no JSON": (pair(), "{", "metadata that cannot be read"),
    "another method": ({f"{Q}.hada_w1_a": torch.zeros(2, 2)}, None, "no LoRA that can be read here"),
}


@pytest.mark.parametrize("case", BAD_LORAS)
def test_bad_loras(tmp_path, bundle, case):
    named, meta, words = BAD_LORAS[case]
    path = tensors(tmp_path / "l.safetensors", meta, "sora_lora", **named)
    assert words in refusal(lambda: apply_lora(bundle, read_lora(path)))


def test_a_lora_whose_metadata_are_a_list_has_none(tmp_path, bundle):
    path = tensors(tmp_path / "l.safetensors", "[1]", "sora_lora", **pair())
    assert read_lora(path).words == () and apply_lora(bundle, read_lora(path)).dit is not bundle.dit
