"""Compiled blocks: the same video but for rounding, on the same weights, and a line where nothing can be compiled."""

import threading

import pytest
import torch
from dit_support import tiny
from torch import nn

import sora_core
from sora_core.cli.main import main
from sora_core.errors import SoraError
from sora_core.model.compiling import compiled
from sora_core.model.layers import is_compiled

HOW = {"steps": 2, "seed": 3, "width": 64, "height": 64}


@pytest.mark.slow  # the compiler takes its time where it has kept nothing
def test_a_compiled_pipeline_makes_the_same_video_on_the_same_weights():
    plain, picture = sora_core.load(), torch.rand(64, 64, 3)
    fast = plain.compiled()
    dit, other = plain.bundle.dit, fast.bundle.dit
    assert all(map(is_compiled, other.blocks)) and not any(map(is_compiled, dit.blocks))
    assert all(a is b for a, b in zip(dit.parameters(), other.parameters(), strict=True))
    for call in (
        lambda pipe: pipe.generate("a cat moving right on a beach", **HOW),
        lambda pipe: pipe.generate("a cat moving right on a beach", cache=0.5, gate=0.5, **HOW),
        lambda pipe: pipe.animate(picture, "a cat moving right on a beach", steps=2),
        lambda pipe: pipe.storyboard([("a cat on a beach", 1), ("a dog in the snow", 1)], **HOW),
        lambda pipe: pipe.with_lora("sora-mini-4step").generate("a cat moving right on a beach", **HOW | {"steps": 1}),
    ):
        wanted, made = call(plain).latent, call(fast).latent
        assert 0 < (wanted - made).abs().max() < 1e-4
    assert all(map(is_compiled, fast.with_lora("sora-mini-4step").bundle.dit.blocks))


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_it_says_what_is_missing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sora_core.model.compiling.onednn_pays", lambda: False)
    with pytest.raises(SoraError, match=r"needs a C\+\+ compiler.*go on without compiling"):
        sora_core.load().compiled()
    out = tmp_path / "cat.mp4"
    assert main(["generate", "a cat", "-o", str(out), "--steps", "1", "--compile"]) == 1
    said = capsys.readouterr().err
    assert "C++ compiler" in said and "Traceback" not in said and not out.exists()


@pytest.mark.usefixtures("no_compiler")
def test_the_command_does_not_compile_where_that_is_slower(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sora_core.model.compiling.onednn_pays", lambda: True)
    monkeypatch.setattr("sora_core.model.compiling.onednn", lambda: (torch.float32,))
    out = tmp_path / "cat.mp4"
    assert main(["generate", "a cat", "-o", str(out), "--steps", "1", "--compile"]) == 0 and out.exists()
    assert "--compile: left out." in capsys.readouterr().err


@pytest.fixture
def no_compiler(monkeypatch, tmp_path):
    """A machine whose compiler is away, and nothing kept of what was compiled."""
    import torch._inductor.config as settings

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "kept"))
    monkeypatch.setenv("CXX", str(tmp_path / "nothing" / "g++"))
    torch._dynamo.reset()
    with settings.patch({"cpp.cxx": (None, str(tmp_path / "nothing" / "g++"))}):
        yield


@pytest.fixture
def eager(monkeypatch):
    """The compiler's reading of the code alone, which takes moments."""
    compile_module = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", lambda self, **how: compile_module(self, backend="eager", **how))
    monkeypatch.setattr("sora_core.model.compiling.check_compiler", lambda device: None)
    torch._dynamo.reset()


GIVEN = (torch.ones(1, 4, 2, 4, 4), torch.tensor([400.0]), torch.ones(1, 5, 24))


@pytest.mark.usefixtures("eager")
@torch.no_grad()
def test_what_is_done_to_a_compiled_model_leaves_the_first_one_alone():
    dit = tiny()
    before, other, seen = dit(*GIVEN), compiled(dit), []
    assert torch.allclose(other(*GIVEN), before, atol=1e-5) and torch.equal(dit(*GIVEN), before)
    other.blocks[0].register_forward_hook(lambda *_: seen.append("after"))
    other.blocks[0].register_forward_pre_hook(lambda *_: seen.append("before"))
    other.blocks[1].ffn[0].weight = nn.Parameter(torch.zeros(160, 96))
    other.blocks[1].register_buffer("more", torch.zeros(1))
    other.register_module("extra", nn.Identity())
    other.blocks[2].self_attn.norm_q.weight = None
    assert torch.equal(dit(*GIVEN), before) and not seen
    assert set(dict(dit.named_buffers())) == set() and len(dit.state_dict()) == len(tiny().state_dict())


@pytest.mark.usefixtures("eager")
@torch.no_grad()
def test_a_thread_compiles_as_many_shapes_as_any():
    """PyTorch's settings are a thread's own, and a host calls models in another than that which loads them."""
    other, counts = compiled(tiny()), torch._dynamo.utils.counters
    counts.clear()
    (x, t, context), shapes = GIVEN, 12
    calls = torch.no_grad()(lambda: [other(x.repeat(1, 1, n, 1, 1), t, context) for n in range(1, shapes + 1)])
    worker = threading.Thread(target=calls)
    worker.start()
    worker.join()
    assert counts["stats"]["unique_graphs"] == shapes


@pytest.mark.usefixtures("eager")
@torch.no_grad()
def test_a_compiled_model_is_compiled_once_for_all_threads():
    other, made = compiled(tiny()), {}
    workers = [threading.Thread(target=torch.no_grad()(lambda n=n: made.update({n: other(*GIVEN)}))) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(made) == 4 and all(torch.equal(one, other(*GIVEN)) for one in made.values())


@pytest.mark.usefixtures("eager")
def test_a_model_whose_blocks_a_host_compiled_is_not_shared_and_runs_as_ours_does():
    dit = tiny()
    before = torch.no_grad()(dit)(*GIVEN)
    for number, block in enumerate(dit.blocks):
        dit.blocks[number] = torch.compile(block, backend="eager")
    assert all(map(is_compiled, dit.blocks))
    assert torch.allclose(torch.no_grad()(dit)(*GIVEN), before, atol=1e-5)
    with pytest.raises(SoraError, match="runs on one device"):
        dit.share(object())


@pytest.mark.usefixtures("eager")
def test_a_shared_model_is_not_compiled():
    dit = tiny()
    dit.share(object())
    with pytest.raises(SoraError, match="runs on one device"):
        compiled(dit)


def test_a_compiled_model_is_not_shared_among_devices(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sora_core.model.compiling.check_compiler", lambda device: None)
    dit = compiled(tiny())
    with pytest.raises(SoraError, match="runs on one device"):
        dit.share(object())
    dit.share(None)
    line = ["generate", "a cat", "-o", str(tmp_path / "a.mp4"), "--compile", "--devices", "2"]
    assert main(line) == 1 and "--compile: a compiled model runs on one device" in capsys.readouterr().err
