"""`%Node.widget%` in the names of files: values of the workflow, as the frontend writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from .workflow import Link, Node, Workflow

PREFIX = "filename_prefix"  # the input whose text may ask for values, in all nodes that save
_TOKEN = re.compile(r"%([^%]+)%")
# What the frontend does not let into a name.
_UNFIT = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')


def fill_names(workflow: Workflow, inputs: Mapping[str, dict[str, Any]]) -> None:
    """Fill the `%Node.widget%` of file names into `inputs`, those of the nodes that will run by id.

    A node is found by its type, or else by its title; of several the first counts. What names no widget stays.
    """
    asking = [i for i in inputs.values() if isinstance(i.get(PREFIX), str) and "." in i[PREFIX] and "%" in i[PREFIX]]
    if not asking:
        return
    by_type: dict[str, Node] = {}
    by_title: dict[str | None, Node] = {}
    for node in (*workflow.nodes.values(), *workflow.idle):
        by_type.setdefault(node.name or node.type, node)
        by_title.setdefault(node.title, node)
    for values in asking:
        values[PREFIX] = _TOKEN.sub(lambda match: _filled(match, by_type, by_title), values[PREFIX])


def _filled(match: re.Match[str], by_type: Mapping[str, Node], by_title: Mapping[str | None, Node]) -> str:
    parts = match.group(1).split(".")
    if len(parts) != 2 or parts[0].startswith("date:"):
        return match.group()
    wanted, widget = parts
    found = by_type.get(wanted) or by_title.get(wanted)
    if found is None:
        return match.group()
    value = found.inputs.get(widget)
    if value is None or isinstance(value, Link):
        # What is linked has a widget all the same, which shows what was last typed.
        if widget not in found.widgets:
            return match.group()
        value = found.widgets[widget]
    return _UNFIT.sub("_", _written(value))


def _written(value: Any) -> str:
    """Write a value as JavaScript does."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1e21:
            return str(int(value))
        return f"{Decimal(repr(value)):f}" if 1e-6 <= abs(value) < 1e21 else repr(value)
    return ",".join(map(_written, value)) if isinstance(value, list) else str(value)
