"""Our transformer against diffusers' Wan on the same random weights: a step, its parts, a guided run; sora-mini against
another checkout.

    python tests/benchmarks/peers.py [--json] [--short] [--only step,parts,guided,batch,mini] [--precision bf16,fp32]
        [--grid 9x32x32] [--layers 4] [--steps 25] [--gate 0] [--repeats 5] [--against FOLDER]

step: one call of the network in a run, whose text is read and whose weights are laid out once; `direct` reads the
text in the call, as diffusers does. guided: a run with cfg, ours by `sample`, diffusers' as its Wan pipeline does it,
two calls a step. batch: prompt and negative in one batch, which is what ours does, and in two calls. grid: of latents,
t x y x x; 9x32x32 is 2,304 tokens, 5x60x104 is 7,800. parts: where our step's time goes, and which share of the
processor's matrix products, measured in the same run, each part reaches. mini: clips of sora-mini in warm processes:
that of the checkout at --against, ours, and ours with compiled blocks. All alternate and are medians; a ratio is the
other's time over ours. Errors are relative, against diffusers' float32.
--short takes small sizes, to see that all of it works.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import _paths
import torch
import torch.nn.functional as F
from dit_support import to_diffusers

from sora_core.diffusion.prompts import Prompt
from sora_core.diffusion.sampling import DiffusionModel, sample
from sora_core.diffusion.velocity import ModelVelocity
from sora_core.model import attention, block, dit, products
from sora_core.model.dit import DiT, DiTConfig
from sora_core.model.registry import DIT_CONFIGS

PRECISIONS = {"bf16": torch.bfloat16, "fp32": torch.float32}
SHORT = DiTConfig(dim=384, ffn_dim=1024, num_heads=3, num_layers=2, text_dim=64, text_len=128)
SIGMA, CFG = 0.7, 5.0
CLIPS = """
import sys, time, torch, sora_core
pipes = {"w": sora_core.load()}
if "compile" in sys.argv[2:]:
    pipes = {"w": pipes["w"].compiled()}
pipes["f"] = pipes["w"].with_lora("sora-mini-4step")
for pipe in pipes.values():
    pipe.generate("a cat moving right on a beach", steps=2)
print("ready", flush=True)
for line in sys.stdin:
    kind = line.strip()
    start = time.perf_counter()
    made = pipes[kind].generate("a cat moving right on a beach", seed=1)
    print(time.perf_counter() - start, flush=True)
    torch.save(made.latent, sys.argv[1] + kind)
"""


class Pair:
    """Both networks with the same weights, and what they are given."""

    def __init__(self, config: DiTConfig, grid: tuple[int, int, int], dtype: torch.dtype) -> None:
        from diffusers import WanTransformer3DModel

        torch.manual_seed(0)
        self.config, self.dtype = config, dtype
        self.ours = DiT(config).eval().requires_grad_(False)
        self.theirs = WanTransformer3DModel(
            num_layers=config.num_layers,
            num_attention_heads=config.num_heads,
            attention_head_dim=config.head_dim,
            ffn_dim=config.ffn_dim,
            text_dim=config.text_dim,
            cross_attn_norm=True,
        )
        self.theirs = self.theirs.eval().requires_grad_(False)
        self.theirs.load_state_dict(to_diffusers(self.ours.state_dict()))
        x = torch.randn(1, config.in_dim, *grid)
        # Texts of all tokens: shorter ones are cheaper for us alone.
        texts = [torch.randn(1, config.text_len, config.text_dim) for _ in range(2)]
        t = torch.tensor([1000 * SIGMA])
        self.exact = self.theirs(x, t, texts[0], return_dict=False)[0]
        self.ours.to(dtype), self.theirs.to(dtype)
        self.x, self.t, self.texts = x.to(dtype), t, [text.to(dtype) for text in texts]
        self.tokens = grid[0] * grid[1] * grid[2] // 4
        self.guiding = [Prompt(text) for text in self.texts]
        self.velocity, self.prompts = ModelVelocity(self.ours), self.guiding[:1]

    def step(self) -> torch.Tensor:
        return self.velocity(self.x, torch.tensor([SIGMA]), self.prompts)[0]

    def both(self) -> torch.Tensor:
        return torch.cat(self.velocity(self.x, torch.tensor([SIGMA]), self.guiding))

    def one_by_one(self) -> torch.Tensor:
        return torch.cat([self.velocity(self.x, torch.tensor([SIGMA]), [prompt])[0] for prompt in self.guiding])

    def direct(self) -> torch.Tensor:
        return self.ours(self.x, self.t, self.texts[0])

    def peer(self) -> torch.Tensor:
        return self.theirs(self.x, self.t, self.texts[0], return_dict=False)[0]

    def run(self, sigmas: torch.Tensor, cache: float = 0.0, gate: float = 0.0) -> torch.Tensor:
        model = DiffusionModel(self.ours).with_caching(cache, gate)
        positive, negative = ([[text, {}]] for text in self.texts)
        latent = {"samples": torch.zeros(self.x.shape)}
        noise = self.x.float()
        made = sample(model, latent, positive, negative, seed=0, sampler="euler", sigmas=sigmas, cfg=CFG, noise=noise)
        return made["samples"]

    def peer_run(self, sigmas: torch.Tensor) -> torch.Tensor:
        """Sample as diffusers' Wan pipeline does: the text of all calls in each call, prompt and negative in turn."""
        x = self.x.float()
        for sigma, after in zip(sigmas[:-1], sigmas[1:], strict=True):
            t, x_in = sigma[None] * 1000, x.to(self.dtype)
            cond, uncond = (self.theirs(x_in, t, text, return_dict=False)[0].float() for text in self.texts)
            x = x + (after - sigma) * (uncond + CFG * (cond - uncond))
        return x


