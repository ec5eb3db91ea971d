"""Bad graphs are refused before anything runs, in words that name node, input, value and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from host_support import api, make_host, pack_module

from sora_core.errors import SoraError
from sora_core.host.graph.validate import WorkflowError, fits

GOOD = {"value": ["1", 0]}
ONE = ("TinyNumber", {"value": 3})


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    return make_host(Path(tmp_path_factory.mktemp("host")))


BAD = {
    "unknown node": (
        api(n1=("TinyNumbr", {"value": 3}), n2=("TinyWrite", GOOD)),
        ["Node 1", "'TinyNumbr'", "did you mean TinyNumber"],
    ),
    "unknown input": (
        api(n1=("TinyNumber", {"valeu": 4}), n2=("TinyWrite", GOOD)),
        ["Node 1 (TinyNumber)", '"valeu"', "did you mean value"],
    ),
    "nothing connected": (
        api(n1=ONE, n2=("TinyWrite", {})),
        ["Node 2 (TinyWrite)", '"value"', "nothing is connected", "link an output"],
    ),
    "missing value": (api(n1=("TinySum", {}), n2=("TinyWrite", GOOD)), ["Node 1 (TinySum)", '"values"', "missing"]),
    "link to no node": (
        api(n1=ONE, n2=("TinyWrite", {"value": ["9", 0]})),
        ["Node 2 (TinyWrite)", '"value"', "node 9", "does not exist", "link it anew"],
    ),
    "link to no output": (
        api(n1=ONE, n2=("TinyWrite", {"value": ["1", 4]})),
        ["Node 2 (TinyWrite)", "output 4", "1 outputs"],
    ),
    "wrong socket": (
        api(n1=("TinyImage", {}), n2=("TinyAdd", {"a": ["1", 0]}), n3=("TinyWrite", {"value": ["2", 0]})),
        ["Node 2 (TinyAdd)", '"a"', "takes INT", "is IMAGE"],
    ),
    "matching the wrong type": (
        api(n1=("TinyImage", {}), n2=("TinyMatch", {"x": ["1", 0]}), n3=("TinyWrite", {"value": ["2", 0]})),
        ["Node 2 (TinyMatch)", '"x"', "takes INT,STRING", "is IMAGE"],
    ),
    "matching two types": (
        api(
            n1=ONE,
            n2=("PrimitiveString", {"value": "a"}),
            n3=("TinyMatch", {"x": ["1", 0], "y": ["2", 0]}),
            n4=("TinyWrite", {"value": ["3", 0]}),
        ),
        ["Node 3 (TinyMatch)", '"y"', "STRING", '"x" gets INT'],
    ),
    "a matched output": (
        api(
            n1=("PrimitiveString", {"value": "a"}),
            n2=("TinyMatch", {"x": ["1", 0]}),
            n3=("TinyMatch", {"x": ["2", 0]}),
            n4=("TinyAdd", {"a": ["3", 0]}),
            n5=("TinyWrite", {"value": ["4", 0]}),
        ),
        ["Node 4 (TinyAdd)", "takes INT", "is STRING"],
    ),
    "not a number": (
        api(n1=("TinyNumber", {"value": "many"}), n2=("TinyWrite", GOOD)),
        ["Node 1 (TinyNumber)", '"value"', "'many'", "whole number", "from 0 to 10"],
    ),
    "half a number": (api(n1=("TinyNumber", {"value": 2.5}), n2=("TinyWrite", GOOD)), ["2.5", "whole number"]),
    "true is no number": (api(n1=("TinyNumber", {"value": True}), n2=("TinyWrite", GOOD)), ["True", "whole number"]),
    "not finite": (
        api(n1=("TinyMode", {"mode": "noisy", "mode.eta": float("nan")}), n2=("TinyWrite", GOOD)),
        ['"mode.eta"', "nan", "not a number"],
    ),
    "too large": (
        api(n1=("TinyNumber", {"value": 11}), n2=("TinyWrite", GOOD)),
        ["Node 1 (TinyNumber)", '"value"', "11 is too large", "from 0 to 10"],
    ),
    "too small": (api(n1=("TinyNumber", {"value": -1}), n2=("TinyWrite", GOOD)), ["-1 is too small"]),
    "not in the list": (
        api(n1=("TinySeeded", {"seed": 1, "kind": "fency"}), n2=("TinyWrite", GOOD)),
        ["Node 1 (TinySeeded)", '"kind"', "'fency'", "did you mean fancy"],
    ),
    "no such mode": (
        api(n1=("TinyMode", {"mode": "loud", "mode.eta": 1}), n2=("TinyWrite", GOOD)),
        ["'loud'", "plain, noisy"],
    ),
    "value for a socket": (
        api(n1=("CreateVideo", {"images": 3, "fps": 8}), n2=("TinyWrite", GOOD)),
        ['"images"', "takes a link of type IMAGE"],
    ),
    "the node's own check": (
        api(n1=("TinyEven", {"value": 3}), n2=("TinyWrite", GOOD)),
        ["Node 1 (TinyEven)", "3 is odd: use an even number."],
    ),
    "cycle": (
        api(n1=("TinyAdd", {"a": ["2", 0]}), n2=("TinyAdd", {"a": ["1", 0]}), n3=("TinyWrite", GOOD)),
        ["cycle", "1 -> 2 -> 1", "remove one"],
    ),
    "no output": (api(n1=ONE), ["no output node", "SaveVideo"]),
    "file that is not there": (
        api(n1=("LoadImage", {"image": "cat.png"}), n2=("TinyWrite", GOOD)),
        ["Node 1 (LoadImage)", "'cat.png'", "input folder"],
    ),
    "file outside": (
        api(n1=("LoadImage", {"image": "../secret.png"}), n2=("TinyWrite", GOOD)),
        ["leads out of the folder"],
    ),
    "output outside": (
        api(
            n1=("CreateVideo", {"images": ["2", 0], "fps": 8}),
            n2=("TinyImage", {}),
            n3=("SaveVideo", {"video": ["1", 0], "filename_prefix": "../../x"}),
        ),
        ["Node 3 (SaveVideo)", "leads out of the folder"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_graphs_are_refused(host, case):
    flow, words = BAD[case]
    runs = pack_module(host).RUNS
    before = len(runs)
    with pytest.raises(WorkflowError) as error:
        host.run(flow)
    message = str(error.value)
    assert len(message.splitlines()) <= 2
    for word in words:
        assert word in message, message
    assert len(runs) == before


def test_all_problems_are_collected_for_a_frontend(host):
    flow = api(
        n1=("TinyNumber", {"value": 99}),
        n2=("TinyAdd", {"a": ["1", 0], "b": "x"}),
        n3=("TinyWrite", {"value": ["2", 0]}),
    )
    with pytest.raises(WorkflowError) as error:
        host.run(flow)
    assert [(p.node_id, p.input, p.kind) for p in error.value.problems] == [
        ("1", "value", "value_bigger_than_max"),
        ("2", "b", "invalid_input_type"),
    ]
    assert "And 1 more" in str(error.value)


def test_what_a_node_says_of_itself_names_its_input(host):
    with pytest.raises(WorkflowError) as error:
        host.run(api(n1=("TinyEven", {"value": 3}), n2=("TinyWrite", {"value": ["1", 0]})))
    (problem,) = error.value.problems
    assert (problem.node_id, problem.input, problem.kind) == ("1", "value", "custom_validation_failed")


def test_what_no_output_needs_is_not_checked(host):
    flow = api(n1=ONE, n2=("TinyWrite", GOOD), n3=("TinyAdd", {"a": ["99", 0]}))
    assert host.run(flow).files


def test_defaults_fill_in_for_inputs_added_later(host):
    assert host.run(api(n1=("TinyNumber", {}), n2=("TinyWrite", GOOD))).files[0].read_text().startswith("1 ")


def test_display_widgets_of_the_frontend_are_no_inputs(host):
    plan = host.plan(host.load(api(n1=("TinyNumber", {"value": 3, "video-preview": ""}), n2=("TinyWrite", GOOD))))
    assert plan is not None


def test_texts_become_numbers(host):
    result = host.run(api(n1=("TinyNumber", {"value": "7"}), n2=("TinyWrite", GOOD)))
    assert result.files[0].read_text().startswith("7 ")


@pytest.mark.parametrize(
    ("given", "wanted", "good"),
    [
        ("INT", "INT", True),
        ("INT", "FLOAT", False),
        ("*", "MODEL", True),
        ("LATENT", "*", True),
        ("LATENT", "LATENT,SORA_PATCHES", True),
        ("IMAGE", "LATENT,SORA_PATCHES", False),
        ("COMBO", "COMFY_DYNAMICCOMBO_V3", True),
    ],
)
def test_which_types_fit(given, wanted, good):
    assert fits(given, wanted) is good


SETTINGS = {"1.value=5": "5", "A Number.value=6": "6", "TinyNumber.value=7": "7", "tinynumber.value=8": "8"}


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_find_nodes_by_id_title_or_type(host, setting):
    result = host.run(api(n1=ONE, n2=("TinyWrite", GOOD)), [setting])
    assert result.files[0].read_text().split()[0] == SETTINGS[setting]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("1.value", ["NODE.INPUT=VALUE"]),
        ("value=3", ["NODE.INPUT=VALUE"]),
        ("5.value=3", ["no node '5'", "1 (TinyNumber)"]),
        ("TinyNumbr.value=3", ["did you mean", "TinyNumber"]),
        ("1.valeu=3", ["no input 'valeu'", "did you mean value"]),
        ("1.value=x", ["'x'", "whole number"]),
        ("4.images=3", ["takes a link of type IMAGE"]),
        ("TinyWrite.filename_prefix=x", ["several", "2, 3"]),
    ],
)
def test_bad_settings(host, setting, words):
    flow = api(
        n1=ONE,
        n2=("TinyWrite", GOOD),
        n3=("TinyWrite", {**GOOD, "filename_prefix": "b"}),
        n4=("CreateVideo", {"fps": 8}),
    )
    with pytest.raises(SoraError) as error:
        host.run(flow, [setting])
    assert all(word in str(error.value) for word in [setting, *words]), str(error.value)
