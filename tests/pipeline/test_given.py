"""What is of another kind than a call takes is refused in words, before any work."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from pipeline_support import tiny_pipeline

import sora_core
from sora_core.errors import SoraError
from sora_core.pipeline import given
from sora_core.pipeline.pipeline import Pipeline

HOW = {"seed": 1, "steps": 1, "cfg": 1.0, "frames": 5}
VIDEO = torch.rand(5, 32, 32, 3, generator=torch.Generator().manual_seed(1))
MASK = np.ones((32, 32), np.float32)


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline()


SETTINGS = {
    "negative": [3, b"a cat"],
    "seed": ["x", 1.5, torch.tensor(1.5)],
    "cfg": ["4", [4.0]],
    "interval": ["x", 5, (0.5,), ("a", "b")],
    "options": ["eta", 3],
    "progress": ["x"],
    "frames": ["5", 5.0],
    "seconds": ["2"],
    "fps": ["8"],
    "width": ["32", 32.0],
    "shift": ["x"],
}


@pytest.mark.parametrize(("name", "value"), [(name, each) for name, values in SETTINGS.items() for each in values])
def test_settings_of_another_kind_are_named(pipe, name, value):
    with pytest.raises(SoraError, match=rf"^{name} is .*\. Use (a|two) "):
        pipe.generate("a cat", **HOW | {name: value})


@pytest.mark.parametrize("prompt", [None, 3, ["a cat"], b"a cat"])
def test_a_prompt_is_a_text(pipe, prompt):
    for call in (pipe.unknown_words, pipe.generate, lambda text: pipe.extend(VIDEO, text)):
        with pytest.raises(SoraError, match=r"^prompt is .*\. Use a text\."):
            call(prompt)


CALLS = {
    "region": lambda pipe: pipe.infill(VIDEO, "a cat", region=MASK),
    "hidden": lambda pipe: pipe.infill(VIDEO, "a cat", hidden="1-2"),
    "hidden is 2": lambda pipe: pipe.infill(VIDEO, "a cat", hidden=2),
    "hidden is .1.5": lambda pipe: pipe.infill(VIDEO, "a cat", hidden=[1.5]),
    "size": lambda pipe: pipe.extend(VIDEO, "a cat", size="32x32"),
    "size is 32": lambda pipe: pipe.animate(VIDEO[0], "a cat", size=32),
    "image": lambda pipe: pipe.animate({"first": VIDEO[0]}, "a cat"),
    "strength": lambda pipe: pipe.remix(VIDEO, "a cat", strength="x"),
    "strength is None": lambda pipe: pipe.remix(VIDEO, "a cat", strength=None),
    "hold": lambda pipe: pipe.extend(VIDEO, "a cat", hold="x"),
    "rolling": lambda pipe: pipe.extend(VIDEO, "a cat", rolling=5),
    "latent is {}": lambda pipe: pipe.make({}, "a cat"),
    "latent is a tensor": lambda pipe: pipe.make(torch.zeros(1, 16, 2, 4, 4), "a cat"),
    "path": lambda pipe: pipe.with_lora(3),
    "path is None": lambda pipe: pipe.long_video("a cat", None),
    "notes": lambda pipe: pipe.long_video("a cat", "a.mp4", notes="x"),
    "model": lambda pipe: sora_core.load(3),
    "dtype": lambda pipe: sora_core.load(dtype="float32"),
    "device": lambda pipe: sora_core.load(device=0.5),
    "The device 'foo' cannot be used": lambda pipe: sora_core.load(device="foo"),
    "Shot 2": lambda pipe: pipe.storyboard([("a cat", 2), ("a dog", "x")]),
    "Shot 1 is 'a cat'": lambda pipe: pipe.storyboard(["a cat", "a dog"]),
    "Shot 1 lasts nan s": lambda pipe: pipe.long_video([("a cat", float("nan")), ("a dog", 2)], "a.mp4"),
    "Line 1 of the storyboard lasts -2 s": lambda pipe: pipe.storyboard("-2s: a cat\n3s: a dog"),
    "The shots are 3": lambda pipe: pipe.storyboard(3),
}


@pytest.mark.parametrize("words", CALLS)
def test_arguments_of_another_kind_are_named(pipe, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SoraError, match=f"^{words}"):
        CALLS[words](pipe)


def test_numbers_may_be_numpys_and_torchs(pipe):
    usual = pipe.generate("a cat", **HOW)
    for whole, number in ((np.int64, np.float32), (torch.tensor, torch.tensor)):
        settings = {"seed": int(whole(1)), "frames": whole(5), "cfg": number(1.0)}
        assert torch.equal(pipe.generate("a cat", **HOW | settings).latent, usual.latent)
    made = [pipe.infill(VIDEO, "a cat", hidden=each, seed=1, steps=1) for each in (range(2, 5), np.arange(2, 5))]
    assert torch.equal(made[0].latent, made[1].latent)


def test_every_kind_that_a_signature_names_is_known():
    """What is new in a signature gets a row in the table, or checks itself where it is read."""
    elsewhere = {"Video", "str | Sequence[Shot | tuple[str, float]]", "bool", "dict[str, str]", "OwnEngine"}
    calls = [getattr(Pipeline, name) for name in ("generate", "animate", "extend", "infill", "connect", "loop")]
    calls += [Pipeline.remix, Pipeline.storyboard, Pipeline.long_video, Pipeline.make, Pipeline.with_lora]
    for call in [*calls, sora_core.load]:
        for parameter in list(inspect.signature(call).parameters.values()):
            said = str(parameter.annotation).removesuffix(" | None")
            ours = parameter.name == "self" or parameter.kind is parameter.VAR_KEYWORD
            assert ours or said in given.KINDS or said in elsewhere, f"{call.__name__}: {parameter}"
    assert {kind.removesuffix(" | None") for kind in given.SETTINGS.values()} <= set(given.KINDS)
