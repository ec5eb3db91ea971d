"""Plain values, and looking at them."""

from __future__ import annotations

import json
import sys

from ..api import io, ui


def _primitive(node_id: str, label: str, entry: io.Input, output: io.Output) -> type[io.ComfyNode]:
    """A node that hands on the value of its widget."""

    class Primitive(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            return io.Schema(node_id, display_name=label, category="utils/primitive", inputs=[entry], outputs=[output])

        @classmethod
        def execute(cls, value) -> io.NodeOutput:
            return io.NodeOutput(value)

    Primitive.__name__ = Primitive.__qualname__ = node_id
    return Primitive


class PreviewAny(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "PreviewAny",
            display_name="Preview as Text",
            category="utils",
            is_output_node=True,
            inputs=[io.AnyType.Input("source")],
            outputs=[io.String.Output()],
        )

    @classmethod
    def execute(cls, source) -> io.NodeOutput:
        if isinstance(source, (str, int, float, bool)):
            text = str(source)
        else:
            try:
                text = json.dumps(source, indent=4, ensure_ascii=False)
            except (TypeError, ValueError):
                text = str(source)
        return io.NodeOutput(text, ui=ui.PreviewText(text))


_LIMIT = sys.maxsize

NODES = [
    _primitive(
        "PrimitiveInt",
        "Int",
        io.Int.Input("value", min=-_LIMIT, max=_LIMIT, control_after_generate=io.ControlAfterGenerate.fixed),
        io.Int.Output(),
    ),
    _primitive(
        "PrimitiveFloat", "Float", io.Float.Input("value", min=-_LIMIT, max=_LIMIT, step=0.1), io.Float.Output()
    ),
    _primitive("PrimitiveString", "String", io.String.Input("value"), io.String.Output()),
    _primitive(
        "PrimitiveStringMultiline", "String (Multiline)", io.String.Input("value", multiline=True), io.String.Output()
    ),
    _primitive("PrimitiveBoolean", "Boolean", io.Boolean.Input("value"), io.Boolean.Output()),
    PreviewAny,
]
