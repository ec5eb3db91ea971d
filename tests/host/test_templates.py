"""ComfyUI's official workflow templates: values on their subgraphs' instances, and what they lack here.

The frontend itself is asked by `tests/benchmarks/comfyui_subgraphs.py`.
"""

from __future__ import annotations

import copy
import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from sora_core.errors import SoraError
from sora_core.host.graph.scopes import NOTES, PRIMITIVE, REROUTES
from sora_core.host.graph.uigraph import read_ui
from sora_core.host.graph.validate import WorkflowError, make_plan
from sora_core.host.host import Host

FOUND = find_spec("comfyui_workflow_templates_json")
pytestmark = pytest.mark.skipif(FOUND is None, reason="needs the package comfyui-workflow-templates-json")
BESIDES = (*NOTES, *REROUTES, PRIMITIVE)
MODES_THAT_RUN = (0, 1, 3)


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    return Host()


@pytest.fixture(scope="module")
def templates():
    folder = Path(FOUND.origin).parent / "templates"
    graphs = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    return {
        name: data for name, data in graphs.items() if isinstance(data, dict) and isinstance(data.get("nodes"), list)
    }


def definitions(graph):
    return {d["id"]: d for d in (graph.get("definitions") or {}).get("subgraphs") or []}


def instances(graph, part, prefix=""):
    """The instances of subgraphs that run, by the ids on the way to them."""
    for entry in part["nodes"]:
        definition = definitions(graph).get(entry["type"])
        if definition is not None and entry.get("mode", 0) in MODES_THAT_RUN:
            yield f"{prefix}{entry['id']}:", entry, definition
            yield from instances(graph, definition, f"{prefix}{entry['id']}:")


def fed_widgets(definition, name):
    """The widgets inside that an input of a subgraph feeds: id of the node and name."""
    slot = [entry["name"] for entry in definition["inputs"]].index(name)
    nodes = {entry["id"]: entry for entry in definition["nodes"]}
    for link in definition["links"]:
        if (link["origin_id"], link["origin_slot"]) == (-10, slot) and link["target_id"] in nodes:
            yield link["target_id"], nodes[link["target_id"]]["inputs"][link["target_slot"]]


def test_typed_values_are_those_that_the_file_names(templates, host):
    """Newer frontends save the values by name too: without the names they must be read the same."""
    compared, wrong = 0, []
    for name, graph in templates.items():
        blind = copy.deepcopy(graph)
        for part in (blind, *definitions(blind).values()):
            for entry in part["nodes"]:
                entry.pop("widgets_values_named", None)
        read = read_ui(blind, host.registry, name).nodes
        for prefix, entry, definition in instances(graph, graph):
            linked = {socket["name"] for socket in entry.get("inputs") or [] if socket.get("link") is not None}
            for widget, value in (entry.get("widgets_values_named") or {}).items():
                if widget in linked or value is None or (entry.get("properties") or {}).get("proxyWidgets") is not None:
                    continue
                for inner, socket in fed_widgets(definition, widget):
                    node = read.get(f"{prefix}{inner}")
                    if node is not None and "widget" in socket:
                        compared += 1
                        if node.inputs.get(socket["name"]) != value:
                            wrong.append((name, node.id, socket["name"], node.inputs.get(socket["name"]), value))
    assert not wrong, wrong[:5]
    assert compared > 20  # as many as the oldest version has that the tests may be run with


def test_every_refusal_lists_every_missing_type_once(templates, host):
    refused = 0
    for name, graph in templates.items():
        workflow = read_ui(graph, host.registry, name)
        missing = {n.type for n in workflow.nodes.values()} - set(host.registry.nodes) - set(BESIDES)
        try:
            make_plan(workflow, host.registry)
        except WorkflowError as error:
            message = str(error)
        else:
            continue
        if not missing:
            continue
        refused += 1
        assert "in ComfyUI" in message and len(message.splitlines()) <= 2, message
        for kind in missing:
            at_its_place = rf"(?:: |, |type '){re.escape(kind)}(?: \(|, |\. |' here)"
            assert len(re.findall(at_its_place, message)) == 1, (name, kind, message)
        packs = {n.pack for n in workflow.nodes.values() if n.type in missing and n.pack}
        assert all(("ComfyUI" if pack == "comfy-core" else pack) in message for pack in packs), (name, message)
    assert refused > 100


def test_nothing_but_words_comes_of_a_template(templates, host):
    for name, graph in templates.items():
        try:
            host.plan(host.load(graph))
        except SoraError as error:
            assert 1 <= len(str(error).splitlines()) <= 2, name
