"""A video whose frames are decoded at once must fit into memory: nodes and Python refuse it first, in one voice."""

from __future__ import annotations

import pytest
import torch
from nodes_support import make_host, text_to_video
from PIL import Image
from pipeline_support import tiny_pipeline

from sora_core.errors import SoraError
from sora_core.latents.space import SORA_MINI
from sora_core.pipeline.long import plan_long
from sora_core.pipeline.make import Sampling, empty_latent
from sora_core.tasks import Shot

HD = {"width": 1920, "height": 1088}
BOARD = "15s: a cat\n15s: a dog"


@pytest.fixture(scope="module")
def pipe():
    return tiny_pipeline()


def empty(batch: int = 1, seconds: float = 30.0) -> dict:
    inputs = {"seconds": seconds, "fps": 8.0, **HD, "aspect": "as set", "batch_size": batch}
    return {"class_type": "SoraEmptyLatent", "inputs": inputs}


STORY = {"class_type": "SoraStoryboard", "inputs": {"clip": ["load", 1], "shots": BOARD, "fps": 8.0, **HD}}
ANIMATE = {
    "class_type": "SoraImageToVideo",
    "inputs": {
        "image": ["still", 0],
        "vae": ["load", 2],
        "position": "first",
        "frame": 0,
        "seconds": 30.0,
        "fps": 8.0,
        **HD,
    },
}
CALLS = {
    "SoraEmptyLatent": (empty(), lambda pipe: pipe.generate("a cat", seconds=30, **HD)),
    "SoraStoryboard": (STORY, lambda pipe: pipe.storyboard(BOARD, **HD)),
    "SoraImageToVideo": (
        ANIMATE,
        lambda pipe: pipe.animate(torch.zeros(16, 16, 3), "a", seconds=30, size=(1920, 1088)),
    ),
}


@pytest.mark.parametrize("kind", CALLS)
def test_node_and_python_refuse_in_the_same_words(pipe, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    node, call = CALLS[kind]
    (tmp_path / "input").mkdir()
    Image.new("RGB", (16, 16)).save(tmp_path / "input" / "still.png")
    graph = text_to_video() | {"empty": node, "still": {"class_type": "LoadImage", "inputs": {"image": "still.png"}}}
    if kind == "SoraStoryboard":
        graph["sample"]["inputs"] |= {"positive": ["empty", 0], "latent": ["empty", 1]}
        graph["save"]["inputs"]["fps"] = ["empty", 2]
    ran: list[str] = []
    host = make_host(tmp_path)
    with pytest.raises(SoraError) as refused:
        host.run(graph, listener=lambda event, data: event == "executing" and ran.append(data["node"]))
    assert "empty" in ran and "sample" not in ran
    with pytest.raises(SoraError, match="241 frames of 1920x1088 need 5.63 GiB; a clip may have 4 GiB") as python:
        call(pipe)
    assert str(python.value) in str(refused.value)


def test_a_batch_counts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SoraError, match="242 frames of 1920x1088"):
        make_host(tmp_path).run(text_to_video() | {"empty": empty(batch=2, seconds=15.0)})
    assert empty_latent(SORA_MINI, 121, 1920, 1088)["samples"].shape == (1, 16, 31, 136, 240)


def test_a_long_video_streams_and_may_be_larger(pipe):
    how = Sampling(steps=2, cfg=1.0)
    made = plan_long(pipe.engine, pipe.loaded, [Shot("a cat", 30.0)], how, fps=8.0, **HD)
    assert (made.width, made.height, made.job.total) == (1920, 1088, 61)


@pytest.mark.parametrize("call", ["extend", "loop"])
def test_what_is_made_in_memory_is_counted_with_what_is_there(pipe, call):
    with pytest.raises(SoraError, match="7202 frames of 256x256 need .* GiB"):
        getattr(pipe, call)(torch.zeros(2, 256, 256, 3), "a cat", seconds=900)
