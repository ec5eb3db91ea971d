"""Python, `sora generate` and `sora run` side by side on one tiny model, for the tests that hold them to each other."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from nodes_support import TINY, make_host, text_to_video
from PIL import Image

import sora_core
from sora_core.cli import main
from sora_core.host.run.cache import signatures
from sora_core.host.run.executor import RunResult
from sora_core.media.write import write_video
from sora_core.pipeline import pipeline as python
from sora_core.tasks.long.segments import SegmentFolder

PROMPT = "a cat moving right on a beach"
SIZE = {"width": 32, "height": 48, "frames": 5}
HOW = {"seed": 3, "steps": 3, "cfg": 3.0}
# How Sora Extend and its like take a video: as it is.
KEEP = {"fps": 0.0, "width": 0, "height": 0}


class Ways:
    """The three ways, on one tiny model and its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.host = make_host(folder)
        self.model = folder / "models" / TINY
        self.pipe = sora_core.load(self.model)
        self.inputs = folder / "input"
        self.inputs.mkdir()
        tone = {"waveform": torch.sin(torch.arange(48000) / 20)[None, None] * 0.5, "sample_rate": 16000}
        for name, seed, audio in (("a.mp4", 1, tone), ("b.mp4", 2, None)):
            write_video(self.inputs / name, moving(13, seed), 8, crf=8, audio=audio)
        write_video(self.inputs / "odd.mp4", moving(13, 4, (40, 44)), 10, crf=8, audio=tone)
        for name, size in (("still.png", (32, 32)), ("wide.png", (32, 44))):
            Image.fromarray((moving(1, 3, size)[0].numpy() * 255).astype(np.uint8)).save(self.inputs / name)

    def run(self, graph: dict, node: str = "sample") -> tuple[torch.Tensor, list[str]]:
        """The latent of a node, and all that the nodes say."""
        result, said = self.listen(graph)
        with self.host.active():
            names = signatures(self.host.plan(self.host.load(graph)))
        made = self.host.executor.cache.get(names[node]).outputs[0][0]["samples"]
        return made, said

    def listen(self, graph: dict) -> tuple[RunResult, list[str]]:
        """A run, and the lines that its nodes say, as they are told and as they stand on the nodes."""
        told: list[str] = []

        def hear(event: str, data: dict) -> None:
            if event == "progress_text":
                told.extend(data["text"].split("\n"))

        result = self.host.run(graph, listener=hear)
        shown = [line for ui in result.outputs.values() for text in ui.get("text", ()) for line in text.split("\n")]
        return result, told + shown

    def command(self, *words: str, prompt: str = PROMPT, size: str = "32x48") -> tuple[torch.Tensor, str]:
        """The latent that `sora generate` samples, and what it says."""
        made = []
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(io.StringIO()) as said:
            real = python.make_video
            patch.setattr(python, "make_video", lambda *a, **k: made.append(real(*a, **k)) or made[-1])
            code = main(self.words(*words, prompt=prompt, size=size))
        assert code == 0, said.getvalue()
        return made[0].latent, said.getvalue()

    def words(self, *words: str, prompt: str, size: str = "32x48") -> list[str]:
        where = ["-o", str(self.folder / "out.mp4"), "--model", str(self.model)]
        length = [] if "--seconds" in words else ["--frames", "5"]
        return ["generate", prompt, *where, "--size", size, *length, "--seed", "3", "--steps", "3", *words]

    def refused(self, *words: str, prompt: str) -> str:
        """What `sora generate` says when it refuses."""
        with contextlib.redirect_stderr(io.StringIO()) as said:
            assert main(self.words(*words, prompt=prompt)) == 1
        return said.getvalue()

    def rendered(self, graph: dict, patch: pytest.MonkeyPatch) -> torch.Tensor:
        """The latents of the long video that a graph renders: a render removes its segments, here they are kept."""
        found = []
        real = SegmentFolder.remove

        def keep(folder: SegmentFolder) -> None:
            found.append(torch.cat(list(folder.latents(1 << 30)), 2))
            real(folder)

        patch.setattr(SegmentFolder, "remove", keep)
        self.host.run(graph)
        return found[0]

    def newest(self, pattern: str) -> Path:
        """The file that was written last into the output folder."""
        return max((self.folder / "output").rglob(pattern), key=lambda path: path.stat().st_mtime_ns)


def moving(frames: int, seed: int, size: tuple[int, int] = (32, 32)) -> torch.Tensor:
    """Frames `[T,H,W,3]` of noise that moves to the right."""
    pixels = torch.rand(*size, 3, generator=torch.Generator().manual_seed(seed))
    return torch.stack([torch.roll(pixels, 2 * i, 1) for i in range(frames)])


def same(*latents: torch.Tensor) -> bool:
    return all(torch.equal(latents[0], other) for other in latents[1:])


def edit_graph(kind: str, sampling: dict | None = None, **inputs) -> dict:
    """Sources -> an edit node -> Sora Sampler -> file, in API format."""
    graph = text_to_video()
    del graph["empty"]
    for name in ("a", "b", "odd"):
        graph[name] = {"class_type": "LoadVideo", "inputs": {"file": f"{name}.mp4"}}
    for name in ("still", "wide"):
        graph[name] = {"class_type": "LoadImage", "inputs": {"image": f"{name}.png"}}
    graph["edit"] = {"class_type": kind, "inputs": {"vae": ["load", 2], **inputs}}
    graph["sample"]["inputs"] |= {"latent": ["edit", 0], **(sampling or {})}
    slot = 2 if kind == "SoraRemix" else 1
    graph["save"]["inputs"] |= {"fps": ["edit", slot]}
    if kind != "SoraImageToVideo":
        graph["save"]["inputs"]["audio"] = ["edit", slot + 1]
    return graph


def long_graph(shots: str, **inputs) -> dict:
    """A model -> Sora Long Video, in API format."""
    graph = {"load": text_to_video()["load"], "a": {"class_type": "LoadVideo", "inputs": {"file": "a.mp4"}}}
    settings = {"negative": "", "seconds": 0.0, "fps": 8.0, "width": 32, "height": 32, "scheduler": "simple"}
    rolling = {"window": 4, "context": 1, "overlap": 1, "renoise": 0.6, "hold": 0.8}
    sockets = {"model": ["load", 0], "clip": ["load", 1], "vae": ["load", 2]}
    given = {**sockets, **settings, **rolling, **HOW, "shots": shots, "sampler": "euler", "filename_prefix": "long"}
    graph["long"] = {"class_type": "SoraLongVideo", "inputs": given | inputs}
    return graph


def story_graph(shots: str) -> dict:
    """Sora Storyboard -> Sora Sampler, in API format."""
    graph = text_to_video()
    del graph["positive"], graph["empty"]
    inputs = {"clip": ["load", 1], "shots": shots, "fps": 8.0, "width": 32, "height": 32}
    graph["story"] = {"class_type": "SoraStoryboard", "inputs": inputs}
    graph["sample"]["inputs"] |= {"positive": ["story", 0], "latent": ["story", 1]}
    graph["save"]["inputs"]["fps"] = ["story", 2]
    return graph
