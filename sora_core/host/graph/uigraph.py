"""Reads the UI format, the JSON that ComfyUI's frontend saves.

Resolved here, so that the executor never sees them: reroutes, primitives, pairs of Set and Get nodes, notes, labels,
groups, muted nodes (dropped with their links), bypassed nodes (passed through), and subgraphs (laid flat; a node inside
gets the id "instance:node", as in the frontend).
"""

from __future__ import annotations

import copy
from typing import Any

from ...errors import SoraError, expect
from ..packs import Registry
from .entries import cut_link
from .groups import open_groups
from .instances import type_value
from .scopes import PRIMITIVE, SUBGRAPH_IN, Lost, Scope, Value, is_real, open_scopes
from .shape import check_shape
from .tracing import trace
from .widgets import read_widget_values, write_widget_values
from .workflow import Link, Node, Workflow, text_of


def read_ui(data: dict[str, Any], registry: Registry, name: str) -> Workflow:
    """Read the workflow in `data`. Raises SoraError for JSON that is no valid graph."""
    check_shape(data, name)
    try:
        # All scopes are opened before any node is read: a link may lead into a later one.
        opened = _read_scopes(data, registry)
        read = [
            _read_node(scope, entry)
            for scope in opened
            for entry in scope.part.nodes.values()
            if is_real(entry) and entry["id"] not in scope.inner
        ]
        nodes = {node.id: node for node in read}
        idle = [
            scope.read[entry["id"]] for scope in opened for entry in scope.part.nodes.values() if not is_real(entry)
        ]
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise SoraError(
            f"{name} is not a valid workflow ({type(error).__name__}: {error}): save it again from the frontend."
        ) from error
    expect(bool(nodes), f"{name} is not a workflow to run: it has no active nodes.")
    return Workflow(nodes, data, name, idle=idle)


def changed_source(workflow: Workflow, changed: set[str], registry: Registry) -> dict[str, Any] | None:
    """Write the values of the nodes `changed`, by id, into the UI format that `workflow` was read from.

    None where it cannot hold them, as a subgraph that stands in the workflow twice and is changed once. The API format
    holds them in any case.
    """
    data = copy.deepcopy(workflow.source or {})
    opened = _read_scopes(data, registry)
    for scope in opened:
        for entry in scope.part.nodes.values():
            node = workflow.nodes.get(f"{scope.prefix}{entry['id']}")
            if node is not None and node.id in changed:
                _write_node(scope, entry, node, registry)
    data["links"] = opened[0].part.data.get("links")  # of a copy where the workflow has group nodes
    again = read_ui(data, registry, workflow.name)
    same = again.nodes.keys() == workflow.nodes.keys() and all(
        node.inputs.items() <= again.nodes[name].inputs.items() for name, node in workflow.nodes.items()
    )
    return data if same else None


def _read_scopes(data: dict[str, Any], registry: Registry) -> list[Scope]:
    """Open every scope of a workflow, and read what its nodes say without their links."""
    laid_open, lacking = open_groups(data, registry)
    opened = open_scopes(laid_open)
    for scope in opened:
        scope.read = {entry["id"]: _read_idle(entry, registry) for entry in scope.part.nodes.values()}
    for node in opened[0].read.values():
        node.holds = lacking.get(node.type, ())
    return opened


def _write_node(scope: Scope, entry: dict[str, Any], node: Node, registry: Registry) -> None:
    values = {name: value for name, value in node.inputs.items() if not isinstance(value, Link)}
    schema = registry.nodes[node.type].GET_SCHEMA()
    entry["widgets_values"] = write_widget_values(schema.inputs, entry.get("widgets_values"), values)
    if isinstance(entry.get("widgets_values_named"), dict):
        entry["widgets_values_named"] |= {k: v for k, v in values.items() if k in entry["widgets_values_named"]}
    for socket in entry.get("inputs") or []:
        name, link = socket.get("name", ""), socket.get("link")
        if name in values and link is not None and not _type_outside(scope, link, values[name]):
            cut_link(scope.part.data, socket)


def _type_outside(scope: Scope, link_id: Any, value: Any) -> bool:
    """Type `value` on the instance whose widget feeds the link. Returns False where there is none."""
    origin, slot, _, _ = scope.part.links.get(link_id, (None, 0, None, 0))
    if origin != SUBGRAPH_IN or scope.parent is None or not 0 <= slot < len(scope.part.inputs):
        return False
    name = scope.part.inputs[slot]
    outer = scope.sockets.get(name)
    if outer is not None and outer.get("link") is not None:
        return _type_outside(scope.parent, outer["link"], value)
    shown = {widget: scope.shown_value(scope.part.slots[widget]) for widget in scope.widget_inputs}
    done = type_value(scope.instance, scope.widget_inputs, name, value, shown)
    scope.__dict__.pop("typed", None)  # to be read anew
    return done


def _read_node(scope: Scope, entry: dict[str, Any]) -> Node:
    node = scope.read[entry["id"]]
    node.id = f"{scope.prefix}{entry['id']}"
    for name, value in scope.typed.get(str(entry["id"]), {}).items():
        if name in node.inputs:
            node.inputs[name] = node.widgets[name] = value
    for socket in entry.get("inputs") or []:
        if socket.get("link") is None:
            continue
        name = socket.get("name", "")
        source = trace(scope, socket["link"])
        if isinstance(source, Link):
            node.inputs[name] = source
        elif isinstance(source, Value):
            node.inputs[name] = source.value
        elif isinstance(source, Lost):
            node.lost[name] = source.why
    return node


def _read_idle(entry: dict[str, Any], registry: Registry) -> Node:
    """Read what a node says without its links."""
    properties = entry.get("properties") or {}
    node = Node(
        str(entry["id"]),
        entry["type"],
        title=text_of(entry.get("title")),
        pack=text_of(properties.get("cnr_id")) or text_of(properties.get("aux_id")),
        name=text_of(properties.get("Node name for S&R")),
    )
    known = registry.nodes.get(entry["type"])
    values = entry.get("widgets_values")
    if known is not None:
        node.inputs = read_widget_values(known.GET_SCHEMA().inputs, values)
    elif entry["type"] == PRIMITIVE and isinstance(values, list) and values:
        node.inputs = {"value": values[0]}
    named = entry.get("widgets_values_named")
    node.widgets = dict(named if known is None and isinstance(named, dict) else node.inputs)
    return node
