"""The shipped text-to-video graph, in the format in which ComfyUI's frontend saved it."""

from __future__ import annotations

from pathlib import Path

import pytest
from nodes_support import TINY, make_host

from sora_core.host.host import Host
from sora_core.loading.checkpoint import WEIGHTS
from sora_core.media.video import probe

WORKFLOW = Path(__file__).resolve().parents[2] / "workflows" / "text_to_video.json"


def test_its_values_land_on_their_widgets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    host = make_host(tmp_path)
    prompt = host.load(WORKFLOW).prompt()
    inputs = {node["class_type"]: node["inputs"] for node in prompt.values()}
    wanted = {"seed": 7, "steps": 25, "cfg": 4, "scheduler": "simple", "sampler": "euler_ancestral", "denoise": 1}
    assert {k: inputs["SoraSampler"][k] for k in wanted} == wanted
    assert inputs["SoraSaveVideo"]["crf"] == 16 and inputs["SoraEmptyLatent"]["aspect"] == "as set"
    small = [
        "SoraLoadModel.model=" + TINY,
        "SoraEmptyLatent.width=32",
        "SoraEmptyLatent.height=32",
        "SoraSampler.steps=2",
        "SoraSampler.sampler=dpmpp_2m",
    ]
    (path,) = host.run(WORKFLOW, small).files
    info = probe(path)
    assert (info.width, info.height, info.frames) == (32, 32, 17) and "workflow" in info.metadata
    # The file carries the graph that made it: it runs again.
    assert Host(host.folders).load(WORKFLOW).prompt() == prompt


@pytest.mark.skipif(not (WEIGHTS / "sora-mini.safetensors").is_file(), reason="needs the embedded weights")
def test_it_runs_on_the_embedded_model(tmp_path):
    from sora_core.host.desk.folders import Folders

    host = Host(Folders(tmp_path / "input", tmp_path / "output", tmp_path / "temp"))
    (path,) = host.run(WORKFLOW, ["SoraSampler.steps=4"]).files
    info = probe(path)
    assert (info.width, info.height, info.frames, info.fps) == (128, 128, 17, 8)
