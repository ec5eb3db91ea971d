"""Reading workflows: what a canvas can hold, the API format, and files that are neither."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from host_support import api, make_host

from sora_core.errors import SoraError
from sora_core.host.graph.load import load_workflow
from sora_core.host.graph.workflow import Link


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    return make_host(Path(tmp_path_factory.mktemp("host")))


def node(node_id, kind, widgets=(), inputs=(), outputs=(), mode=0, **more):
    """A node as the frontend saves it. inputs: (name, type, link) triples."""
    return {
        "id": node_id,
        "type": kind,
        "pos": [0, 0],
        "size": [1, 1],
        "flags": {},
        "order": 0,
        "mode": mode,
        "inputs": [{"name": n, "type": t, "link": link} for n, t, link in inputs],
        "outputs": [{"name": t, "type": t, "links": []} for t in outputs],
        "properties": {"Node name for S&R": kind},
        "widgets_values": list(widgets),
        **more,
    }


def canvas(nodes, links, **more):
    return {
        "last_node_id": 99,
        "last_link_id": 99,
        "nodes": nodes,
        "links": links,
        "groups": [{"title": "g"}],
        "config": {},
        "extra": {"ds": {"scale": 1}},
        "version": 0.4,
        **more,
    }


def write(link, node_id=9):
    return node(node_id, "TinyWrite", ["tiny"], [("value", "*", link)])


def result_of(host, flow):
    return host.run(flow).files[0].read_text().split()[0]


def test_widget_values_by_position_with_the_control_behind_a_seed(host):
    flow = canvas(
        [node(1, "TinySeeded", [42, "randomize", "fancy", 2.5], outputs=["INT"], title="My seed"), write(1)],
        [[1, 1, 0, 9, 0, "INT"]],
    )
    loaded = host.load(flow)
    assert loaded.nodes["1"].inputs == {"seed": 42, "kind": "fancy", "scale": 2.5}
    assert loaded.nodes["9"].inputs == {"filename_prefix": "tiny", "value": Link("1", 0)}
    assert loaded.nodes["1"].title == "My seed"
    # Old files lack the control; files saved before a widget was added end early.
    assert host.load(canvas([node(1, "TinySeeded", [42, "plain"])], [])).nodes["1"].inputs == {
        "seed": 42,
        "kind": "plain",
        "scale": 1.0,
    }


def test_core_nodes_as_the_frontend_saves_them(host):
    flow = canvas(
        [
            node(
                3,
                "KSampler",
                [7, "randomize", 25, 6.0, "euler", "simple", 0.8],
                [("model", "MODEL", None), ("positive", "CONDITIONING", None)],
            ),
            node(4, "LoadImage", ["cat.png", "image"]),
            node(5, "SaveVideo", ["video/x", "mp4", "h264"], [("video", "VIDEO", None)]),
        ],
        [],
    )
    nodes = host.load(flow).nodes
    assert nodes["3"].inputs == {
        "seed": 7,
        "steps": 25,
        "cfg": 6.0,
        "sampler_name": "euler",
        "scheduler": "simple",
        "denoise": 0.8,
    }
    assert nodes["4"].inputs == {"image": "cat.png"}
    assert nodes["5"].inputs["format"] == "mp4" and nodes["5"].inputs["format.codec"] == "h264"


def test_dynamic_combo_values_follow_the_choice(host):
    flow = canvas([node(1, "TinyMode", ["noisy", 0.75, 8, "fixed"])], [])
    assert host.load(flow).nodes["1"].inputs == {"mode": "noisy", "mode.eta": 0.75, "mode.seed": 8}
    assert host.load(canvas([node(1, "TinyMode", ["plain"])], [])).nodes["1"].inputs == {"mode": "plain"}


def test_a_widget_turned_into_an_input_keeps_its_place(host):
    sum_node = node(2, "TinyAdd", [5, 6], [("b", "INT", 1)], ["INT"])
    sum_node["inputs"][0]["widget"] = {"name": "b"}
    flow = canvas(
        [node(1, "TinyNumber", [3], outputs=["INT"]), sum_node, write(2)],
        [[1, 1, 0, 2, 0, "INT"], [2, 2, 0, 9, 0, "INT"]],
    )
    assert result_of(host, flow) == "8"


def test_reroutes_primitives_and_notes_vanish(host):
    flow = canvas(
        [
            node(1, "TinyNumber", [3], outputs=["INT"]),
            node(2, "Reroute", inputs=[("", "*", 1)], outputs=["INT"]),
            node(3, "Reroute", inputs=[("", "*", 2)], outputs=["INT"]),
            node(4, "PrimitiveNode", [4, "fixed"], outputs=["INT"]),
            node(5, "TinyAdd", [0, 0], [("a", "INT", 3), ("b", "INT", 4)], ["INT"]),
            node(6, "Note", ["text"]),
            node(7, "MarkdownNote", ["# text"]),
            write(5),
        ],
        [
            [1, 1, 0, 2, 0, "INT"],
            [2, 2, 0, 3, 0, "*"],
            [3, 3, 0, 5, 0, "INT"],
            [4, 4, 0, 5, 1, "INT"],
            [5, 5, 0, 9, 0, "INT"],
        ],
    )
    assert set(host.load(flow).nodes) == {"1", "5", "9"}
    assert result_of(host, flow) == "7"


def test_bypassed_nodes_pass_through_and_muted_ones_cut(host):
    def flow(mode):
        return canvas(
            [
                node(1, "TinyNumber", [3], outputs=["INT"]),
                node(2, "TinyAdd", [0, 50], [("a", "INT", 1)], ["INT"], mode=mode),
                write(2),
            ],
            [[1, 1, 0, 2, 0, "INT"], [2, 2, 0, 9, 0, "INT"]],
        )

    assert result_of(host, flow(0)) == "53"
    assert result_of(host, flow(4)) == "3"
    with pytest.raises(SoraError, match=r'Node 9 \(TinyWrite\), input "value": .*node 2, which is muted'):
        host.run(flow(2))


def subgraph_flow(**instance):
    inner = {
        "id": "11111111-2222-3333-4444-555555555555",
        "name": "Twice plus",
        "inputNode": {"id": -10},
        "outputNode": {"id": -20},
        "inputs": [
            {"id": "i1", "name": "start", "type": "INT", "linkIds": [1]},
            {"id": "i2", "name": "b", "type": "INT", "linkIds": [2]},
        ],
        "outputs": [{"id": "o1", "name": "INT", "type": "INT", "linkIds": [4]}],
        "nodes": [
            node(1, "TinyAdd", [0, 10], [("a", "INT", 1), ("b", "INT", 2)], ["INT"]),
            node(2, "TinyAdd", [0, 20], [("a", "INT", 3)], ["INT"]),
        ],
        "links": [
            {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 1, "target_slot": 0, "type": "INT"},
            {"id": 2, "origin_id": -10, "origin_slot": 1, "target_id": 1, "target_slot": 1, "type": "INT"},
            {"id": 3, "origin_id": 1, "origin_slot": 0, "target_id": 2, "target_slot": 0, "type": "INT"},
            {"id": 4, "origin_id": 2, "origin_slot": 0, "target_id": -20, "target_slot": 0, "type": "INT"},
        ],
    }
    called = node(
        5, inner["id"], instance.pop("widgets", []), [("start", "INT", 1), ("b", "INT", None)], ["INT"], **instance
    )
    called["inputs"][1]["widget"] = {"name": "b"}
    return canvas(
        [node(1, "TinyNumber", [3], outputs=["INT"]), called, write(2)],
        [[1, 1, 0, 5, 0, "INT"], [2, 5, 0, 9, 0, "INT"]],
        definitions={"subgraphs": [inner]},
    )


def test_subgraphs_are_laid_flat(host):
    loaded = host.load(subgraph_flow())
    assert set(loaded.nodes) == {"1", "5:1", "5:2", "9"}
    assert loaded.nodes["9"].inputs["value"] == Link("5:2", 0)
    assert result_of(host, subgraph_flow()) == "33"
    assert result_of(host, subgraph_flow(widgets=[1])) == "24"
    proxies = {"proxyWidgets": [["2", "b"], ["-1", "b"]]}
    flow = subgraph_flow(widgets=[5, 1])
    flow["nodes"][1]["properties"] = proxies
    assert result_of(host, flow) == "9"
    assert host.run(subgraph_flow(), ["5:2.b=0"]).files[0].read_text().startswith("13 ")


def test_both_formats_give_the_same_run(host):
    flow = canvas([node(1, "TinyNumber", [3], outputs=["INT"]), write(1)], [[1, 1, 0, 9, 0, "INT"]])
    prompt = host.load(flow).prompt()
    assert prompt == {
        "1": {"class_type": "TinyNumber", "inputs": {"value": 3}},
        "9": {"class_type": "TinyWrite", "inputs": {"value": ["1", 0], "filename_prefix": "tiny"}},
    }
    assert host.load(prompt).prompt() == prompt
    posted = {"prompt": prompt, "extra_data": {"extra_pnginfo": {"workflow": flow}}}
    assert host.load(posted).source == flow


def test_reading_does_not_change_what_is_saved_with_the_video(host):
    flow = canvas([node(1, "TinyNumber", [3], outputs=["INT"]), write(1)], [[1, 1, 0, 9, 0, "INT"]])
    before = json.dumps(flow)
    assert json.dumps(host.load(flow).source) == before
    loaded = host.load(flow, ["1.value=5"])
    assert json.dumps(flow) == before == json.dumps(loaded.source).replace("[5]", "[3]") != json.dumps(loaded.source)


def test_settings_are_saved_with_the_video(host):
    """What is saved, read again without them, runs as they had it: also where a link was cut, and in a subgraph."""
    number = node(1, "TinyNumber", [3], outputs=["INT"])
    joined = node(3, "TinyAdd", [1, 2], [("a", "INT", 1), ("b", "INT", 2)], ["INT"])
    links = [[1, 1, 0, 3, 0, "INT"], [2, 1, 0, 3, 1, "INT"], [3, 3, 0, 9, 0, "INT"]]
    cases = (
        (canvas([number, joined, write(3)], links), ["1.value=5"]),
        (canvas([number, joined, write(3)], links), ["3.b=8", "9.filename_prefix=other"]),
        (subgraph_flow(), ["5:2.b=0"]),
    )
    for flow, settings in cases:
        loaded = host.load(flow, settings)
        assert loaded.source is not None and loaded.source != flow
        assert host.load(loaded.source).prompt() == loaded.prompt()
    # Of two instances of a subgraph one is changed: only the API format can say that.
    flow = subgraph_flow()
    flow["nodes"].append({**flow["nodes"][1], "id": 6, "inputs": []})
    loaded = host.load(flow, ["5:2.b=0"])
    assert loaded.source is None and loaded.prompt()["6:2"]["inputs"]["b"] == 20


BAD_FILES = {
    "not json": ("{not json", ["is not JSON", "line 1"]),
    "binary": (b"\xff\xfe\x00garbage\x80", ["is not JSON"]),
    "empty": ("", ["is not JSON"]),
    "a list": ("[1, 2]", ["is not a workflow", "a list"]),
    "a text": ('"hello"', ["is not a workflow"]),
    "an empty object": ("{}", ["is not a workflow", "empty"]),
    "another json": ('{"name": "x", "version": 3}', ["is not a workflow", "'name'", "class_type"]),
    "a canvas without nodes": ('{"nodes": [], "links": []}', ["no active nodes"]),
    "a slot that is a text": (
        '{"nodes": [{"id": 1, "type": "TinyNumber"}, {"id": 2, "type": "TinyWrite", "inputs": '
        '[{"name": "value", "link": 1}]}], "links": [[1, 1, "0", 2, 0, "INT"]]}',
        ["is not a valid workflow", "a slot of link 1 must be a whole number, not '0'"],
    ),
    "a broken canvas": ('{"nodes": [{"type": "TinyAdd"}], "links": [[1]]}', ["is not a valid workflow"]),
    "inputs that are no object": ('{"1": {"class_type": "TinyAdd", "inputs": [1]}}', ["inputs of node 1"]),
    "deep nesting": ("[" * 100_000, ["is not JSON"]),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_files_that_are_no_workflow(host, tmp_path, case):
    content, words = BAD_FILES[case]
    path = tmp_path / "flow.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SoraError) as error:
        load_workflow(path, host.registry)
    assert all(word in str(error.value) for word in ["flow.json", *words]), str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_files_that_are_not_there(host, tmp_path):
    with pytest.raises(SoraError, match="no file"):
        load_workflow(tmp_path / "none.json", host.registry)
    with pytest.raises(SoraError, match="is a folder"):
        load_workflow(tmp_path, host.registry)


def test_a_byte_order_mark_is_no_obstacle(host, tmp_path):
    path = tmp_path / "flow.json"
    path.write_text("\ufeff" + json.dumps(api(n1=("TinyNumber", {"value": 1}))), encoding="utf-8")
    assert load_workflow(path, host.registry).nodes["1"].inputs == {"value": 1}


def test_reroutes_in_a_ring_are_named(host):
    flow = canvas(
        [
            node(1, "Reroute", inputs=[("", "*", 2)], outputs=["*"]),
            node(2, "Reroute", inputs=[("", "*", 1)], outputs=["*"]),
            write(3),
        ],
        [[1, 1, 0, 2, 0, "*"], [2, 2, 0, 1, 0, "*"], [3, 1, 0, 9, 0, "*"]],
    )
    with pytest.raises(SoraError, match="cycle"):
        host.run(flow)


def test_a_subgraph_inside_itself_is_refused(host):
    flow = subgraph_flow()
    inner = flow["definitions"]["subgraphs"][0]
    inner["nodes"].append(node(3, inner["id"]))
    inner["nodes"].append(node(4, inner["id"]))
    with pytest.raises(SoraError, match="contain each other"):
        host.load(flow)
