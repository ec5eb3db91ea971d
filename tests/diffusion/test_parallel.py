"""One clip over several processes: who does what, and the same values as in one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_flow import TinyFlow

from sora_core.diffusion.exchange import LostError, check_heads, exchanged, talk
from sora_core.diffusion.parallel import Layout, Team, check_shared, told_of
from sora_core.errors import SoraError
from sora_core.model.dit import DiT, DiTConfig
from sora_core.model.registry import DIT_CONFIGS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("world", "settings", "parts"),
    [
        (2, {}, [[0], [1]]),
        (2, {"guided": False}, [[0, 1]]),
        (3, {}, [[0, 1, 2]]),
        (4, {}, [[0, 1], [2, 3]]),
        (4, {"cfg": 1}, [[0, 1, 2, 3]]),
        (4, {"sequence": 4}, [[0, 1, 2, 3]]),
        (3, {"apart": True}, [[1], [2]]),
        (2, {"apart": True}, [[1]]),
        (1, {}, [[0]]),
    ],
)
def test_every_process_has_its_part(world, settings, parts):
    layout = Layout.plan(world, **settings)
    assert layout.parts == parts and layout.world == world


@pytest.mark.parametrize(
    ("world", "settings", "words"),
    [
        (1, {"apart": True}, "at least 2 processes"),
        (3, {"cfg": 2}, "start 2 processes"),
        (2, {"cfg": 2, "sequence": 2}, "start 4 processes"),
        (4, {"cfg": 3}, "use 1 or 2"),
        (3, {"sequence": 2, "apart": True, "cfg": 2}, "and one that decodes: start 5"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(world, settings, words):
    with pytest.raises(SoraError, match=words):
        Layout.plan(world, **settings)


@pytest.mark.parametrize(("cfg", "prompts", "dealt"), [(2, 2, [[0], [1]]), (2, 1, [[0], []]), (2, 3, [[0, 1], [2]])])
def test_prompts_are_dealt_in_order(cfg, prompts, dealt):
    assert [list(share) for share in Layout(cfg).deal(prompts)] == dealt


def test_models_that_cannot_be_shared_are_refused():
    with pytest.raises(SoraError, match="4 heads.*--split 2x4"):
        check_heads(4, 8)
    check_heads(4, 3)
    check_shared(Layout(cfg=2), TinyFlow())
    with pytest.raises(SoraError, match="--split 2x1"):
        check_shared(Layout(sequence=2), TinyFlow())
    with pytest.raises(SoraError, match="the last one"):
        told_of(lambda x, sigma, prompts: [])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("[pair.cc:553] Connection closed by peer", "has ended"),
        ("Timed out waiting 5000ms for recv", "does not answer"),
    ],
)
def test_a_process_that_is_gone_or_silent_is_told_of(words, told):
    def call():
        raise RuntimeError(words)

    with pytest.raises(LostError, match=told):
        talk(call)


def test_a_stop_is_told_though_the_others_have_gone_already():
    class Alone(Team):
        """The team of process 0 after the others were ended by the same Ctrl-C."""

        def __init__(self):
            self.busy = False

        def tell(self, message):
            raise LostError("Another process of this run has ended.")

    with pytest.raises(KeyboardInterrupt), Alone().leading():
        raise KeyboardInterrupt
    with Alone().leading():
        pass  # all is made


def test_memory_that_runs_out_is_not_taken_for_a_process_that_is_gone():
    def call():
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(RuntimeError, match="allocate"):
        talk(call)


def test_a_shared_model_has_the_fingerprint_that_it_has_alone():
    from sora_core.loading.fingerprint import fingerprint

    class Shard:
        pass

    dit = DiT(DiTConfig(16, 16, 2, 1, text_dim=8, text_len=4))
    before = fingerprint(dit)
    dit.share(Shard())
    assert fingerprint(dit) == before


def test_what_is_sent_falls_with_the_number_of_processes():
    """4 (S - 1) / S^2 of the tokens' values a block and prompt, see DeepSpeed-Ulysses, table 2 and section 3.2."""
    config, tokens = DIT_CONFIGS["wan2.1-t2v-14b"], 75600
    for size in (2, 4, 8):
        blocks = 4 * (size - 1) / size**2 * tokens * config.dim * config.num_layers
        last = (size - 1) * (tokens / size) * config.out_dim * 4
        assert exchanged(tokens, config, size, 2, clips=2) == pytest.approx(2 * 2 * (blocks + last))


