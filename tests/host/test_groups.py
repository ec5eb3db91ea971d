"""Group nodes, which subgraphs have replaced: read as the frontend reads them (1.58.1 was asked)."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from drawn_graphs import canvas, node, refusal
from host_support import make_host

from sora_core.errors import SoraError
from sora_core.host.graph.workflow import Link
from sora_core.host.packs import own_pack


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    host = make_host(Path(tmp_path_factory.mktemp("host")))
    host.registry.load_pack(own_pack())
    return host


def inside(kind, widgets=(), inputs=(), outputs=(), **more):
    """A node as a group holds it: without an id, its links told elsewhere."""
    made = node(0, kind, widgets, inputs, **more) | {"outputs": [{"name": t, "type": t, "links": []} for t in outputs]}
    return {key: value for key, value in made.items() if key != "id"}


SOCKETS = [
    (n, t, None) for n, t in (("model", "MODEL"), ("positive", "*"), ("negative", "*"), ("latent_image", "LATENT"))
]
SAMPLER = inside("KSampler", [1, "fixed", 2, 3.0, "euler", "simple", 0.5], SOCKETS, ["LATENT"])
TEXTS = [inside("CLIPTextEncode", [text], [("clip", "CLIP", None)], ["CONDITIONING"]) for text in "ab"]
SAMPLING = {"nodes": [*TEXTS, SAMPLER], "links": [[0, 0, 2, 1, 5, "*"], [1, 0, 2, 2, 6, "*"]], "external": []}
TYPED = ["cat", "dog", 7, "fixed", 9, 4.5, "heun", "normal", 0.9]
KNOBS = {"seed": 7, "steps": 9, "cfg": 4.5, "sampler_name": "heun", "scheduler": "normal", "denoise": 0.9}
INPUTS = [("clip", "CLIP", 2), ("CLIPTextEncode clip", "CLIP", 3), ("model", "MODEL", 1), ("latent_image", "LATENT", 4)]
LINKS = [
    [1, 1, 0, 3, 2, "MODEL"],
    [2, 1, 1, 3, 0, "CLIP"],
    [3, 6, 1, 3, 1, "CLIP"],
    [4, 2, 0, 3, 3, "LATENT"],
    [5, 3, 0, 4, 0, "LATENT"],
]


def drawn(group, values=TYPED, inputs=INPUTS, links=LINKS, kind="workflow>Make", **more):
    """A group among core nodes: 1 and 6 load models, 2 is an empty latent, 4 decodes."""
    nodes = [
        node(3, kind, values, inputs),
        node(1, "SoraLoadModel", ["sora-mini"]),
        node(6, "SoraLoadModel", ["sora-mini"]),
        node(2, "EmptyLatentImage", [64, 64, 1]),
        node(4, "VAEDecode", [], [("samples", "LATENT", 5)]),
    ]
    return copy.deepcopy(canvas(nodes, links, extra={"groupNodes": {"Make": group}}, **more))


def read(host, flow):
    nodes = host.load(flow).nodes
    assert "3" not in nodes
    return {name: node.inputs for name, node in nodes.items()}


@pytest.mark.parametrize("kind", ["workflow>Make", "workflow/Make"])
def test_a_group_is_laid_flat(host, kind):
    nodes = read(host, drawn(SAMPLING, kind=kind))
    assert nodes["3:0"] == {"text": "cat", "clip": Link("1", 1)}
    assert nodes["3:1"] == {"text": "dog", "clip": Link("6", 1)}
    ends = {"positive": Link("3:0", 0), "negative": Link("3:1", 0), "latent_image": Link("2", 0), "model": Link("1", 0)}
    assert nodes["3:2"] == {**KNOBS, **ends}
    assert nodes["4"] == {"samples": Link("3:2", 0)}


def test_titles_go_before_names_that_are_taken(host):
    group = copy.deepcopy(SAMPLING)
    group["nodes"][1]["title"] = "Neg"
    nodes = read(host, drawn(group, inputs=[INPUTS[0], ("Neg clip", "CLIP", 3), *INPUTS[2:]]))
    assert nodes["3:0"]["clip"] == Link("1", 1) and nodes["3:1"]["clip"] == Link("6", 1)


@pytest.mark.parametrize("name", ["CLIPTextEncode text", "text"])  # by its name, or else by its place
def test_widgets_that_were_turned_into_inputs_come_last(host, name):
    group = copy.deepcopy(SAMPLING)
    group["nodes"][0]["inputs"].append({"name": "text", "type": "STRING", "link": None, "widget": {"name": "text"}})
    values, outside = [*TYPED[1:], "cat"], node(7, "PrimitiveString", ["from outside"])
    nodes = read(host, drawn(group, values, [*INPUTS, (name, "STRING", None, True)]))
    assert nodes["3:0"]["text"] == "cat" and nodes["3:1"]["text"] == "dog"
    flow = drawn(group, values, [*INPUTS, (name, "STRING", 7, True)], [*LINKS, [7, 7, 0, 3, 4, "STRING"]])
    flow["nodes"].append(outside)
    assert read(host, flow)["3:0"]["text"] == Link("7", 0)


def test_a_primitive_inside_has_a_widget_on_the_group(host):
    primitive = inside("PrimitiveNode", [123, "fixed"], [], ["INT"])
    fed = copy.deepcopy(SAMPLER)
    fed["inputs"].append({"name": "seed", "type": "INT", "link": None, "widget": {"name": "seed"}})
    group = {"nodes": [primitive, fed], "links": [[0, 0, 1, 4, 9, "INT"]]}
    nodes = read(host, drawn(group, [77, "fixed", *TYPED[4:]], SOCKETS))
    assert nodes["3:1"] == {**KNOBS, "seed": 77}
    nodes = read(host, drawn(group, [], SOCKETS))
    assert nodes["3:1"]["seed"] == 123


def test_reroutes_inside_pass_on(host):
    reroute = inside("Reroute", [], [("", "*", None)], ["LATENT"])
    decode = inside("VAEDecode", [], [("samples", "LATENT", None), ("vae", "VAE", None)], ["IMAGE"])
    group = {"nodes": [SAMPLER, reroute, decode], "links": [[0, 0, 1, 0, 1, "*"], [1, 0, 2, 0, 1, "*"]]}
    nodes = read(host, drawn(group, TYPED[2:], [*SOCKETS[:3], ("latent_image", "LATENT", 4)]))
    assert nodes["3:2"] == {"samples": Link("3:0", 0)} and nodes["3:0"]["latent_image"] == Link("2", 0)
    assert nodes["4"] == {"samples": Link("3:2", 0)}
    first = {"nodes": [reroute, SAMPLER], "links": [[0, 0, 1, 3, 1, "LATENT"]]}
    nodes = read(host, drawn(first, TYPED[2:], [("LATENT", "LATENT", 4), *SOCKETS[:3]]))
    assert nodes["3:1"]["latent_image"] == Link("2", 0)


def test_outputs_that_were_linked_outside_stay(host):
    empty = inside("EmptyLatentImage", [64, 64, 1], [], ["LATENT"])
    group = {"nodes": [empty, SAMPLER], "links": [[0, 0, 1, 3, 1, "LATENT"]], "external": [[0, 0, "LATENT"]]}
    nodes = read(host, drawn(group, [32, 48, 2, *TYPED[2:]], SOCKETS[:3]))
    assert nodes["3:0"] == {"width": 32, "height": 48, "batch_size": 2} and nodes["3:1"]["seed"] == 7
    assert nodes["4"] == {"samples": Link("3:0", 0)}  # the first output is now the latent's
    nodes = read(host, drawn({**group, "external": []}, [32, 48, 2, *TYPED[2:]], SOCKETS[:3]))
    assert nodes["4"] == {"samples": Link("3:1", 0)}


def test_what_was_hidden_or_renamed_by_hand(host):
    config = {
        "0": {"input": {"clip": {"name": "CL"}}, "output": {"0": {"visible": True, "name": "cond"}}},
        "2": {"input": {"latent_image": {"visible": False}}},
    }
    flow = drawn({**SAMPLING, "config": config}, inputs=[("CL", "CLIP", 2), ("clip", "CLIP", 3), ("model", "MODEL", 1)])
    flow["links"][-1][2] = 1
    nodes = read(host, flow)
    assert nodes["3:0"]["clip"] == Link("1", 1) and nodes["3:1"]["clip"] == Link("6", 1)
    assert "latent_image" not in nodes["3:2"] and nodes["4"] == {"samples": Link("3:2", 0)}


def test_an_upload_button_inside_is_no_value(host):
    picture = inside("LoadImage", ["a.png", "image"], [], ["IMAGE", "MASK"])
    scale = inside("ImageScale", ["nearest-exact", 64, 64, "disabled"], [("image", "IMAGE", None)], ["IMAGE"])
    group = {"nodes": [inside("Note", ["hi"]), picture, scale], "links": [[1, 0, 2, 0, 1, "IMAGE"]]}
    nodes = read(host, drawn(group, ["b.png", "image", "bilinear", 32, 48, "center"], []))
    assert nodes["3:1"] == {"image": "b.png"} and nodes["3:2"]["width"] == 32 and nodes["3:2"]["crop"] == "center"


def test_values_that_are_missing_are_those_of_a_new_group(host):
    nodes = read(host, drawn(SAMPLING, TYPED[:4]))
    assert nodes["3:2"]["seed"] == 7 and nodes["3:2"]["steps"] == 20 and nodes["3:2"]["denoise"] == 1


def test_a_group_that_is_bypassed_or_muted_is_left(host):
    for mode, source in ((2, None), (4, Link("2", 0))):
        flow = drawn(SAMPLING)
        flow["nodes"][0] |= {"mode": mode, "outputs": [{"type": "LATENT"}]}
        nodes = read(host, flow)
        assert nodes["4"].get("samples") == source and not [name for name in nodes if ":" in name]


def test_settings_beside_a_group_are_saved(host):
    flow = drawn(SAMPLING)
    changed = host.load(flow, ["2.width=96"])
    assert changed.source["nodes"][3]["widgets_values"][0] == 96
    assert changed.source["extra"] == flow["extra"] and changed.source["nodes"][0] == flow["nodes"][0]
    assert host.load(flow, ["3:2.seed=5"]).source is None  # the group shares its widgets: the API format has it


def test_groups_that_cannot_be_opened_are_named(host):
    flow = drawn({**SAMPLING, "nodes": [*SAMPLING["nodes"], inside("FooNode"), inside("BarNode")]})
    message = refusal(host, flow)
    assert "Node 3: the group node 'Make' holds types that are not here (FooNode, BarNode): run it in" in message
    flow["nodes"].append(node(12, "FooLoader"))
    assert "the group node 'Make' (which holds FooNode, BarNode)" in refusal(host, flow)
    flow = drawn(SAMPLING, kind="workflow>Other")
    assert "does not hold the group node 'Other': save the workflow again" in refusal(host, flow)


@pytest.mark.parametrize("group", [None, [], {"nodes": 3}, {"nodes": [{}]}, {**SAMPLING, "links": [1]}])
def test_damaged_groups_are_worded(host, group):
    with pytest.raises(SoraError, match="group node 'Make' is damaged"):
        host.load(drawn(group))