def alternate(calls: dict[str, Callable[[], torch.Tensor]], repeats: int, warm: bool = True) -> tuple[dict, dict]:
    """Median seconds, and the result, of each of `calls`, taken in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    made = {}
    for number in range(repeats + warm):
        for name, call in calls.items():
            start = time.perf_counter()
            made[name] = call()
            if number >= warm:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}, made


def error(made: torch.Tensor, exact: torch.Tensor) -> float:
    return float(f"{float((made.float() - exact).norm() / exact.norm()):.3g}")


def step(pair: Pair, repeats: int) -> dict:
    """Seconds and errors of one call, ours and theirs, and that ours gives the same bits twice."""
    seconds, made = alternate({"diffusers": pair.peer, "ours": pair.step, "direct": pair.direct}, repeats)
    return {
        "tokens": pair.tokens,
        "layers": pair.config.num_layers,
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "ratio": round(seconds["diffusers"] / seconds["ours"], 3),
        "ratio_direct": round(seconds["diffusers"] / seconds["direct"], 3),
        "error": {name: error(value, pair.exact) for name, value in made.items()},
        "same_twice": torch.equal(made["ours"], pair.step()),
    }


def batch(pair: Pair, repeats: int) -> dict:
    """Seconds of both prompts of a guided step in one batch and in two calls, and how far the two are apart."""
    seconds, made = alternate({"one": pair.both, "two": pair.one_by_one}, repeats)
    return {
        "tokens": pair.tokens,
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "two_over_one": round(seconds["two"] / seconds["one"], 3),
        "apart": error(made["two"], made["one"].float()),
    }


def guided(pair: Pair, steps: int, repeats: int, gate: float) -> dict:
    """Seconds of a guided run, and how far both end from each other; with a gate also with it."""
    sigmas = torch.linspace(1, 0, steps + 1)
    calls = {"diffusers": lambda: pair.peer_run(sigmas), "ours": lambda: pair.run(sigmas)}
    if gate:
        calls["gated"] = lambda: pair.run(sigmas, gate=gate)
    seconds, made = alternate(calls, repeats, warm=False)
    found = {
        "tokens": pair.tokens,
        "layers": pair.config.num_layers,
        "steps": steps,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "ratio": round(seconds["diffusers"] / seconds["ours"], 3),
        "apart": error(made["ours"], made["diffusers"]),
    }
    if gate:
        found["ratio_gated"] = round(seconds["diffusers"] / seconds["gated"], 3)
        found["gated_apart"] = error(made["gated"], made["ours"])
    return found


@contextmanager
def watched(spent: dict[str, list[float]]):
    """Count seconds and floating point operations of linear layers and of attention within."""
    linear, attend = products.linear, attention.attention

    def count(kind: str, call: Callable, operations: Callable[..., float]) -> Callable:
        def counted(*args, **kwargs):
            start = time.perf_counter()
            made = call(*args, **kwargs)
            spent[kind][0] += time.perf_counter() - start
            spent[kind][1] += operations(*args)
            return made

        return counted

    layers = count("linear layers", linear, lambda layer, x, *_: 2 * x.numel() * layer.out_features)
    heads = count("attention", attend, lambda q, k, *_: 4 * q.numel() * k.shape[1])
    products.linear = dit.linear = block.linear = layers
    block.attention = heads
    try:
        yield
    finally:
        products.linear = dit.linear = block.linear = linear
        block.attention = attend


def peak(pair: Pair) -> float:
    """The most operations a second that PyTorch's own matrix product reaches at this width."""
    x = torch.randn(max(pair.tokens, 256), pair.config.dim).to(pair.dtype)
    rates = []
    for width in (pair.config.dim, pair.config.ffn_dim):
        weight = torch.randn(width, pair.config.dim).to(pair.dtype)
        for _ in range(5):
            start = time.perf_counter()
            F.linear(x, weight)
            rates.append(2 * x.numel() * width / (time.perf_counter() - start))
    return max(rates)


