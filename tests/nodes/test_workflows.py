"""The shared workflows open and run on their bundled inputs, and are what their maker writes."""

from __future__ import annotations

import json

import make_workflows
import pytest
import torch
from marks import SLOW_WORKFLOWS, with_slow
from nodes_support import TINY, make_host, save_tiny

from sora_core.host.api.sockets import MatchType
from sora_core.host.desk.folders import Folders
from sora_core.host.graph.validate import fits, input_type
from sora_core.host.graph.widgets import widget_of
from sora_core.host.host import Host
from sora_core.loading.checkpoint import WEIGHTS
from sora_core.media.clips import read_clip
from sora_core.media.video import probe

TEXT_TO_VIDEO = make_workflows.WORKFLOWS / "text_to_video.json"

FRAMES = {
    "text_to_video": 17,
    "image_to_video": 17,
    "extend": 25,
    "infill": 17,
    "connect": 42,
    "loop": 25,
    "remix": 17,
    "storyboard": 49,
    "long_video": 9,
    "text_to_video_4step": 17,
}


@pytest.fixture()
def host(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "models" / TINY)
    return Host(Folders(make_workflows.INPUTS, tmp_path / "output", tmp_path / "temp"))


def test_workflows_are_up_to_date(host):
    """Run `python tests/makers/make_workflows.py` after a change of a schema."""
    schemas = make_workflows.schemas_of(host)
    graphs = make_workflows.graphs() | make_workflows.model_graphs()
    assert set(make_workflows.graphs()) == set(FRAMES) and len(FRAMES) == 10
    assert set(graphs) == {path.stem for path in make_workflows.WORKFLOWS.glob("*.json")}
    assert set(graphs) == {path.stem for path in make_workflows.WORKFLOWS.glob("*.jpg")}
    for name, graph in graphs.items():
        saved = json.loads((make_workflows.WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
        made = json.loads(json.dumps(make_workflows.save_as_frontend(graph, schemas, name)))
        # The frontend may move and resize nodes; what they hold must be what the schemas say.
        for node in [*saved["nodes"], *made["nodes"]]:
            node.pop("pos"), node.pop("size")
        assert saved["nodes"] == made["nodes"] and saved["links"] == made["links"], name
        assert saved["extra"] == made["extra"]


def test_app_mode_shows_what_an_artist_changes(host):
    """Each widget that it names is there, and what comes out is a saved video."""
    schemas = make_workflows.schemas_of(host)
    for path in sorted(make_workflows.WORKFLOWS.glob("*.json")):
        saved = json.loads(path.read_text(encoding="utf-8"))
        data, kinds = saved["extra"]["linearData"], {node["id"]: node["type"] for node in saved["nodes"]}
        # As an app, but for those whose note says which files to fetch.
        assert saved["extra"]["linearMode"] == (path.stem in FRAMES)
        assert [kinds[number] for number in data["outputs"]] in (["SoraSaveVideo"], ["SoraLongVideo"])
        for number, widget, *_ in data["inputs"]:
            (entry,) = [e for e in schemas[kinds[number]].inputs if e.id == widget]
            assert widget_of(entry) is not None, (path.stem, widget)
        asked = {widget for _, widget, *_ in data["inputs"]}
        assert asked & {"text", "shots"} and "seed" in asked, path.stem


def test_workflows_for_other_models_name_their_files(host):
    """In a note, on the loaders, and where ComfyUI looks for what it can fetch; and their links lead on."""
    schemas = make_workflows.schemas_of(host)
    for name in make_workflows.model_graphs():
        saved = json.loads((make_workflows.WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
        (note,) = [node for node in saved["nodes"] if node["type"] == "MarkdownNote"]
        wanted = make_workflows.MODEL_WORKFLOWS[name].files.values()
        loaders = [node for node in saved["nodes"] if node["properties"].get("models")]
        assert len(loaders) == len(wanted) >= 2
        for file in wanted:
            assert all(
                part in note["widgets_values"][0] for part in (f"    {file.folder}/\n", f"        {file.name}\n")
            )
            assert file.url.startswith("https://") and file.url.endswith(f"/{file.name}")
            assert any(node["widgets_values"][0] == file.name for node in loaders)
        nodes = {node["id"]: node for node in saved["nodes"]}
        for _, start, slot, end, place, kind in saved["links"]:
            name_in = nodes[end]["inputs"][place]["name"]
            (entry,) = [e for e in schemas[nodes[end]["type"]].inputs if e.id == name_in]
            assert nodes[start]["outputs"][slot]["type"] == kind
            # What our sampler gives is what went in.
            assert kind == MatchType.io_type or fits(kind, input_type(entry)), (name, name_in)


@pytest.mark.parametrize("name", with_slow(FRAMES, SLOW_WORKFLOWS))
def test_runs_on_its_bundled_inputs(host, name):
    settings = [f"SoraLoadModel.model={TINY}", "SoraLoadModel.lora=none"]
    if name == "long_video":
        settings += ["SoraLongVideo.steps=1", "SoraLongVideo.seconds=1", "SoraLongVideo.cfg=1"]
    else:
        settings += ["SoraSampler.steps=1", "SoraSampler.cfg=1"]
    result = host.run(host.load(make_workflows.WORKFLOWS / f"{name}.json", settings))
    (path,) = result.files
    info = probe(path)
    assert (info.frames, info.width, info.height, float(info.fps)) == (FRAMES[name], 128, 128, 8.0)


def test_values_of_text_to_video_land_on_their_widgets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    host = make_host(tmp_path)
    prompt = host.load(TEXT_TO_VIDEO).prompt()
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
    (path,) = host.run(TEXT_TO_VIDEO, small).files
    info = probe(path)
    assert (info.width, info.height, info.frames) == (32, 32, 17) and "workflow" in info.metadata
    # The file carries the graph that made it: it runs again.
    assert Host(host.folders).load(TEXT_TO_VIDEO).prompt() == prompt


@pytest.mark.slow
@pytest.mark.skipif(not (WEIGHTS / "sora-mini.safetensors").is_file(), reason="needs the embedded weights")
def test_text_to_video_runs_on_the_embedded_model(tmp_path):
    host = Host(Folders(tmp_path / "input", tmp_path / "output", tmp_path / "temp"))
    (path,) = host.run(TEXT_TO_VIDEO, ["SoraSampler.steps=4"]).files
    info = probe(path)
    assert (info.width, info.height, info.frames, info.fps) == (128, 128, 17, 8)


@pytest.mark.parametrize("name", sorted(FRAMES))
def test_settings_are_saved_with_the_video(host, name):
    """Seeds keep their control, a sampler gets its own options: what is saved runs as it was set."""
    kind = "SoraLongVideo" if name == "long_video" else "SoraSampler"
    settings = [f"{kind}.seed=12345", f"{kind}.sampler=euler_ancestral", f"{kind}.sampler.eta=0.25", f"{kind}.steps=3"]
    flow = json.loads((make_workflows.WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    loaded = host.load(flow, settings)
    assert loaded.source is not None
    again = host.load(loaded.source)
    for node_id, node in loaded.nodes.items():
        assert node.inputs.items() <= again.nodes[node_id].inputs.items()
    (changed,) = [node for node in loaded.source["nodes"] if node["type"] == kind]
    (before,) = [node for node in flow["nodes"] if node["type"] == kind]
    words = ("fixed", "increment", "decrement", "randomize")
    assert [v for v in changed["widgets_values"] if v in words] == [v for v in before["widgets_values"] if v in words]
    assert 0.25 in changed["widgets_values"]


def test_a_video_made_with_settings_is_made_again_with_them(host):
    settings = [f"SoraLoadModel.model={TINY}", "SoraLoadModel.lora=none", "SoraSampler.steps=1", "SoraSampler.cfg=1"]
    (first,) = host.run(make_workflows.WORKFLOWS / "text_to_video_4step.json", settings).files
    (second,) = host.run(first, ["SoraSampler.seed=6"]).files
    (sampler,) = [node for node in host.load(second).nodes.values() if node.type == "SoraSampler"]
    assert sampler.inputs["seed"] == 6 and sampler.inputs["steps"] == 1
    (third,) = host.run(second).files
    assert torch.equal(read_clip(third).frames, read_clip(second).frames)
    assert not torch.equal(read_clip(second).frames, read_clip(first).frames)
