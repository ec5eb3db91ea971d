"""What a job will take, before it runs: operations of its model calls, memory, and seconds by what was measured."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from ..loading.checkpoint import PRECISIONS
from ..media.sizes import frame_bytes, plan_frames
from ..tasks.storyboard import MAX_LONG_SHOTS, shots_of
from .paper import Paper

BASE = 700 << 20  # bytes of a process that has loaded torch, PyAV and the checks
WIDE = 64  # numbers that a decoder holds for a pixel and frame at its widest, two frames at a time
TWICE = ("heun", "dpm_2", "dpm_2_ancestral", "dpmpp_2s_ancestral", "res_2s")  # samplers of two calls a step
OWN = {"steps": 25, "cfg": 4.0, "sampler": "euler"}


def frames_of(task: str, given: Mapping[str, Any], paper: Paper) -> int:
    """Count the frames that a call samples, about: of an edit the model's own length, as its clip is not read yet."""
    pipe, fps = paper.pipe, float(given.get("fps") or paper.info.get("fps", 8))
    if task in ("storyboard", "long"):
        shots = shots_of(given["shots" if task == "storyboard" else "prompt"], MAX_LONG_SHOTS, 10.0)
        seconds = given.get("seconds") or sum(shot.seconds for shot in shots)
        return max(1, round(seconds * fps))
    if task == "generate" and given.get("frames"):
        return int(given["frames"])
    if task in ("generate", "animate") and given.get("seconds"):
        return plan_frames(given["seconds"], fps, pipe.space.temporal_ratio)
    return int(paper.info.get("frames", 17))


def _sides(given: Mapping[str, Any], paper: Paper) -> tuple[int, int]:
    width, height = given.get("size") or (given.get("width"), given.get("height"))
    return width or paper.info.get("width", 128), height or paper.info.get("height", 128)


def cost_of(task: str, given: Mapping[str, Any], paper: Paper) -> float:
    """Count the operations of all model calls of a job, about; 0 where the network tells nothing."""
    pipe, (width, height) = paper.pipe, _sides(given, paper)
    flops = pipe.engine.flops(pipe.model)
    if flops is None:
        return 0.0
    own = {name: given.get(name) or paper.info.get(name, usual) for name, usual in OWN.items()}
    cells = math.prod(pipe.space.cells(height, width)) / math.prod(pipe.space.patch_size)
    latents = pipe.space.latent_frames(frames_of(task, given, paper))
    calls = own["steps"] * (1 if own["cfg"] == 1 else 2) * (2 if own["sampler"] in TWICE else 1)
    # A long video is made in windows, which overlap by a part.
    parts = max(1.0, 1.3 * latents / pipe.window) if task == "long" else 1.0
    return calls * parts * flops(round(cells * (min(latents, pipe.window) if task == "long" else latents)))


def memory_of(task: str, given: Mapping[str, Any], paper: Paper, precision: str) -> int:
    """Estimate the bytes that a process takes for a job: itself, the weights, the decoder, the frames."""
    width, height = _sides(given, paper)
    kind = PRECISIONS.get(precision, torch.float32)
    frames = (
        min(frames_of(task, given, paper), 4 * paper.pipe.window) if task == "long" else frames_of(task, given, paper)
    )
    decoder = 8 * WIDE * width * height * 4
    return BASE + paper.values * (kind.itemsize + 2) + 3 * frames * frame_bytes(width, height) + decoder


def speed_of(records: Iterable[Mapping[str, Any]], worker: str | None = None) -> tuple[float, int]:
    """Return operations a second by finished jobs, and how many jobs tell it; (0, 0) where none does."""
    rates = [
        record["cost"] / record["seconds"]
        for record in records
        if record.get("cost") and record.get("seconds") and worker in (None, record.get("worker"))
    ]
    return (statistics.median(rates), len(rates)) if rates else (0.0, 0)


def guessed_speed() -> float:
    """Return operations a second that this machine may come to: a third of what it does on a matrix product.

    A guess, made in a fifth of a second: no model call is all matrix products, and decoding comes on top.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    a = torch.ones(768, 768, device=device)
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < 0.2:
        float((a @ a)[0, 0])
        done += 1
    return done * 2 * 768**3 / (time.perf_counter() - start) / 3
