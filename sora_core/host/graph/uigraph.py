"""Reads the UI format, the JSON that ComfyUI's frontend saves.

Resolved here, so that the executor never sees them: reroutes, primitives, notes, groups, muted nodes (dropped
with their links), bypassed nodes (passed through), and subgraphs (laid flat; a node inside gets the id
"instance:node", as in the frontend).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ...errors import SoraError, expect
from ..packs import Registry
from .widgets import read_widget_values, write_widget_values
from .workflow import MAX_NODES, Link, Node, Workflow

MUTED, BYPASSED = 2, 4  # what a node's `mode` says
NOTES = ("Note", "MarkdownNote")
SUBGRAPH_IN, SUBGRAPH_OUT = -10, -20  # ids of the nodes that stand for a subgraph's own inputs and outputs
# Files come from strangers: a subgraph may contain itself, and reroutes may form a ring.
MAX_DEPTH = 100
MAX_HOPS = 10_000


@dataclass
class Value:
    """A link that turned out to carry a fixed value."""

    value: Any


@dataclass
class Muted:
    """A link that leads to a muted node."""

    node: str


@dataclass
class Scope:
    """One graph: the workflow itself, or one instance of a subgraph."""

    data: dict[str, Any]
    prefix: str = ""  # stands before the ids of its nodes
    parent: Scope | None = None  # the graph that the instance stands in
    instance: dict[str, Any] = field(default_factory=dict)  # the instance as a node of `parent`; empty at the top
    inner: dict[Any, Scope] = field(default_factory=dict)  # the subgraphs in it, by the id of their instance

    def __post_init__(self) -> None:
        self.nodes = {node["id"]: node for node in self.data.get("nodes", [])}
        self.links = dict(_link(entry) for entry in self.data.get("links") or [] if entry)
        self.traced: dict[Any, Link | Value | Muted | None] = {}  # what links lead to, as far as they were followed
        # The links that feed the subgraph's own outputs, by slot: the first where a broken file has several.
        self.leaving: dict[Any, Any] = {}
        for link_id, (_, _, target, slot) in self.links.items():
            if target == SUBGRAPH_OUT:
                self.leaving.setdefault(slot, link_id)


def read_ui(data: dict[str, Any], registry: Registry, name: str) -> Workflow:
    """Read the workflow in `data`. Raises SoraError for JSON that is no valid graph."""
    try:
        read = [
            _read_node(scope, entry, registry)
            # All scopes are opened before any node is read: a link may lead into a later one.
            for scope in _all_scopes(data)
            for entry in scope.nodes.values()
            if _is_real(entry) and entry["id"] not in scope.inner
        ]
        nodes = {node.id: node for node in read}
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise SoraError(
            f"{name} is not a valid workflow ({type(error).__name__}: {error}): save it again from the frontend."
        ) from error
    expect(bool(nodes), f"{name} is not a workflow to run: it has no active nodes.")
    return Workflow(nodes, data, name)


def changed_source(workflow: Workflow, changed: set[str], registry: Registry) -> dict[str, Any] | None:
    """Write the values of the nodes `changed`, by id, into the UI format that `workflow` was read from.

    None where it cannot hold them, as a subgraph that stands in the workflow twice and is changed once. The API format
    holds them in any case.
    """
    data = copy.deepcopy(workflow.source or {})
    for scope in _all_scopes(data):
        for entry in scope.nodes.values():
            node = workflow.nodes.get(f"{scope.prefix}{entry['id']}")
            if node is not None and node.id in changed:
                _write_node(scope, entry, node, registry)
    again = read_ui(data, registry, workflow.name)
    same = again.nodes.keys() == workflow.nodes.keys() and all(
        node.inputs.items() <= again.nodes[name].inputs.items() for name, node in workflow.nodes.items()
    )
    return data if same else None


def _write_node(scope: Scope, entry: dict[str, Any], node: Node, registry: Registry) -> None:
    values = {name: value for name, value in node.inputs.items() if not isinstance(value, Link)}
    schema = registry.nodes[node.type].GET_SCHEMA()
    entry["widgets_values"] = write_widget_values(schema.inputs, entry.get("widgets_values"), values)
    for socket in entry.get("inputs") or []:
        if socket["name"] in values and socket.get("link") is not None:
            _cut(scope.data, socket)


def _cut(data: dict[str, Any], socket: dict[str, Any]) -> None:
    """Take the link that leads to an input out of its graph."""
    cut, socket["link"] = socket["link"], None
    data["links"] = [entry for entry in data.get("links") or [] if entry and _link(entry)[0] != cut]
    for output in (output for node in data["nodes"] for output in node.get("outputs") or []):
        output["links"] = [link for link in output.get("links") or [] if link != cut]


def _definitions(data: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    """List the subgraphs that a workflow defines, by id."""
    return {d["id"]: d for d in (data.get("definitions") or {}).get("subgraphs") or []}


def _link(entry: Any) -> tuple[Any, tuple[Any, int, Any, int]]:
    """Read a link as `id, (origin node, origin slot, target node, target slot)`.

    Old files hold it as a list, new ones as an object.
    """
    if isinstance(entry, dict):
        return entry["id"], (entry["origin_id"], entry["origin_slot"], entry["target_id"], entry["target_slot"])
    link_id, origin, origin_slot, target, target_slot = entry[:5]
    return link_id, (origin, origin_slot, target, target_slot)


def _all_scopes(data: dict[str, Any]) -> list[Scope]:
    """Open the workflow and every subgraph instance in it. Raises SoraError for more than MAX_NODES nodes in them."""
    # Forty subgraphs that each hold the next one twice are a file of 4 KB and 10^12 nodes.
    found: list[Scope] = []
    nodes = links = 0
    for scope in _open(Scope(data), _definitions(data), 0):
        found.append(scope)
        nodes += len(scope.nodes)
        links += len(scope.links) if scope.parent is not None else 0
        expect(
            nodes <= MAX_NODES and links <= 4 * MAX_NODES,
            f"The workflow has more than {MAX_NODES} nodes, those of its subgraphs counted once an instance: "
            "remove some of them.",
        )
    return found


def _open(scope: Scope, definitions: dict[Any, dict[str, Any]], depth: int) -> Iterator[Scope]:
    """Yield `scope` and every subgraph instance inside it."""
    expect(depth < MAX_DEPTH, "The workflow's subgraphs contain each other without end: remove one of them.")
    yield scope
    for entry in scope.nodes.values():
        definition = definitions.get(entry.get("type"))
        if definition is not None and entry.get("mode", 0) not in (MUTED, BYPASSED):
            inner = Scope(definition, f"{scope.prefix}{entry['id']}:", scope, entry)
            scope.inner[entry["id"]] = inner
            yield from _open(inner, definitions, depth + 1)


def _is_real(entry: dict[str, Any]) -> bool:
    return entry.get("mode", 0) not in (MUTED, BYPASSED) and entry["type"] not in (*NOTES, "Reroute", "PrimitiveNode")


def _read_node(scope: Scope, entry: dict[str, Any], registry: Registry) -> Node:
    known = registry.nodes.get(entry["type"])
    node = Node(f"{scope.prefix}{entry['id']}", entry["type"], title=entry.get("title"))
    if known is not None:
        node.inputs = read_widget_values(known.GET_SCHEMA().inputs, entry.get("widgets_values"))
        for (inner, name), value in _proxied(scope.instance).items():
            if inner == str(entry["id"]) and name in node.inputs:
                node.inputs[name] = value
    for socket in entry.get("inputs") or []:
        if socket.get("link") is None:
            continue
        source = _trace(scope, socket["link"])
        if isinstance(source, Link):
            node.inputs[socket["name"]] = source
        elif isinstance(source, Value):
            node.inputs[socket["name"]] = source.value
        elif isinstance(source, Muted):
            node.muted[socket["name"]] = source.node
    return node


def _trace(scope: Scope, link_id: Any) -> Link | Value | Muted | None:
    """Follow a link back to the node that really feeds it; None when nothing does."""
    # Many links may lead through one long row of reroutes: what lies in the graph of the link is walked once.
    start, passed = scope, list[Any]()
    for _ in range(MAX_HOPS):
        if link_id is None or link_id not in scope.links:
            found = None
            break
        if scope is start:
            if link_id in start.traced:
                found = start.traced[link_id]
                break
            passed.append(link_id)
        step = _step(scope, *scope.links[link_id][:2])
        if not isinstance(step, tuple) or isinstance(step, Link):
            found = step
            break
        scope, link_id = step
    else:
        raise SoraError("The workflow's reroutes or bypassed nodes form a cycle: remove one of their links.")
    start.traced.update(dict.fromkeys(passed, found))
    return found


def _step(scope: Scope, origin: Any, slot: int) -> tuple[Scope, Any] | Link | Value | Muted | None:
    """Return the node or value that a link comes from, or the link before it, with its graph."""
    if origin == SUBGRAPH_IN and scope.parent is not None:
        outer = _instance_input(scope, slot)
        if outer is None or outer.get("link") is None:
            return _promoted(scope, outer)
        return scope.parent, outer["link"]
    node = scope.nodes.get(origin)
    if node is None:
        # The message about the missing node comes from validation, which knows the input.
        return Link(f"{scope.prefix}{origin}", slot)
    if node.get("mode", 0) == MUTED:
        return Muted(f"{scope.prefix}{origin}")
    if node.get("mode", 0) == BYPASSED:
        return scope, _bypass(node, slot)
    if node["type"] == "Reroute":
        return scope, node["inputs"][0].get("link")
    if node["type"] == "PrimitiveNode":
        values = node.get("widgets_values") or []
        return Value(values[0]) if values else None
    if origin in scope.inner:
        return scope.inner[origin], scope.inner[origin].leaving.get(slot)
    return Link(f"{scope.prefix}{origin}", slot)


def _bypass(node: dict[str, Any], slot: int) -> Any:
    """Find the link that passes through a bypassed node: the input in the same place, or the first of its type."""
    inputs = node.get("inputs") or []
    wanted = node["outputs"][slot]["type"]
    for socket in inputs[slot : slot + 1] + inputs:
        if socket.get("type") == wanted or "*" in (socket.get("type"), wanted):
            return socket.get("link")
    return None


def _instance_input(scope: Scope, slot: int) -> dict[str, Any] | None:
    """Find the input on the instance that feeds the subgraph's input number `slot`."""
    name = scope.data["inputs"][slot]["name"]
    return next((s for s in scope.instance.get("inputs") or [] if s["name"] == name), None)


def _promoted(scope: Scope, socket: dict[str, Any] | None) -> Value | None:
    """Return the value typed into a widget on the instance; None leaves the inner node's own value in force."""
    if socket is None or "widget" not in socket:
        return None
    value = _proxied(scope.instance).get(("-1", socket["name"]))
    return None if value is None else Value(value)


def _proxied(instance: dict[str, Any]) -> dict[tuple[str, str], Any]:
    """Read the values typed on a subgraph's instance, by `("-1", its input)` or `(inner node's id, widget)`."""
    values = instance.get("widgets_values")
    if not isinstance(values, list):
        return {}
    names = (instance.get("properties") or {}).get("proxyWidgets")
    if names is None:
        names = [("-1", socket["name"]) for socket in instance.get("inputs") or [] if "widget" in socket]
    return {(str(node), name): value for (node, name), value in zip(names, values, strict=False) if value is not None}
