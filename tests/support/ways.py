"""Three ways to make one video, and the graphs that say to `sora run` what Python is told in a call."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest
import torch
from nodes_support import TINY, make_host, text_to_video

import sora_core
from sora_core.cli import main
from sora_core.host.run.cache import signatures
from sora_core.pipeline import pipeline as python

PROMPT = "a cat moving right on a beach"
SIZE = {"width": 32, "height": 48, "frames": 5}
HOW = {"seed": 3, "steps": 3, "cfg": 3.0}
SAMPLING = {
    "seed": 3,
    "steps": 3,
    "cfg": 3.0,
    "scheduler": "simple",
    "denoise": 1.0,
    "guidance_start": 0.0,
    "guidance_end": 1.0,
    "sampler": "euler",
}


class Ways:
    """The three ways, on one tiny model and its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = make_host(folder)
        self.model = folder / "models" / TINY
        self.pipe = sora_core.load(self.model)
        self.inputs = folder / "input"
        self.inputs.mkdir()

    def graph(self, changes: dict) -> tuple[torch.Tensor, list[str]]:
        """The latent that `sora run` samples in the text-to-video graph with `changes`, and what its nodes say."""
        return self.run(text_to_video(**changes), "sample")

    def run(self, graph: dict, node: str) -> tuple[torch.Tensor, list[str]]:
        """The latent of a node, and what all nodes say."""
        result = self.host.run(graph)
        with self.host.active():
            names = signatures(self.host.plan(self.host.load(graph)))
        made = self.host.executor.cache.get(names[node]).outputs[0][0]["samples"]
        said = [
            line for shown in result.outputs.values() for text in shown.get("text", ()) for line in text.split("\n")
        ]
        return made, said

    def command(self, *words: str, prompt: str = PROMPT) -> tuple[torch.Tensor, str]:
        """The latent that `sora generate` samples, and what it says."""
        made = []
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(io.StringIO()) as said:
            real = python.make_video
            patch.setattr(python, "make_video", lambda *a, **k: made.append(real(*a, **k)) or made[-1])
            code = main(
                [
                    "generate",
                    prompt,
                    "-o",
                    str(self.folder / "out.mp4"),
                    "--model",
                    str(self.model),
                    "--size",
                    "32x48",
                    "--frames",
                    "5",
                    "--seed",
                    "3",
                    "--steps",
                    "3",
                    *words,
                ]
            )
        assert code == 0, said.getvalue()
        return made[0].latent, said.getvalue()


def edit_graph(kind: str, sampling: dict | None = None, positive: str = PROMPT, **inputs) -> dict:
    """Sources -> an edit node -> Sora Sampler, in API format."""
    graph = text_to_video(load__model=TINY, positive__text=positive)
    del graph["empty"]
    sources = {"a": "a.mp4", "b": "b.mp4"}
    for name, file in sources.items():
        graph[name] = {"class_type": "LoadVideo", "inputs": {"file": file}}
    graph["still"] = {"class_type": "LoadImage", "inputs": {"image": "still.png"}}
    graph["edit"] = {"class_type": kind, "inputs": {"vae": ["load", 2], **inputs}}
    graph["sample"]["inputs"] |= {**SAMPLING, "latent": ["edit", 0], **(sampling or {})}
    slot = 2 if kind == "SoraRemix" else 1
    graph["save"]["inputs"] |= {"fps": ["edit", slot]}
    if kind != "SoraImageToVideo":
        graph["save"]["inputs"]["audio"] = ["edit", slot + 1]
    return graph


def long_graph(shots: str, **inputs) -> dict:
    graph = text_to_video(load__model=TINY)
    for name in ("positive", "negative", "empty", "sample", "decode", "save"):
        del graph[name]
    graph["a"] = {"class_type": "LoadVideo", "inputs": {"file": "a.mp4"}}
    graph["long"] = {
        "class_type": "SoraLongVideo",
        "inputs": {
            "model": ["load", 0],
            "clip": ["load", 1],
            "vae": ["load", 2],
            "shots": shots,
            "negative": "",
            "seconds": 0.0,
            "fps": 8.0,
            "width": 32,
            "height": 32,
            "seed": 3,
            "steps": 3,
            "cfg": 3.0,
            "scheduler": "simple",
            "filename_prefix": "long",
            "window": 4,
            "context": 1,
            "overlap": 1,
            "renoise": 0.6,
            "hold": 0.8,
            "sampler": "euler",
            **inputs,
        },
    }
    return graph


def kept_segments(ways, graph: dict, patch: pytest.MonkeyPatch) -> torch.Tensor:
    """The latents of the long video that a graph renders: the segments, which a render removes, are kept."""
    from sora_core.tasks.long.segments import SegmentFolder

    found = []
    real = SegmentFolder.remove

    def keep(self):
        found.append(torch.cat(list(self.latents(1 << 30)), 2))
        real(self)

    patch.setattr(SegmentFolder, "remove", keep)
    ways.host.run(graph)
    return found[0]
