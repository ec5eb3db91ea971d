"""Workflows that were damaged: each is read, or refused in words that say where and what."""

from __future__ import annotations

import copy
import json
import random
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from damaged_graphs import damaged
from drawn_graphs import canvas, node, refusal, write
from host_support import make_host

from sora_core.errors import SoraError
from sora_core.host.host import Host
from sora_core.host.run.memory import check_memory

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = find_spec("comfyui_workflow_templates_json")
SECONDS = 2.0


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    return make_host(Path(tmp_path_factory.mktemp("host")))


@pytest.fixture(scope="module")
def graphs():
    """Workflows and blueprints of the pack, and some of the official ones."""
    paths = [*sorted((ROOT / "workflows").glob("*.json")), *sorted((ROOT / "subgraphs").glob("*.json"))]
    if TEMPLATES is not None:
        paths += sorted((Path(TEMPLATES.origin).parent / "templates").glob("*.json"))[::12]
    read = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return [graph for graph in read if isinstance(graph, dict) and isinstance(graph.get("nodes"), list)]


def read_to_the_end(host, graph):
    workflow = host.load(graph)
    json.dumps(workflow.prompt())
    plan = host.plan(workflow)
    with host.active():
        check_memory(plan)


@pytest.mark.parametrize("api", [False, True], ids=["as saved", "as sent"])
def test_damaged_workflows_end_in_words_and_in_time(graphs, api):
    host, draw = Host(), random.Random(22)
    for number in range(300):
        graph = draw.choice(graphs)
        if api:
            graph = host.load(graph).prompt()
        graph = damaged(graph, draw)
        start = time.process_time()
        try:
            read_to_the_end(host, graph)
        except SoraError as error:
            said = str(error)
            assert len(said.splitlines()) <= 2 and "Error: " not in said, (number, said)
        assert time.process_time() - start < SECONDS, number


def flow(*nodes, links=()):
    return canvas([node(1, "TinyNumber", [3]), *nodes, write(9)], [*links, [9, nodes[0]["id"], 0, 9, 0, "*"]])


NOWHERE = {
    "a reroute without inputs": (flow(node(4, "Reroute")), "through node 4 (Reroute), into which nothing leads"),
    "a Set node without inputs": (
        flow(node(4, "GetNode", ["n"]), node(5, "SetNode", ["n"])),
        "through node 5 (SetNode), into which nothing leads",
    ),
    "a Set node without a name": (flow(node(4, "GetNode"), node(5, "SetNode")), "node 5 (SetNode), into which nothing"),
    "a Get node whose values are a number": (
        flow({**node(4, "GetNode"), "widgets_values": 4}),
        "node 4 (GetNode) gets '', which no Set node sets: the workflow has no Set node",
    ),
    "a bypassed node without outputs": (
        flow({**node(4, "TinyAdd", mode=4), "outputs": []}),
        "output 0 of node 4 (TinyAdd), which is bypassed and has no such output",
    ),
    "a bypassed node of other types": (
        flow(node(4, "TinyAdd", [], [("a", "MODEL", 1)], mode=4)),
        "node 4 (TinyAdd), which is bypassed and has no input of type 'INT'",
    ),
    "a ring of reroutes": (
        flow(
            node(4, "Reroute", [], [("", "*", 1)]),
            node(5, "Reroute", [], [("", "*", 2)]),
            links=[[1, 5, 0, 4, 0, "*"], [2, 4, 0, 5, 0, "*"]],
        ),
        "leads round in a cycle of reroutes",
    ),
    "a node that is not there": (
        flow(node(4, "Reroute", [], [("", "*", 1)]), links=[[1, 77, 0, 4, 0, "*"]]),
        "node 77",
    ),
    "a slot that is not there": (
        flow(node(4, "Reroute", [], [("", "*", 1)]), links=[[1, 1, -3, 4, 0, "*"]]),
        "output -3",
    ),
}


@pytest.mark.parametrize("case", NOWHERE)
def test_links_that_lead_nowhere_say_why(host, case):
    graph, words = NOWHERE[case]
    assert words in refusal(host, copy.deepcopy(graph))
    beside = copy.deepcopy(graph)  # what does not depend on it is made
    beside["nodes"].append({**write(10, 10), "id": 10})
    beside["links"].append([10, 1, 0, 10, 0, "*"])
    result = host.run(beside)
    assert result.files and words in result.left_out["9"]


def in_subgraph(outputs=(), origin_slot=0, instance=()):
    """A subgraph whose input feeds a node that writes."""
    inside = {
        "id": "s",
        "inputs": [{"name": "a"}],
        "outputs": [{"name": "o"}],
        "nodes": [write(1)],
        "links": [[1, -10, origin_slot, 9, 0, "*"], *outputs],
    }
    return canvas([*instance, node(5, "s")], definitions={"subgraphs": [inside]})


def test_links_to_what_a_subgraph_lacks_say_so(host):
    assert "input 7 of the subgraph, node 5, which has no such" in refusal(host, in_subgraph(origin_slot=7))
    graph = in_subgraph(instance=[write(3, 8)])
    graph["links"] = [[3, 5, 0, 8, 0, "*"]]
    assert "output 0 of node 5, a subgraph in which nothing leads there" in refusal(host, graph)


SHAPES = {
    "nodes": ({"nodes": [3]}, "an entry in the nodes of the workflow must be an object, not 3"),
    "id": ({"nodes": [{"id": [], "type": "A"}]}, "the id of a node must be a whole number or a text, not []"),
    "type": ({"nodes": [{"id": 1, "type": 5}]}, "the type of node 1 must be a text, not 5"),
    "inputs": ({"nodes": [{"id": 1, "type": "A", "inputs": "x"}]}, "inputs of node 1 must be a list, not 'x'"),
    "links": (
        {"nodes": [], "links": [[1, 2]]},
        "a link must hold an id, and the node and slot at both ends, not [1, 2]",
    ),
    "definitions": ({"nodes": [], "definitions": 4}, "definitions of the workflow must be an object, not 4"),
    "subgraph": (
        {"nodes": [], "definitions": {"subgraphs": [{"id": "s", "nodes": {}}]}},
        "nodes of subgraph 's' must be a list, not {}",
    ),
    "proxies": (
        {"nodes": [{"id": 1, "type": "A", "properties": {"proxyWidgets": [1]}}]},
        "an entry in proxyWidgets of node 1 must be a node's id and a widget's name, not 1",
    ),
    "number": ({"nodes": [{"id": 10**400, "type": "A"}]}, "the id of a node must be"),
}


@pytest.mark.parametrize("case", SHAPES)
def test_what_is_no_workflow_is_told_by_place(host, case):
    graph, words = SHAPES[case]
    with pytest.raises(SoraError) as error:
        host.load(graph)
    assert "is not a valid workflow: " in str(error.value) and words in str(error.value)


def test_choices_that_are_none_are_named(host):
    for value in ({"a": 1}, {"__value__": [1]}):
        graph = {"1": {"class_type": "LoadImage", "inputs": {"image": value}}}
        graph["2"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
        assert 'input "image": ' in refusal(host, graph)
    graph["1"]["inputs"]["image"] = 4
    assert "There is no file '4'" in refusal(host, graph)