RANK = """
import sys
import torch, torch.distributed as dist
sys.path[:0] = sys.argv[1:3]
from dataclasses import replace
from sora_core.diffusion.exchange import Ulysses, exchanged, shared_by
from sora_core.model.dit import DiT, DiTConfig
from sora_core.model.patch import pack
from sora_core.pipeline.devices import join, share

join()
torch.set_grad_enabled(False)
rank, world = dist.get_rank(), dist.get_world_size()
shard = Ulysses(dist.group.WORLD, world, rank)
draw = lambda *shape: torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))
LENGTH = 6

def model(heads, coordinates=False, layers=2):
    torch.manual_seed(1)
    shape = dict(text_dim=16, text_len=LENGTH, coordinates=coordinates, detail=8 * coordinates)
    return DiT(DiTConfig(heads * 8, 32, heads, layers, **shape)).eval()

# 5 x 3 x 5 = 75 tokens and 5 x 1 x 2 = 10, heads that divide by three and that do not, a process without any.
for heads, shape in ((3, (5, 6, 10)), (4, (5, 2, 4)), (5, (1, 2, 4)), (4, (5, 6, 10))):
    dit, tokens = model(heads, coordinates=heads == 4), shape[0] * shape[1] * shape[2] // 4
    x, context = draw(2, 16, *shape), draw(2, LENGTH, 16)
    mask = torch.arange(tokens)[:, None] * LENGTH // tokens >= torch.arange(LENGTH) - 1
    for t in (draw(2).abs() * 100, draw(2, tokens).abs() * 100, draw(2, shape[0]).abs() * 100):
        for text_mask in (None, mask, mask.expand(2, -1, -1)):
            call = dict(context=context, text_mask=text_mask, taps=(1,))
            alone, (feature,) = dit(x, t, **call)
            before = shard.sent
            with shared_by(shard, dit):
                made, (other,) = dit(x, t, **call)
            assert made.shape == alone.shape and (made - alone).abs().max() < 1e-5, (heads, shape, t.shape)
            assert (feature - other).abs().max() < 1e-5
            taps = 4 * 2 * -(-tokens // world) * (world - 1) * dit.config.dim
            assert shard.sent - before == exchanged(tokens, dit.config, world, 4, clips=2) + taps

# Packed clips have no part in it: all of them are worked on here, within a block for others too.
dit, packed = model(3), pack([draw(1, 16, 1, 4, 4), draw(1, 16, 2, 2, 2)], (1, 2, 2))
call = (packed.tokens, packed.positions, packed.sizes, draw(1).abs(), draw(1, LENGTH, 16), packed.attention_mask)
alone = dit.forward_tokens(*call)
with shared_by(shard, dit):
    assert torch.equal(dit.forward_tokens(*call), alone)

# Two experts and guidance in a part of the run: a process without a prompt keeps count of the turns. One drives.
from pipeline_support import tiny_pipeline

def load():
    pipe = tiny_pipeline()
    low = tiny_pipeline()
    for parameter in low.model.dit.parameters():
        parameter.data += 0.02
    joined = pipe.engine.join_experts(pipe.model, low.model, 0.6)
    pipe.loaded = replace(pipe.loaded, model=joined)
    pipe.model = joined
    return pipe

asked = []
def counting(velocity):
    def count(x, sigma, prompts):
        asked.append(len(prompts))
        return velocity(x, sigma, prompts)
    return count

def make(pipe):
    pipe.engine.wrappers = (counting,)
    how = dict(frames=5, steps=4, seed=2, sampler="heun", interval=(0.0, 0.5), cfg=3.0)
    return pipe.generate("a cat on a beach", **how).latent

shared = share(load, make, cfg=2, apart=True)
if rank == 0:
    calls = list(asked)
    alone = make(load())
    assert set(calls) == {1, 2} and asked == 2 * calls
    assert torch.allclose(shared, alone, atol=1e-5), (shared - alone).abs().max()

# Another model in one process, and a LoRA that only process 0 has.
from sora_core.errors import SoraError

def other():
    pipe = tiny_pipeline()
    if rank == 1:
        next(pipe.model.dit.parameters()).data += 1
    return pipe

try:
    share(other, make)
    raise AssertionError("two models were taken for one")
except SoraError as error:
    assert rank == 0 and "Process 1 of 3 has loaded another model" in str(error), error
except SystemExit:
    assert rank > 0

def lacking():
    if rank == 2:
        raise SoraError("there is no such file.")
    return tiny_pipeline()

try:
    share(lacking, make)
    raise AssertionError("a process without a model was not missed")
except SoraError as error:
    # Its own fault, in the process itself, is not printed either.
    assert rank == 0 and "Process 2 of 3 could not load the model: there is no such file." in str(error), error
except SystemExit:
    assert rank > 0

def swapped(pipe):
    try:
        tiny = tiny_pipeline()
        pipe.engine.sample(tiny.model, {"samples": torch.zeros(1, 16, 1, 4, 4)}, [[draw(1, 4, 32), {}]], None,
            sampler=pipe.engine.make_sampler("euler", {}), sigmas=torch.tensor([1.0, 0.0]), seed=0, cfg=1.0)
    except SoraError as error:
        return str(error)

said = share(tiny_pipeline, swapped)
assert rank > 0 or "load models and LoRAs in `load`" in said
print(f"fine {rank}\\n", end="", flush=True)  # at once, or the lines of several mix
"""


@pytest.mark.slow
def test_three_processes_equal_one(tmp_path):
    script = tmp_path / "rank.py"
    script.write_text(RANK)
    env = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")} | {"OMP_NUM_THREADS": "1"}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=3"]
    job = [*launch, str(script), str(ROOT), str(ROOT / "tests" / "support")]
    done = subprocess.run(job, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    assert sorted(done.stdout.split("\n")) == ["", "fine 0", "fine 1", "fine 2"]


@pytest.mark.slow
def test_the_short_form_of_the_benchmark(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tests" / "benchmarks")
    from many_parallel import run

    found = run(short=True)
    for model in found["latents"].values():
        assert model["1x2"]["good"] and model["2x1"]["good"], model
        assert model["1x2"]["bytes exchanged a step"] > 0
    assert found["long"]["equal"]
    assert torch.isfinite(torch.tensor(found["paper"]["splits"]["2x4"]["GB sent by each a step"]))