def parts(pair: Pair, repeats: int) -> dict:
    """Where our step's time goes: milliseconds, share of the step, GFLOP/s, share of the peak of matrix products."""
    pair.step()
    tops, rows, wholes = [peak(pair)], [], []
    for _ in range(repeats):
        spent = {"linear layers": [0.0, 0.0], "attention": [0.0, 0.0]}
        start = time.perf_counter()
        with watched(spent):
            pair.step()
        wholes.append(time.perf_counter() - start)
        rows.append(spent)
        tops.append(peak(pair))
    whole, top = statistics.median(wholes), max(tops)
    table: dict[str, dict] = {"peak": {"gflops": round(top / 1e9)}}
    rest = whole
    for name in rows[0]:
        seconds = statistics.median(row[name][0] for row in rows)
        rest -= seconds
        rate = rows[0][name][1] / seconds
        table[name] = {
            "ms": round(1e3 * seconds, 1),
            "share": round(seconds / whole, 3),
            "gflops": round(rate / 1e9),
            "of_peak": round(rate / top, 2),
        }
    table["norms, gates, rotation, the rest"] = {"ms": round(1e3 * rest, 1), "share": round(rest / whole, 3)}
    return table


def mini(against: Path, repeats: int) -> dict:
    """Seconds of clips of 17 frames in warm processes of both checkouts, 25 steps ("w") and four calls ("f")."""
    with tempfile.TemporaryDirectory() as folder:
        running = {}
        for name, root in (("other", against), ("ours", _paths.ROOT), ("compiled", _paths.ROOT)):
            running[name] = subprocess.Popen(
                [sys.executable, "-c", CLIPS, str(Path(folder) / name), *(["compile"] if name == "compiled" else [])],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=root,
                env={**os.environ, "PYTHONPATH": str(root)},
            )
        seconds: dict = {kind: {name: [] for name in running} for kind in "wf"}
        for process in running.values():
            process.stdout.readline()
        for _ in range(repeats):
            for kind in "wff":
                for name, process in running.items():
                    process.stdin.write(kind + "\n")
                    process.stdin.flush()
                    seconds[kind][name].append(float(process.stdout.readline()))
        for process in running.values():
            process.stdin.close()
            process.wait()
        found = {}
        for kind, what in (("w", "25 steps"), ("f", "four calls")):
            middle = {name: statistics.median(values) for name, values in seconds[kind].items()}
            found[what] = {"seconds": {name: round(value, 3) for name, value in middle.items()}}
            first, *others = [torch.load(Path(folder) / (name + kind), weights_only=True) for name in running]
            for name, latent in zip(("ours", "compiled"), others, strict=True):
                found[what][f"{name}_over_other"] = round(middle[name] / middle["other"], 3)
                found[what][f"{name}_latents_apart"] = float(f"{float((first - latent).abs().max()):.3g}")
    return found


@torch.no_grad()
def measure(args: argparse.Namespace) -> dict:
    grid = tuple(int(side) for side in args.grid.split("x"))
    config = replace(DIT_CONFIGS["wan2.1-t2v-1.3b"], num_layers=args.layers)
    repeats, steps = args.repeats, args.steps
    if args.short:
        config, grid, repeats, steps = SHORT, (4, 16, 16), 3, 3
    found: dict = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    for name in args.precision.split(","):
        if not {"step", "parts", "batch", "guided"} & set(args.only.split(",")):
            break
        pair = Pair(config, grid, PRECISIONS[name])
        if "step" in args.only:
            found[f"step {name}"] = step(pair, repeats)
        if "parts" in args.only:
            found[f"parts {name}"] = parts(pair, repeats)
        if "batch" in args.only:
            found[f"batch {name}"] = batch(pair, repeats)
        if "guided" in args.only:
            found[f"guided {name}"] = guided(pair, steps, 1, args.gate)
    if args.against:
        found["mini"] = mini(args.against.resolve(), repeats)
    return found


def main(argv: list[str] | None = None) -> dict:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON only")
    parser.add_argument("--short", action="store_true", help="small sizes: that it works, not how fast")
    parser.add_argument("--only", default="step,parts,batch,guided,mini")
    parser.add_argument("--precision", default="bf16,fp32")
    parser.add_argument("--grid", default="9x32x32", help="latents, t x y x x")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--steps", type=int, default=25, help="of the guided run")
    parser.add_argument("--gate", type=float, default=0.0, help="of the guided run: its dial, 0 to 1; 0 is without")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--against", type=Path, help="another checkout, to compare clips of sora-mini with")
    args = parser.parse_args(argv)
    found = measure(args)
    if args.json:
        print(json.dumps(found, indent=2))
        return found
    for name, rows in found.items():
        print(f"{name:14} {rows}" if not isinstance(rows, dict) else name)
        for key, value in rows.items() if isinstance(rows, dict) else ():
            print(f"  {key:34} {value}")
    return found


if __name__ == "__main__":
    main()
