"""What saved workflows and translations rely on: ids, input names, the order of widgets."""

from __future__ import annotations

import asyncio
import importlib
import json
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from sora_core.host.api.dynamic import DynamicCombo
from sora_core.host.graph.widgets import widget_of
from sora_core.host.packs import import_pack

ROOT = Path(__file__).resolve().parents[2]
VIDEOS = ("video", "first", "second")
FROZEN = ROOT / "tests" / "frozen_nodes.json"


@pytest.fixture(scope="module")
def nodes() -> dict:
    pack = import_pack(ROOT)

    async def classes() -> list:
        return await (await pack.comfy_entrypoint()).get_node_list()

    return {node.GET_SCHEMA().node_id: node for node in asyncio.run(classes())}


def widget_names(inputs: list) -> list:
    """Widgets in the order in which the frontend makes them; a dynamic combo with what each choice brings."""
    names = []
    for entry in sorted(inputs, key=lambda e: bool(e.optional)):
        widget = widget_of(entry)
        if isinstance(widget, DynamicCombo.Input):
            names.append({entry.id: {o.key: [i.id for i in o.inputs] for o in widget.options}})
        elif widget is not None:
            names.append(entry.id)
    return names


def description(node) -> dict:
    schema = node.GET_SCHEMA()
    return {
        "inputs": {e.id: e.get_io_type() for e in schema.inputs if widget_of(e) is None},
        "widgets": widget_names(schema.inputs),
        "outputs": [o.get_io_type() for o in schema.outputs],
    }


def check_frozen(frozen: dict, nodes: dict) -> None:
    """Assert that the descriptions `nodes` keep everything that `frozen` promises."""
    for node_id, before in frozen.items():
        assert node_id in nodes, f"{node_id} is gone: saved workflows need it"
        now = nodes[node_id]
        for name, kind in before["inputs"].items():
            # An input may learn to take more types, which every saved link still fits.
            assert set(kind.split(",")) <= set(now["inputs"][name].split(",")), (node_id, name)
        assert now["outputs"][: len(before["outputs"])] == before["outputs"], node_id
        for old, new in zip(before["widgets"], now["widgets"][: len(before["widgets"])], strict=True):
            if isinstance(old, dict):
                ((name, choices),) = old.items()
                for choice, options in choices.items():
                    assert new[name][choice][: len(options)] == options, (node_id, choice)
            else:
                assert new == old, node_id


def test_nothing_that_workflows_rely_on_has_changed(nodes):
    """New nodes are added to the file; inputs and outputs are only ever appended, widgets at the end."""
    frozen = json.loads(FROZEN.read_text())
    replaced = {entry.old for entry in replacements().REPLACEMENTS}
    check_frozen({k: v for k, v in frozen.items() if k not in replaced}, {k: description(n) for k, n in nodes.items()})
    assert set(nodes) == set(frozen) - replaced, f"add to {FROZEN.name}: {sorted(set(nodes) - set(frozen))}"


@pytest.mark.parametrize(
    "change",
    [
        lambda made: made.update(SoraSample=made.pop("SoraSampler")),
        lambda made: made["SoraSampler"]["inputs"].update(text=made["SoraSampler"]["inputs"].pop("positive")),
        lambda made: made["SoraExtend"]["inputs"].update(video="IMAGE"),
        lambda made: made["SoraSampler"]["widgets"].insert(0, "new"),
        lambda made: made["SoraSampler"]["widgets"].reverse(),
        lambda made: made["SoraSampler"]["widgets"][-1]["sampler"]["dpmpp_2m_sde"].insert(0, "new"),
        lambda made: made["SoraSampler"]["outputs"].insert(0, "INT"),
    ],
)
def test_the_freeze_notices(nodes, change):
    made = {k: description(n) for k, n in nodes.items()}
    frozen = json.loads(json.dumps(made))
    check_frozen(frozen, made)
    change(made)
    with pytest.raises((AssertionError, KeyError, TypeError)):
        check_frozen(frozen, made)


def replacements():
    return importlib.import_module(f"{import_pack(ROOT).__name__}.nodes.replacements")


def test_replacements_lead_to_nodes_as_they_are(nodes):
    for entry in replacements().REPLACEMENTS:
        schema = nodes[entry.new].GET_SCHEMA()
        assert entry.old not in nodes and set(entry.inputs) <= {e.id for e in schema.inputs}
        assert all(0 <= new < len(schema.outputs) for new in entry.outputs)


def test_replacements_are_registered_where_the_host_can(monkeypatch):
    """As ComfyUI 0.33 takes them; 0.3.64 has neither name, and nothing happens."""
    registered, registering = [], replacements()
    modern = ModuleType("comfy_api.latest")

    async def register(entry: dict) -> None:
        registered.append(entry)

    manager = SimpleNamespace(register=register)
    modern.ComfyAPI = lambda: SimpleNamespace(node_replacement=manager)
    modern.io = SimpleNamespace(NodeReplace=dict)
    old = ModuleType("comfy_api.latest")
    old.ComfyAPI, old.io = SimpleNamespace, SimpleNamespace()
    monkeypatch.setitem(sys.modules, "comfy_api", ModuleType("comfy_api"))
    for module in (old, modern):
        monkeypatch.setitem(sys.modules, "comfy_api.latest", module)
        asyncio.run(registering.register())
    (entry,) = [e for e in registered if e["old_node_id"] == "OpenAIVideoSora2"]
    assert entry["new_node_id"] == "SoraLongVideo" and {"new_idx": 0, "old_idx": 0} in entry["output_mapping"]
    assert {"new_id": "shots", "old_id": "prompt"} in entry["input_mapping"]


