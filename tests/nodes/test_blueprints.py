"""The subgraph blueprints are what their maker writes, hold together, and run."""

from __future__ import annotations

import json

import make_blueprints
import make_workflows
import pytest
from nodes_support import TINY, save_tiny

from sora_core.host.desk.folders import Folders
from sora_core.host.host import Host
from sora_core.media.video import probe
from sora_core.provenance.credentials.verify import verify
from sora_core.provenance.detector.detect import detect_file

NAMES = sorted(make_blueprints.blueprints())
FRAMES = {"Loop a Clip (Sora)": 25, "Storyboard (Sora)": 49, "Restyle a Clip (Sora)": 17}


@pytest.fixture()
def host(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_tiny(tmp_path / "models" / TINY)
    return Host(Folders(make_workflows.INPUTS, tmp_path / "output", tmp_path / "temp"))


def saved(name: str) -> dict:
    return json.loads((make_blueprints.BLUEPRINTS / f"{name}.json").read_text(encoding="utf-8"))


def test_blueprints_are_up_to_date(host):
    """Run `python tests/makers/make_blueprints.py` after a change of a schema."""
    assert sorted(path.stem for path in make_blueprints.BLUEPRINTS.iterdir()) == NAMES
    schemas = make_workflows.schemas_of(host)
    for name, blueprint in make_blueprints.blueprints().items():
        made = make_blueprints.save_as_frontend(name, blueprint, schemas)
        assert saved(name) == json.loads(json.dumps(made)), name


@pytest.mark.parametrize("name", NAMES)
def test_a_blueprint_holds_together(name):
    """As the frontend reads it: one node, its subgraph, and links that lead where they say."""
    made = saved(name)
    (node,), (inner,) = made["nodes"], made["definitions"]["subgraphs"]
    assert node["type"] == inner["id"] and inner["name"] == name
    assert made["extra"]["BlueprintDescription"] == inner["description"] and made["extra"]["BlueprintSearchAliases"]
    assert [i["name"] for i in node["inputs"]] == [i["name"] for i in inner["inputs"]]
    assert all(i["label"] for i in inner["inputs"]) and [o["type"] for o in node["outputs"]] == ["VIDEO"]
    assert len(node["widgets_values"]) == sum("widget" in i for i in node["inputs"])
    nodes, links = {n["id"]: n for n in inner["nodes"]}, {link["id"]: link for link in inner["links"]}
    for number, link in links.items():
        start, end = link["origin_id"], link["target_id"]
        if start == inner["inputNode"]["id"]:
            assert number in inner["inputs"][link["origin_slot"]]["linkIds"]
        else:
            assert number in nodes[start]["outputs"][link["origin_slot"]]["links"]
        if end == inner["outputNode"]["id"]:
            assert inner["outputs"][link["target_slot"]]["linkIds"] == [number]
        else:
            assert nodes[end]["inputs"][link["target_slot"]]["link"] == number
    used = [i["link"] for n in nodes.values() for i in n["inputs"] if i["link"] is not None]
    assert sorted(used + [number for o in inner["outputs"] for number in o["linkIds"]]) == sorted(links)


def wired(name: str) -> dict:
    """A workflow with the blueprint between a loader and a saver, as the frontend saves it."""
    made = saved(name)
    (node,) = made["nodes"]
    node["id"], links = 10, []
    place = next((i for i, entry in enumerate(node["inputs"]) if "VIDEO" in entry["type"].split(",")), None)
    if place is not None:
        node["inputs"][place]["link"] = 1
        links.append([1, 11, 0, 10, place, "VIDEO"])
        loader = {"id": 11, "type": "LoadVideo", "widgets_values": ["sora_cat.mp4", "image"]}
        made["nodes"].append(loader | {"outputs": [{"name": "VIDEO", "type": "VIDEO", "links": [1]}], "inputs": []})
    links.append([2, 10, 0, 12, 0, "VIDEO"])
    inputs = [{"name": "video", "type": "VIDEO", "link": 2}]
    saver = {"id": 12, "type": "SaveVideo", "inputs": inputs, "widgets_values": ["video/blueprint", "auto", "auto"]}
    made["nodes"].append(saver)
    return made | {"links": links}


def of_inner_sampler(host: Host, made: dict) -> list[str]:
    """Settings for few steps of the tiny model."""
    kinds = {node.type: node.id for node in host.load(made).nodes.values()}
    return [
        f"{kinds['SoraSampler']}.steps=1",
        f"{kinds['SoraSampler']}.cfg=1",
        f"{kinds['SoraLoadModel']}.model={TINY}",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", FRAMES)
def test_a_blueprint_runs(host, name):
    made = wired(name)
    result = host.run(host.load(made, of_inner_sampler(host, made)))
    (path,) = result.files
    assert probe(path).frames == FRAMES[name]


def test_what_is_typed_on_a_blueprint_reaches_its_nodes(host):
    made = wired("Storyboard (Sora)")
    (node,) = [n for n in made["nodes"] if n["id"] == 10]
    names = [i["name"] for i in node["inputs"] if "widget" in i]
    node["widgets_values"][names.index("shots")] = "1s: a cat\n1s: a dog"
    node["widgets_values"][names.index("seed")] = 41
    inside = {n.type: n for n in host.load(made).nodes.values()}
    assert inside["SoraStoryboard"].inputs["shots"] == "1s: a cat\n1s: a dog"
    assert inside["SoraSampler"].inputs["seed"] == 41


def test_a_finished_video_is_signed(host):
    made = wired("Sign a Finished Video (Sora)")
    (signed,) = [path for path in host.run(host.load(made)).files if path.name.startswith("signed")]
    assert probe(signed).frames == 17
    found = detect_file(signed)
    # It was signed here, and says that it was not made here.
    assert verify(signed).state == "intact" and "sora_cat.mp4" in found.text()
    assert not found.made_here and "do not say that this software made it" in found.text()
