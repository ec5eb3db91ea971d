"""One clip over several processes: equal latents, bytes exchanged, and decoding beside sampling.

    python tests/benchmarks/many_parallel.py [--json] [--short] [--only latents,long,paper]

Processes are started by torch's own launcher (gloo, one thread each) on this machine. `latents` compares text to video,
an extension and a storyboard with one process, on sora-mini and on a transformer of Wan 2.1 1.3B's shape with few
layers and random weights. `bytes` compares what was sent with the formula, `paper` says what that formula means for
Wan 2.1 14B at 1280x720. `long` renders a long video with a process that decodes apart.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import _paths  # noqa: F401 (for its effect on sys.path)
import torch

PROMPT = "a cat moving right on a beach"
SHOTS = "1s: a cat on a beach\n1s: a dog in a forest"
GOAL = 1e-4  # largest difference of latents, fp32


# -- what every process runs -----------------------------------------------------------------------------------
def load_mini(short: bool) -> Any:
    """sora-mini; in short a tiny model of its layout."""
    import sora_core

    if not short:
        return sora_core.load("sora-mini")
    from pipeline_support import tiny_pipeline

    return tiny_pipeline()


def load_wan(short: bool) -> Any:
    """A transformer of Wan 2.1 1.3B's shape with random weights, behind the codec and the words of the tiny model."""
    from nodes_support import tiny_parts

    from sora_core.loading.checkpoint import ModelBundle
    from sora_core.model.dit import DiT
    from sora_core.model.registry import DIT_CONFIGS
    from sora_core.pipeline.pipeline import Pipeline

    parts = tiny_parts()
    torch.manual_seed(5)
    parts["dit"] = DiT(replace(DIT_CONFIGS["wan2.1-t2v-1.3b"], num_layers=1 if short else 3, text_len=64))
    frozen = {name: part.eval().requires_grad_(False) for name, part in parts.items()}
    return Pipeline(ModelBundle(**frozen, info={"name": "Wan-shaped", "shift": 5.0, "fps": 8, "frames": 17}))


def clips_mini(pipe: Any, steps: int) -> dict[str, torch.Tensor]:
    """Text to video, an extension and a storyboard through the calls that users make."""
    how = {"steps": steps, "seed": 3, "sampler": "euler"}
    made = pipe.generate(PROMPT, **how)
    before = counted(pipe)
    more = pipe.extend(made.frames, PROMPT, seconds=0.5, **how)
    return {
        "text to video": made.latent,
        "extension": more.latent,
        "storyboard": pipe.storyboard(SHOTS, reuse=False, **how).latent,
        "_sent": torch.tensor(before),
    }


def clips_wan(pipe: Any, steps: int) -> dict[str, torch.Tensor]:
    """The same of random prompts: the words of Wan's own text encoder are not here. 5 x 3 x 5 tokens do not divide."""
    from sora_core.tasks.shots import join_prompts

    draw = torch.Generator().manual_seed(11)
    one, two, against = ([[torch.randn(1, 20, 4096, generator=draw), {}]] for _ in range(3))
    empty = {"samples": torch.zeros(1, 16, 5, 6, 10)}
    known = torch.randn(1, 16, 5, 6, 10, generator=draw)
    mask = torch.ones(1, 1, 5, 6, 10)
    mask[:, :, :2] = 0
    engine, model = pipe.engine, pipe.model
    how = {
        "sampler": engine.make_sampler("euler", {}),
        "sigmas": engine.make_sigmas(model, "simple", steps),
        "seed": 3,
        "cfg": 5.0,
    }
    first = engine.sample(model, empty, one, against, **how)["samples"]
    sent = counted(pipe)
    kept = {"samples": known, "noise_mask": mask}
    return {
        "text to video": first,
        "extension": engine.sample(model, kept, one, against, **how)["samples"],
        "storyboard": engine.sample(model, empty, join_prompts([one, two], [2, 3]), against, **how)["samples"],
        "_sent": torch.tensor(sent),
    }


MODELS = {"mini": (load_mini, clips_mini), "wan": (load_wan, clips_wan)}


def counted(pipe: Any) -> list[int]:
    """Bytes that this process has sent within its part, and of x and velocities."""
    team = getattr(pipe.engine, "team", None)
    return [0, 0] if team is None else [team.exchanged, team.sent]


