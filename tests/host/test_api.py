"""The stand-in for ComfyUI's V3 node API: what a schema says to a frontend, and how values reach a node."""

from __future__ import annotations

import json
import subprocess
import sys
from enum import Enum

import pytest

from sora_core.host.api import ComfyExtension, InputImpl, io, ui
from sora_core.host.api.dynamic import active_inputs, nest_values


def schema(*inputs, **more) -> io.Schema:
    made = io.Schema("Node", inputs=list(inputs), **more)
    made.finalize()
    made.validate()
    return made


def info(*inputs, **more) -> dict:
    return json.loads(json.dumps(schema(*inputs, **more).node_info("custom_nodes.x")))


def test_object_info_has_comfyuis_shape():
    made = info(
        io.Int.Input("seed", default=0, min=0, max=2**32),
        io.Model.Input("model", tooltip="The model."),
        io.Combo.Input("dtype", options=["default", "bf16"], default="default", optional=True),
        outputs=[io.Model.Output(), io.Clip.Output("clip", tooltip="Text.")],
        category="sora",
        description="d",
        is_output_node=True,
        search_aliases=["a"],
    )
    assert made == {
        "input": {
            "required": {
                "seed": ["INT", {"default": 0, "min": 0, "max": 4294967296}],
                "model": ["MODEL", {"tooltip": "The model."}],
            },
            "optional": {
                "dtype": ["COMBO", {"default": "default", "multiselect": False, "options": ["default", "bf16"]}]
            },
            "hidden": {"prompt": ["PROMPT"], "extra_pnginfo": ["EXTRA_PNGINFO"]},
        },
        "input_order": {"required": ["seed", "model"], "optional": ["dtype"], "hidden": ["prompt", "extra_pnginfo"]},
        "is_input_list": False,
        "output": ["MODEL", "CLIP"],
        "output_is_list": [False, False],
        "output_name": ["MODEL", "clip"],
        "output_tooltips": [None, "Text."],
        "output_matchtypes": None,
        "name": "Node",
        "display_name": None,
        "description": "d",
        "python_module": "custom_nodes.x",
        "category": "sora",
        "output_node": True,
        "deprecated": False,
        "experimental": False,
        "dev_only": False,
        "api_node": False,
        "price_badge": None,
        "search_aliases": ["a"],
        "essentials_category": None,
        "has_intermediate_output": False,
    }


class Colour(Enum):
    red = "r"
    blue = "b"


WIDGETS = [
    (io.Boolean.Input("x", default=True, label_on="yes"), ["BOOLEAN", {"default": True, "label_on": "yes"}]),
    (
        io.Float.Input("x", default=1.0, step=0.1, round=0.01, display_mode=io.NumberDisplay.slider),
        ["FLOAT", {"default": 1.0, "step": 0.1, "round": 0.01, "display": "slider"}],
    ),
    (
        io.String.Input("x", multiline=True, dynamic_prompts=True, placeholder="p"),
        ["STRING", {"multiline": True, "dynamicPrompts": True, "placeholder": "p"}],
    ),
    (
        io.Int.Input("x", control_after_generate=io.ControlAfterGenerate.fixed, force_input=True, advanced=True),
        ["INT", {"control_after_generate": "fixed", "forceInput": True, "advanced": True}],
    ),
    (
        io.Combo.Input("x", options=Colour, default=Colour.blue),
        ["COMBO", {"multiselect": False, "options": ["r", "b"], "default": "b"}],
    ),
    (
        io.Combo.Input("x", options=["a.png"], upload=io.UploadType.image, image_folder=io.FolderType.output),
        ["COMBO", {"multiselect": False, "options": ["a.png"], "image_upload": True, "image_folder": "output"}],
    ),
    (
        io.MultiCombo.Input("x", options=["a", "b"], chip=True),
        ["COMBO", {"multiselect": True, "options": ["a", "b"], "multi_select": {"chip": True}}],
    ),
    (
        io.MultiType.Input("x", types=[io.Latent, io.Custom("SORA_PATCHES")], display_name="d"),
        ["LATENT,SORA_PATCHES", {"display_name": "d"}],
    ),
    (
        io.MultiType.Input(io.Float.Input("x", default=2.0, lazy=True), types=[io.Int]),
        ["FLOAT,INT", {"default": 2.0, "widgetType": "FLOAT", "lazy": True}],
    ),
    (
        io.MatchType.Input("x", io.MatchType.Template("t", [io.Image, io.Mask])),
        ["COMFY_MATCHTYPE_V3", {"template": {"template_id": "t", "allowed_types": "IMAGE,MASK"}}],
    ),
    (
        io.Autogrow.Input("x", io.Autogrow.TemplatePrefix(io.Image.Input("i"), "i", min=2, max=3)),
        [
            "COMFY_AUTOGROW_V3",
            {"template": {"input": {"required": {"i": ["IMAGE", {}]}}, "prefix": "i", "min": 2, "max": 3}},
        ],
    ),
    (io.AnyType.Input("x", extra_dict={"hint": 1}), ["*", {"hint": 1}]),
]


