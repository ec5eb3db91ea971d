"""Plain values, and looking at them."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Any

from ..api import io, ui


def _primitive(node_id: str, label: str, entry: io.Input, output: io.Output) -> type[io.ComfyNode]:
    """Make a node that hands on the value of its widget."""

    class Primitive(io.ComfyNode):
        """Hands on the value of its widget."""

        @classmethod
        def define_schema(cls) -> io.Schema:
            return io.Schema(node_id, display_name=label, category="utils/primitive", inputs=[entry], outputs=[output])

        @classmethod
        def execute(cls, value: Any) -> io.NodeOutput:
            return io.NodeOutput(value)

    # Messages and the list of nodes name a class by these.
    Primitive.__name__ = Primitive.__qualname__ = node_id
    return Primitive


class PreviewAny(io.ComfyNode):
    """Shows any value as a text."""

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
    def execute(cls, source: Any) -> io.NodeOutput:
        text = _as_text(source)
        return io.NodeOutput(text, ui=ui.PreviewText(text))


def _as_text(value: Any) -> str:
    """Write a value down: JSON where it is a dict or a list of plain ones."""
    # JSON would put a text in quotes; numbers look the same either way.
    if not isinstance(value, (str, int, float)):
        with suppress(TypeError, ValueError):
            return json.dumps(value, indent=4, ensure_ascii=False)
    return str(value)


_LIMIT = sys.maxsize  # as in ComfyUI
_WHOLE = io.Int.Input("value", min=-_LIMIT, max=_LIMIT, control_after_generate=io.ControlAfterGenerate.fixed)
_NUMBER = io.Float.Input("value", min=-_LIMIT, max=_LIMIT, step=0.1)
_LINES = io.String.Input("value", multiline=True)

NODES = [
    _primitive("PrimitiveInt", "Int", _WHOLE, io.Int.Output()),
    _primitive("PrimitiveFloat", "Float", _NUMBER, io.Float.Output()),
    _primitive("PrimitiveString", "String", io.String.Input("value"), io.String.Output()),
    _primitive("PrimitiveStringMultiline", "String (Multiline)", _LINES, io.String.Output()),
    _primitive("PrimitiveBoolean", "Boolean", io.Boolean.Input("value"), io.Boolean.Output()),
    PreviewAny,
]
