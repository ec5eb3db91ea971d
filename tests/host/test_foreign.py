"""Workflows that the world has, read as ComfyUI's frontend and server read them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from drawn_graphs import canvas, node, refusal, write
from host_support import api, make_host

from sora_core.errors import SoraError
from sora_core.host.graph.validate import WorkflowError
from sora_core.host.graph.workflow import Link
from sora_core.host.packs import own_pack
from sora_core.pipeline.own import OwnEngine

ONE = ("TinyNumber", {"value": 3})
GOOD = {"value": ["1", 0]}
KIND = "6f1c2a30-0000-4000-8000-000000000001"


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    host = make_host(Path(tmp_path_factory.mktemp("host")))
    host.registry.load_pack(own_pack())
    return host


# -- values on the instances of subgraphs ----------------------------------------------------------------------------
INPUTS = ("text", "seed", "steps", "cfg")
TYPED = {"text": "OUTER: a red car", "seed": 7, "steps": 3, "cfg": 2.5}
VALUES = tuple(TYPED.values())
INNER = {"text": "INNER: a cat", "seed": 111, "steps": 20, "cfg": 8.0}


def sampling(*, shown=(), values=VALUES, named=None, proxies=None, links=()):
    """A subgraph with a prompt, a seed, steps and a cfg. shown: inputs that stand on its instance; links: some."""
    inside = [
        node(2, "CLIPTextEncode", [INNER["text"]], [("clip", "CLIP", None), ("text", "STRING", 11, True)]),
        node(
            5,
            "KSampler",
            [INNER["seed"], "fixed", INNER["steps"], INNER["cfg"], "euler", "simple", 1],
            [("positive", "CONDITIONING", None), *((n, "*", 12 + i, True) for i, n in enumerate(INPUTS[1:]))],
        ),
    ]
    wires = [(11, 0, 2, 1), (12, 1, 5, 1), (13, 2, 5, 2), (14, 3, 5, 3)]
    definition = {
        "id": KIND,
        "name": "Make",
        "inputs": [{"name": name, "type": "*"} for name in INPUTS],
        "outputs": [],
        "nodes": inside,
        "links": [
            {"id": i, "origin_id": -10, "origin_slot": s, "target_id": t, "target_slot": ts, "type": "*"}
            for i, s, t, ts in wires
        ],
    }
    instance = node(10, KIND, values, [(name, "*", dict(links).get(name), True) for name in shown])
    if named is not None:
        instance["widgets_values_named"] = named
    if proxies is not None:
        instance["properties"]["proxyWidgets"] = proxies
    wide = [[link, 1, 0, 10, 0, "*"] for _, link in links]
    return canvas([node(1, "TinyNumber", [4]), instance], wide, definitions={"subgraphs": [definition]})


def values_in(host, flow, settings=()):
    nodes = host.load(flow, settings).nodes
    return {"text": nodes["10:2"].inputs["text"], **{n: nodes["10:5"].inputs[n] for n in INPUTS[1:]}}


SAVED = {
    "by inputs that stand on it, all": {"shown": INPUTS},
    "none stands on it": {},
    "renamed ones stand on it": {"shown": ("seed", "steps")},
    "the last stands on it": {"shown": ("cfg",)},
    "with names": {"named": TYPED},
    "names of a longer list": {"named": TYPED, "values": ("x", *TYPED.values())},
    "names alone": {"named": TYPED, "values": ()},
    "by proxies in another order": {
        "proxies": [["-1", "cfg"], ["5", "steps"], ["-1", "text"], ["5", "seed"]],
        "values": (2.5, 3, "OUTER: a red car", 7),
    },
}


@pytest.mark.parametrize("case", SAVED)
def test_values_of_an_instance_are_read_by_the_definition(host, case):
    assert values_in(host, sampling(**SAVED[case])) == TYPED


def test_what_is_not_typed_on_an_instance_the_inner_node_says(host):
    assert values_in(host, sampling(values=())) == INNER
    assert values_in(host, sampling(values=(None, 7))) == {**INNER, "seed": 7}
    assert values_in(host, sampling(values=(), proxies=[["5", "seed"]])) == INNER


def test_a_linked_input_of_an_instance_keeps_its_place(host):
    flow = sampling(shown=("seed",), links=(("seed", 1),))
    assert values_in(host, flow) == {**TYPED, "seed": Link("1", 0)}


def test_settings_on_an_instance_leave_its_other_values(host):
    loaded = host.load(sampling(), ["10:5.seed=5"])
    assert loaded.source is not None
    assert values_in(host, loaded.source) == {**TYPED, "seed": 5}
    named = host.load(sampling(named=TYPED), ["10:2.text=new"]).source
    assert named["nodes"][1]["widgets_values_named"] == {**TYPED, "text": "new"}


def test_an_untouched_widget_of_an_instance_shows_the_first_widget_inside(host):
    """And gives that to all that it leads to, sockets without a widget among them."""
    flow = sampling(values=())
    definition = flow["definitions"]["subgraphs"][0]
    definition["nodes"] += [node(7, "KSampler", [5], [("seed", "INT", 21, True)]), write(22, 8)]
    definition["links"] += [
        {"id": 21, "origin_id": -10, "origin_slot": 1, "target_id": 7, "target_slot": 0, "type": "INT"},
        {"id": 22, "origin_id": -10, "origin_slot": 1, "target_id": 8, "target_slot": 0, "type": "INT"},
    ]
    read = host.load(flow).nodes
    assert read["10:5"].inputs["seed"] == read["10:7"].inputs["seed"] == read["10:8"].inputs["value"] == 111
    definition["inputs"][1]["linkIds"] = [21, 22, 12]
    read = host.load(flow).nodes
    assert read["10:5"].inputs["seed"] == read["10:7"].inputs["seed"] == read["10:8"].inputs["value"] == 5


def test_the_outer_of_two_instances_counts(host):
    """An instance within another: what is typed further out is in force, else what is typed further in."""
    flow = sampling()
    inner, instance = flow["definitions"]["subgraphs"][0], flow["nodes"].pop()
    instance["inputs"] = [{"name": "seed", "type": "*", "link": 1, "widget": {"name": "seed"}}]
    outer = {
        "id": "outer",
        "inputs": [{"name": "my seed", "type": "*"}],
        "nodes": [instance],
        "links": [{"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 10, "target_slot": 0, "type": "*"}],
    }
    for typed, seed in (([99], 99), ([], 7)):
        flow["nodes"] = [node(20, "outer", typed)]
        flow["definitions"] = {"subgraphs": [inner, outer]}
        assert host.load(copy.deepcopy(flow)).nodes["20:10:5"].inputs["seed"] == seed


# -- widget values of old files ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("control", [True, False, "fixed"])
def test_an_old_control_after_generate_is_no_value(host, control):
    read = host.load(canvas([node(5, "KSampler", [11, control, 3, 2.5, "euler", "simple", 1])])).nodes["5"].inputs
    assert list(read.values()) == [11, 3, 2.5, "euler", "simple", 1]
    saved = ["enable", 11, control, 3, 2.5, "euler", "simple", 0, 10000, "disable"]
    read = host.load(canvas([node(5, "KSamplerAdvanced", saved)])).nodes["5"].inputs
    assert read["noise_seed"] == 11 and read["steps"] == 3 and read["return_with_leftover_noise"] == "disable"


def test_old_and_other_names_of_samplers(host):
    read = host.load(canvas([node(5, "KSampler", [11, "fixed", 3, 2.5, "sample_dpmpp_2m", "simple", 1])]))
    assert read.nodes["5"].inputs["sampler_name"] == "dpmpp_2m"
    for kind, widget in (("KSampler", "sampler_name"), ("SoraSampler", "sampler")):
        given = api(n1=(kind, {widget: "uni_pc_bh2"}), n2=("TinyWrite", GOOD))
        with pytest.raises(WorkflowError) as error:  # nothing else is connected
            host.run(given)
        assert all(problem.input != widget for problem in error.value.problems)


def test_uni_pc_bh2_is_uni_pc_with_its_variant():
    engine = OwnEngine()
    named, chosen = engine.make_sampler("uni_pc_bh2", {}), engine.make_sampler("uni_pc", {"variant": "bh2"})
    assert (named.name, named.options) == (chosen.name, chosen.options)
    assert named.options != engine.make_sampler("uni_pc", {}).options
    model = SimpleNamespace(shift=3.0)
    sigmas = [engine.make_sigmas(model, "simple", 6, 1.0, name) for name in ("uni_pc_bh2", "uni_pc", "euler")]
    assert sigmas[0].equal(sigmas[1]) and not sigmas[0].equal(sigmas[2])


# -- what a server ignores --------------------------------------------------------------------------------------------
EXTRAS = {
    "upload": "image",
    "choose file to upload": "image",
    "control_after_generate": "fixed",
    "$$canvas-image-preview": None,
    "videopreview": {"hidden": False},
    "speak_and_recognation": True,
    "valeu": 4,
    "linked": ["77", 0],
}


@pytest.mark.parametrize("name", EXTRAS)
def test_keys_that_a_node_does_not_have_are_ignored(host, name):
    flow = api(n1=("TinyNumber", {"value": 3, name: EXTRAS[name]}), n2=("TinyWrite", GOOD))
    assert host.run(flow).files[0].read_text().startswith("3 ")


def test_options_of_another_choice_are_ignored(host):
    flow = api(n1=("TinyMode", {"mode": "plain", "mode.eta": 1}), n2=("TinyWrite", GOOD))
    assert "plain" in host.run(flow).files[0].read_text()


# -- outputs that cannot be made beside others -------------------------------------------------------------------------
LEFT_OUT = {
    "unconnected": (api(n1=ONE, n2=("TinyWrite", GOOD), n3=("TinyWrite", {})), "nothing is connected"),
    "a bad value above it": (
        api(n1=ONE, n2=("TinyWrite", GOOD), n4=("TinyNumber", {"value": 99}), n3=("TinyWrite", {"value": ["4", 0]})),
        "99 is too large",
    ),
    "muted": (
        canvas(
            [
                node(1, "TinyNumber", [3]),
                node(4, "TinyAdd", [0, 1], [("a", "INT", 1)], mode=2),
                write(2, 3),
                write(3, 2),
            ],
            [[1, 1, 0, 4, 0, "INT"], [2, 4, 0, 3, 0, "INT"], [3, 1, 0, 2, 0, "INT"]],
        ),
        "node 4, which is muted",
    ),
}


# Whose links lead in a ring, or to what stands in one.
RING = {
    "4": {"class_type": "TinyAdd", "inputs": {"a": ["5", 0]}},
    "5": {"class_type": "TinyAdd", "inputs": {"a": ["6", 0], "b": ["1", 0]}},
    "6": {"class_type": "TinyAdd", "inputs": {"a": ["4", 0], "b": ["6", 0]}},
    "7": {"class_type": "TinyAdd", "inputs": {"a": ["5", 0]}},
}
LEFT_OUT |= {
    f"a ring, from {source}": (
        api(n1=ONE, n2=("TinyWrite", GOOD), n3=("TinyWrite", {"value": [source, 0]})) | RING,
        "The links form a cycle (",
    )
    for source in RING
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_outputs_that_can_be_made_are_made_and_others_named(host, case):
    flow, words = LEFT_OUT[case]
    result = host.run(flow)
    assert len(result.files) == 1 and result.files[0].read_text().startswith("3 ")
    assert list(result.left_out) == ["3"] and words in result.left_out["3"]


def test_every_ring_is_named(host):
    flow = api(
        n1=("TinyAdd", {"a": ["1", 0]}),
        n2=("TinyAdd", {"a": ["2", 0]}),
        n3=("TinyWrite", {"value": ["1", 0]}),
        n4=("TinyWrite", {"value": ["2", 0]}),
    )
    with pytest.raises(WorkflowError, match=r"\(1 -> 1\): remove(.|\n)*And 1 more: .*\(2 -> 2\)"):
        host.run(flow)


LOOSE = {
    "an orphan": node(4, "FooOrphan", ["x"]),
    "a label": node(4, "Label (rgthree)", properties={"cnr_id": "rgthree-comfy"}),
    "a muter": node(4, "Fast Muter (rgthree)", inputs=[("", "*", 5)]),
    "a muted node": node(4, "FooLoader", mode=2),
}


@pytest.mark.parametrize("case", LOOSE)
def test_what_nothing_depends_on_is_ignored(host, case):
    flow = canvas([node(1, "TinyNumber", [3]), write(1), LOOSE[case]], [[1, 1, 0, 9, 0, "*"], [5, 1, 0, 4, 0, "*"]])
    result = host.run(flow)
    assert result.files and not result.left_out


def test_an_unknown_node_at_an_end_is_named(host):
    shows = node(4, "ShowText|pysssss", inputs=[("text", "*", 5)], properties={"cnr_id": "comfyui-custom-scripts"})
    flow = canvas([node(1, "TinyNumber", [3]), write(1), shows], [[1, 1, 0, 9, 0, "*"], [5, 1, 0, 4, 0, "*"]])
    result = host.run(flow)
    assert result.files and "'ShowText|pysssss'" in result.left_out["4"]
    assert "comfyui-custom-scripts" in result.left_out["4"]


# -- types that are not here -------------------------------------------------------------------------------------------
def test_every_missing_type_is_listed_once_with_its_pack(host):
    packs = ["foo-pack", "foo-pack", None, "comfy-core", None]
    kinds = ["FooLoader", "FooSampler", "BarCombine", "VAELoader", "BazNode"]
    nodes = [
        node(i, kind, properties={"cnr_id": pack} if pack else {})
        for i, (kind, pack) in enumerate(zip(kinds, packs, strict=True))
    ]
    nodes[2]["properties"] = {"aux_id": "someone/ComfyUI-Bar"}
    message = refusal(host, canvas([*nodes, node(7, "FooLoader"), node(8, "BazNode")]))
    for kind in kinds:
        assert message.count(kind) == 1, message
    assert "FooLoader (foo-pack)" in message and "BarCombine (someone/ComfyUI-Bar)" in message
    assert "VAELoader (ComfyUI)" in message and "in ComfyUI" in message
    told = {str(i): {"class_type": kind, "_meta": {"cnr_id": "p"}} for i, kind in enumerate(["Foo", "Foo", "Bar"])}
    message = refusal(host, told)
    assert message.count("Foo (p)") == message.count("Bar (p)") == 1


def test_a_missing_type_that_is_needed_refuses_the_whole(host):
    flow = api(n1=ONE, n2=("TinyWrite", GOOD), n3=("FooLoader", {}), n4=("TinyWrite", {"value": ["3", 0]}))
    message = refusal(host, flow)
    assert "Node 3: there is no node type 'FooLoader' here" in message and "in ComfyUI" in message
    many = {str(i): {"class_type": f"Foo{i}"} for i in range(40)}
    assert all(f"Foo{i}" in refusal(host, many) for i in (0, 17, 39))


def test_a_subgraph_that_the_file_lacks_is_named(host):
    assert "does not hold the subgraph" in refusal(host, canvas([node(1, KIND), write(1)], [[1, 1, 0, 9, 0, "*"]]))


# -- links without a line ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["{}Node", "easy {}Node"])
def test_pairs_of_set_and_get_are_followed(host, kind):
    setter, getter = (kind.format(word) for word in (("Set", "Get") if kind[0] == "{" else ("set", "get")))
    nodes = [
        node(1, "TinyNumber", [3]),
        node(2, setter, ["my number"], [("INT", "INT", 1)]),
        node(3, getter, ["my number"]),
        node(4, "Reroute (rgthree)", inputs=[("", "*", 3)]),
        write(4),
    ]
    links = [[1, 1, 0, 2, 0, "INT"], [3, 3, 0, 4, 0, "INT"], [4, 4, 0, 9, 0, "INT"]]
    assert host.load(canvas(nodes, links)).nodes["9"].inputs["value"] == Link("1", 0)
    assert host.run(canvas(nodes, links)).files[0].read_text().startswith("3 ")
    nodes[2]["widgets_values"] = ["my numbr"]
    assert "gets 'my numbr', which no Set node sets: there are my number." in refusal(host, canvas(nodes, links))


def test_a_get_in_a_subgraph_finds_the_set_outside(host):
    inside = {
        "id": KIND,
        "inputs": [],
        "nodes": [node(1, "GetNode", ["n"]), write(1)],
        "links": [{"id": 1, "origin_id": 1, "origin_slot": 0, "target_id": 9, "target_slot": 0, "type": "*"}],
    }
    outside = [node(1, "TinyNumber", [3]), node(2, "SetNode", ["n"], [("INT", "INT", 1)]), node(5, KIND)]
    flow = canvas(outside, [[1, 1, 0, 2, 0, "INT"]], definitions={"subgraphs": [inside]})
    assert host.load(flow).nodes["5:9"].inputs["value"] == Link("1", 0)


# -- files that hold something else ------------------------------------------------------------------------------------
SHOWS = {"class_type": "PreviewAny", "inputs": {"source": 1}}
BAD_FILES = {
    "_meta a list": (json.dumps({"1": {**SHOWS, "_meta": [1]}}), "_meta of node 1 must be an object"),
    "extra_data a list": (json.dumps({"prompt": {"1": SHOWS}, "extra_data": [1]}), "extra_data must be an object"),
    "pnginfo a list": (json.dumps({"prompt": {"1": SHOWS}, "extra_data": {"extra_pnginfo": [1]}}), "pnginfo must be"),
    "5000 digits": ('{"1": {"class_type": "PreviewAny", "n": ' + "9" * 5000 + "}}", "thousands of digits"),
    "proxies of another form": (
        json.dumps({**sampling(), "nodes": [node(10, KIND, [1], properties={"proxyWidgets": [1]})]}),
        "not a valid workflow",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_worded(host, tmp_path, case):
    text, words = BAD_FILES[case]
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(SoraError) as error:
        host.load(tmp_path / "bad.json")
    assert words in str(error.value) and "bad.json" in str(error.value)


def test_a_title_that_is_no_text_is_none(host):
    flow = api(n1=ONE, n2=("TinyWrite", GOOD))
    flow["1"]["_meta"] = {"title": 5, "cnr_id": ["x"]}
    assert host.run(flow, ["TinyNumber.value=4"]).files[0].read_text().startswith("4 ")