def test_every_input_is_explained(nodes):
    for node_id, node in nodes.items():
        schema = node.GET_SCHEMA()
        assert node_id.startswith("Sora") and schema.category.startswith("Sora/") and schema.description
        assert schema.search_aliases and schema.display_name
        entries = [e for entry in schema.inputs for e in entry.get_all()]
        assert all(e.tooltip for e in [*entries, *schema.outputs]), node_id


def test_a_check_takes_the_dynamic_inputs_too(nodes):
    """ComfyUI passes them to `validate_inputs` of any node that has one, by name."""
    for node_id, node in nodes.items():
        if node.overrides("validate_inputs"):
            dynamic = {e.id for e in node.GET_SCHEMA().inputs if isinstance(e, DynamicCombo.Input)}
            assert dynamic <= node.parameters("validate_inputs")[0], node_id


def test_names_are_of_one_style(nodes):
    """As core's: lower case, words joined by _; what the frontend shows has spaces there."""
    shown = json.loads((ROOT / "locales" / "en" / "nodeDefs.json").read_text(encoding="utf-8"))
    for node_id, node in nodes.items():
        schema, text = node.GET_SCHEMA(), shown[node_id]
        outputs = [output.display_name for output in schema.outputs]
        assert all(re.fullmatch("[a-z0-9]+(_[a-z0-9]+)*", n) for n in [*outputs, *(e.id for e in schema.inputs)])
        assert [text["outputs"][str(i)]["name"] for i in range(len(outputs))] == [n.replace("_", " ") for n in outputs]
        for entry in schema.inputs:
            assert text["inputs"][entry.id]["name"] == entry.id.replace("_", " "), node_id


def test_beginners_find_what_they_need(nodes, monkeypatch):
    """Nodes for a first video and its edits are among the frontend's essentials; an older ComfyUI does without."""
    essentials = {k: n.GET_SCHEMA().essentials_category for k, n in nodes.items() if n.GET_SCHEMA().essentials_category}
    assert {"SoraLoadModel", "SoraTextEncode", "SoraSampler", "SoraSaveVideo", "SoraExtend"} <= set(essentials)
    assert set(essentials.values()) == {"Basics", "Video Generation", "Video Tools"}  # core's own categories
    api = importlib.import_module(f"{import_pack(ROOT).__name__}.nodes.api")
    monkeypatch.setattr(api, "io", SimpleNamespace(Schema=lambda node_id, description=None: None))
    assert api.essential("Basics") == {}


def test_images_go_where_a_video_goes_and_an_older_api_takes_videos(nodes, monkeypatch):
    taken = {
        node_id: [e.get_io_type() for e in n.GET_SCHEMA().inputs if e.id in VIDEOS] for node_id, n in nodes.items()
    }
    examined = ("SoraCaption", "SoraDetect")  # which have a socket of their own for images
    assert {kind for node_id, kinds in taken.items() if node_id not in examined for kind in kinds} == {"VIDEO,IMAGE"}
    inputs = importlib.import_module(f"{import_pack(ROOT).__name__}.nodes.inputs")
    monkeypatch.setattr(inputs, "io", SimpleNamespace(Video=inputs.io.Video))
    assert inputs.video_input("video", "A video.").get_io_type() == "VIDEO"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_translations_cover_every_node(nodes, language):
    texts = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))
    assert set(texts) == set(nodes)
    for node_id, node in nodes.items():
        schema, text = node.GET_SCHEMA(), texts[node_id]
        entries = {e.id: e for e in schema.inputs}
        for entry in schema.inputs:
            if isinstance(entry, DynamicCombo.Input):
                entries |= {f"{entry.id}_{e.id}": e for e in entry.get_all()[1:]}
        assert set(text["inputs"]) == set(entries), node_id
        assert set(text["outputs"]) == {str(i) for i in range(len(schema.outputs))}, node_id
        assert all(t["name"] and t["tooltip"] for t in [*text["inputs"].values(), *text["outputs"].values()])
        if language == "en":
            assert text["display_name"] == schema.display_name and text["description"] == schema.description
            told = {name: entry.tooltip for name, entry in entries.items()}
            assert {name: t["tooltip"] for name, t in text["inputs"].items()} == told, node_id
            assert [t["tooltip"] for t in text["outputs"].values()] == [o.tooltip for o in schema.outputs], node_id
    categories = {part for node in nodes.values() for part in node.GET_SCHEMA().category.split("/")}
    main = json.loads((ROOT / "locales" / language / "main.json").read_text(encoding="utf-8"))
    assert categories <= set(main["nodeCategories"])