@pytest.mark.parametrize(("entry", "expected"), WIDGETS)
def test_how_inputs_are_described(entry, expected):
    assert info(entry)["input"]["required"]["x"] == expected


def test_outputs_that_match_an_input_say_so():
    template = io.MatchType.Template("t", [io.Image, io.Mask])
    made = info(io.MatchType.Input("x", template), outputs=[io.MatchType.Output(template, "y"), io.Int.Output()])
    assert made["output_matchtypes"] == ["t", None] and made["output"] == ["COMFY_MATCHTYPE_V3", "INT"]


def test_dynamic_inputs_expand_and_nest():
    noisy = io.DynamicCombo.Option(
        "noisy",
        [
            io.Float.Input("eta"),
            io.DynamicCombo.Input(
                "how",
                options=[io.DynamicCombo.Option("much", [io.Int.Input("n")]), io.DynamicCombo.Option("little", [])],
            ),
        ],
    )
    growing = io.Autogrow.TemplateNames(io.Image.Input("c"), ["a", "b"], min=1)
    made = schema(
        io.Model.Input("model"),
        io.DynamicCombo.Input("sampler", options=[io.DynamicCombo.Option("plain", []), noisy]),
        io.Autogrow.Input("clips", growing),
    )
    values = {
        "model": "m",
        "sampler": "noisy",
        "sampler.eta": 1.0,
        "sampler.how": "much",
        "sampler.how.n": 3,
        "clips.a": "image",
    }
    names = [entry.id for entry in active_inputs(made.inputs, values)]
    assert names == ["model", "sampler", "sampler.eta", "sampler.how", "sampler.how.n", "clips.a", "clips.b"]
    assert nest_values(made.inputs, values) == {
        "model": "m",
        "clips": {"a": "image"},
        "sampler": {"sampler": "noisy", "eta": 1.0, "how": {"how": "much", "n": 3}},
    }
    assert nest_values(made.inputs, {"model": "m", "sampler": "plain"})["sampler"] == {"sampler": "plain"}
    described = info(*made.inputs)["input"]["required"]["sampler"]
    assert described[0] == "COMFY_DYNAMICCOMBO_V3"
    assert described[1]["options"][1]["inputs"]["required"]["eta"] == ["FLOAT", {}]


def test_ids_must_be_unique():
    with pytest.raises(ValueError, match="must be unique"):
        schema(io.Int.Input("a"), io.Float.Input("a"))
    with pytest.raises(ValueError, match="must be unique"):
        schema(outputs=[io.Int.Output("a"), io.Int.Output("a")])


def test_types_of_a_packs_own():
    @io.comfytype(io_type="THING")
    class Thing(io.ComfyTypeIO):
        Type = dict

    assert Thing.Input("x").get_io_type() == "THING" == Thing.Output().io_type
    assert io.Latent.Input("x").get_io_type() == "LATENT" and io.Input("x").get_io_type() == "*"


def test_what_nodes_may_return():
    output = io.NodeOutput(1, 2, ui=ui.PreviewText("t"))
    assert output.result == (1, 2) and output[1] == 2 and output.ui.as_dict() == {"text": ("t",)}
    assert io.NodeOutput.from_any((3,)).args == (3,) and io.NodeOutput.from_any(None).args == ()
    assert io.NodeOutput.from_any({"result": (4,), "ui": {"a": []}}).args == (4,)
    with pytest.raises(TypeError):
        io.NodeOutput.from_any(5)
    shown = ui.PreviewVideo([ui.SavedResult("a.mp4", "video", io.FolderType.output)]).as_dict()
    assert shown == {"images": [{"filename": "a.mp4", "subfolder": "video", "type": "output"}], "animated": (True,)}


def test_a_node_without_execute_is_refused():
    class Half(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            return io.Schema("Half")

    with pytest.raises(TypeError, match="execute"):
        Half.GET_SCHEMA()


def test_declaring_nodes_costs_no_torch():
    code = (
        "import sys; from sora_core.host.api import ComfyExtension, io, ui; io.Int.Input('x'); "
        "assert not {'torch', 'av', 'numpy'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert issubclass(ComfyExtension, object) and InputImpl.VideoFromFile