class Timed:
    """Writes down when an engine samples and when it decodes."""

    def __init__(self, engine: Any) -> None:
        self.spans: dict[str, list[tuple[float, float]]] = {"sample": [], "decode": []}
        sample, decode = engine.sample, engine.decode_pieces

        def sampled(*args: Any, **options: Any) -> Any:
            start = time.monotonic()
            made = sample(*args, **options)
            self.spans["sample"].append((start, time.monotonic()))
            return made

        def decoded(vae: Any, pieces: Any) -> Any:
            waited = 0.0

            def taken() -> Any:
                nonlocal waited
                source = iter(pieces)
                while True:
                    start = time.monotonic()
                    piece = next(source, None)
                    waited = time.monotonic() - start
                    if piece is None:
                        return
                    yield piece

            frames = decode(vae, taken())
            while True:
                start, waited = time.monotonic(), 0.0
                part = next(frames, None)
                self.spans["decode"].append((start + waited, time.monotonic()))
                if part is None:
                    return
                yield part

        engine.sample, engine.decode_pieces = sampled, decoded

    def figures(self) -> dict[str, float]:
        """Seconds of each, and seconds in which both ran."""
        both = sum(max(0.0, min(b, d) - max(a, c)) for a, b in self.spans["sample"] for c, d in self.spans["decode"])
        return {name: round(sum(b - a for a, b in spans), 2) for name, spans in self.spans.items()} | {
            "both": round(both, 2)
        }


def long_video(pipe: Any, out: Path, short: bool) -> dict[str, float]:
    """Render a long video; a few-step LoRA, so that decoding is no small part."""
    timed, start = Timed(pipe.engine), time.monotonic()
    steps = {"steps": 2, "cfg": 2.0} if short else {}
    pipe.long_video(PROMPT, out, seconds=6 if short else 12, reuse=False, **steps)
    return timed.figures() | {"seconds": round(time.monotonic() - start, 2)}


def load_long(short: bool) -> Any:
    pipe = load_mini(short)
    return pipe if short else pipe.with_lora("sora-mini-4step")


def work(job: dict[str, Any]) -> None:
    """Do a job in every process of a run."""
    from sora_core.pipeline.devices import share

    out, short = Path(job["out"]), job["short"]
    if job["kind"] == "long":
        done = share(lambda: load_long(short), lambda pipe: long_video(pipe, out, short), apart=job["apart"])
        if done is not None:
            out.with_suffix(".json").write_text(json.dumps(done))
        return
    load, clips = MODELS[job["model"]]
    for cfg, sequence in job["splits"]:
        made = share(lambda: load(short), lambda pipe: clips(pipe, job["steps"]), cfg=cfg, sequence=sequence)
        if made is not None:
            torch.save(made, out / f"{job['model']}.{cfg}x{sequence}.pt")


# -- what compares ---------------------------------------------------------------------------------------------
def start(processes: int, jobs: list[dict[str, Any]], folder: Path) -> None:
    """Do jobs in so many processes; one is this one."""
    if not jobs:
        return
    if processes == 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            for job in jobs:
                work(job)
        finally:
            torch.set_num_threads(threads)
        return
    file = folder / f"jobs{time.monotonic_ns()}.json"
    file.write_text(json.dumps(jobs))
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    env = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE")} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, *torchrun, str(Path(__file__).resolve()), "--jobs", str(file)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{processes} processes: {done.stderr[-3000:]}")


def compare(model: str, short: bool, steps: int, splits: list[tuple[int, int]], folder: Path) -> dict[str, Any]:
    """Compare the latents of one process with those of several, and the bytes sent with the formula."""
    from sora_core.diffusion.exchange import exchanged

    one = torch.load(folder / f"{model}.1x1.pt")
    config = MODELS[model][0](short).model.dit.config
    found: dict[str, Any] = {"layers": config.num_layers, "heads": config.num_heads, "steps": steps}
    for cfg, sequence in splits:
        several = torch.load(folder / f"{model}.{cfg}x{sequence}.pt")
        shape = one["text to video"].shape[2:]
        tokens = shape[0] * (shape[1] // 2) * (shape[2] // 2)
        sent = several.pop("_sent").tolist()
        away = {name: float((one[name] - made).abs().max()) for name, made in several.items()}
        formula = steps * exchanged(tokens, config, sequence, 4, 2 // cfg) if sequence > 1 else 0
        found[f"{cfg}x{sequence}"] = {
            "largest difference": away,
            "tokens": tokens,
            "bytes exchanged a step": sent[0] / steps,
            "by the formula": formula / steps,
            "bytes of x a step": sent[1] / steps,
            "good": max(away.values()) <= GOAL and sent[0] == formula,
        }
    return found


def compare_long(folder: Path) -> dict[str, Any]:
    """Compare a long video of one process with that of two, of which one decodes."""
    from long_support import same_video

    found: dict[str, Any] = {name: json.loads((folder / f"{name}.json").read_text()) for name in ("one", "apart")}
    found["equal"] = same_video(folder / "one.mp4", folder / "apart.mp4")
    found["of decoding while sampling"] = round(found["apart"]["both"] / max(found["apart"]["decode"], 1e-9), 2)
    found["times as fast"] = round(found["one"]["seconds"] / found["apart"]["seconds"], 2)
    return found


def paper() -> dict[str, Any]:
    """Work out what is sent a step for Wan 2.1 14B at 1280x720, 81 frames, bf16, with guidance.

    Assumed: 400 TFLOP/s reached by a GPU; 300 GB/s reached one way over NVLink 4 through a switch, 20 GB/s over PCIe
    4.0 x16; nothing is sent while something is computed.
    """
    from sora_core.diffusion.exchange import exchanged
    from sora_core.model.registry import DIT_CONFIGS

    config, tokens = DIT_CONFIGS["wan2.1-t2v-14b"], 21 * 45 * 80
    linear = config.num_layers * (8 * config.dim**2 + 2 * config.dim * config.ffn_dim)  # weights, cross-attention's too
    flops = 2 * linear * tokens + 4 * tokens**2 * config.dim * config.num_layers
    rows = {}
    for cfg, sequence in ((1, 1), (2, 1), (1, 2), (2, 2), (1, 4), (2, 4), (1, 8)):
        sent = exchanged(tokens, config, sequence, 2, 2 // cfg) if sequence > 1 else 0
        compute = 2 * flops / (cfg * sequence) / 400e12
        rows[f"{cfg}x{sequence}"] = {
            "GPUs": cfg * sequence,
            "GB sent by each a step": round(sent / 1e9, 1),
            "compute s": round(compute, 1),
            "NVLink s": round(sent / 300e9, 2),
            "PCIe s": round(sent / 20e9, 2),
            "times as fast, NVLink": round(2 * flops / 400e12 / (compute + sent / 300e9), 2),
            "times as fast, PCIe": round(2 * flops / 400e12 / (compute + sent / 20e9), 2),
        }
    return {
        "tokens": tokens,
        "PFLOP a prompt": round(flops / 1e15, 2),
        "x, MB": round(16 * 21 * 90 * 160 * 4 / 1e6, 1),
    } | {"splits": rows}


# Processes -> splits (prompts, tokens). Three share four heads, and what does not divide.
SPLITS = {2: [(1, 2), (2, 1)], 3: [(1, 3)], 4: [(2, 2)]}
SHORT = {2: [(1, 2), (2, 1)]}


def run(short: bool = False, only: tuple[str, ...] = ("latents", "long", "paper")) -> dict[str, Any]:
    """Compare all, or some of it, in a shorter form on small models; returns figures by name."""
    steps = {"mini": 3, "wan": 2} if short else {"mini": 25, "wan": 8}
    worlds = SHORT if short else SPLITS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def jobs(splits: list[tuple[int, int]], video: str = "") -> list[dict[str, Any]]:
            clips = [
                {"kind": "clips", "model": m, "steps": n, "splits": splits, "out": name, "short": short}
                for m, n in steps.items()
            ]
            long = {"kind": "long", "short": short, "out": str(folder / f"{video}.mp4"), "apart": video == "apart"}
            return [*(clips if "latents" in only else []), *([long] if video and "long" in only else [])]

        start(1, jobs([(1, 1)], "one"), folder)
        for world, splits in worlds.items():
            start(world, jobs(splits, "apart" if world == 2 else ""), folder)
        every = [split for splits in worlds.values() for split in splits]
        found: dict[str, Any] = {}
        if "latents" in only:
            found["latents"] = {model: compare(model, short, n, every, folder) for model, n in steps.items()}
        if "long" in only:
            found["long"] = compare_long(folder)
        if "paper" in only:
            found["paper"] = paper()
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print as JSON")
    parser.add_argument("--short", action="store_true", help="small models, few steps")
    parser.add_argument("--only", default="latents,long,paper", help="parts, separated by commas")
    parser.add_argument("--jobs", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.jobs is not None:
        for job in json.loads(args.jobs.read_text()):
            work(job)
        return
    found = run(args.short, tuple(args.only.split(",")))
    print(json.dumps(found, indent=None if args.json else 1))


if __name__ == "__main__":
    main()
