"""Reads the UI format, the JSON that ComfyUI's frontend saves.

Resolved here, so that the executor never sees them: reroutes, primitives, pairs of Set and Get nodes, notes, labels,
groups, muted nodes (dropped with their links), bypassed nodes (passed through), and subgraphs (laid flat; a node inside
gets the id "instance:node", as in the frontend).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ...errors import SoraError, expect
from ...words import listing, short
from ..packs import Registry
from .entries import cut_link, definitions, read_link
from .instances import OWN, type_value, typed_values
from .widgets import read_widget_values, write_widget_values
from .workflow import MAX_NODES, Link, Node, Workflow, text_of

MUTED, BYPASSED = 2, 4  # what a node's `mode` says
NOTES = ("Note", "MarkdownNote")
REROUTES = ("Reroute", "Reroute (rgthree)")
PRIMITIVE = "PrimitiveNode"
# Pairs that carry a link by a name instead of a line: of KJNodes and of ComfyUI-Easy-Use.
SETTERS, GETTERS = ("SetNode", "easy setNode"), ("GetNode", "easy getNode")
# What other packs put on the canvas for the eye and the hand alone. No server knows these types.
DISPLAYS = (
    "Label (rgthree)",
    "Bookmark (rgthree)",
    "Fast Actions Button (rgthree)",
    "Fast Muter (rgthree)",
    "Fast Bypasser (rgthree)",
    "Fast Groups Muter (rgthree)",
    "Fast Groups Bypasser (rgthree)",
    "Mute / Bypass Relay (rgthree)",
    "Mute / Bypass Repeater (rgthree)",
    "Node Collector (rgthree)",
    "Random Unmuter (rgthree)",
)
VIRTUAL = (*NOTES, *REROUTES, PRIMITIVE, *SETTERS, *GETTERS, *DISPLAYS)
SUBGRAPH_IN, SUBGRAPH_OUT = -10, -20  # ids of the nodes that stand for a subgraph's own inputs and outputs
# Files come from strangers: a subgraph may contain itself, and reroutes may form a ring.
MAX_DEPTH = 100
MAX_HOPS = 10_000


@dataclass
class Value:
    """A link that turned out to carry a fixed value."""

    value: Any


@dataclass
class Lost:
    """A link that leads to nothing."""

    why: str  # a sentence that says what to do


@dataclass
class Scope:
    """One graph: the workflow itself, or one instance of a subgraph."""

    data: dict[str, Any]
    prefix: str = ""  # stands before the ids of its nodes
    parent: Scope | None = None  # the graph that the instance stands in
    instance: dict[str, Any] = field(default_factory=dict)  # the instance as a node of `parent`; empty at the top
    inner: dict[Any, Scope] = field(default_factory=dict)  # the subgraphs in it, by the id of their instance
    read: dict[Any, Node] = field(default_factory=dict)  # what its nodes say without their links, by id

    def __post_init__(self) -> None:
        self.nodes = {node["id"]: node for node in self.data.get("nodes", [])}
        self.links = dict(read_link(entry) for entry in self.data.get("links") or [] if entry)
        self.traced: dict[Any, Link | Value | Lost | None] = {}  # what links lead to, as far as they were followed
        # The links that feed the subgraph's own outputs, by slot: the first where a broken file has several.
        self.leaving: dict[Any, Any] = {}
        for link_id, (_, _, target, slot) in self.links.items():
            if target == SUBGRAPH_OUT:
                self.leaving.setdefault(slot, link_id)

    @cached_property
    def widget_inputs(self) -> list[str]:
        """The subgraph's inputs that have a widget on its instance: those that lead to a widget inside, in order."""
        shown = {socket["name"] for socket in self.instance.get("inputs") or [] if "widget" in socket}
        led = set()
        for origin, slot, target, target_slot in self.links.values():
            sockets = self.nodes.get(target, {}).get("inputs") or []
            if origin == SUBGRAPH_IN and target_slot < len(sockets) and "widget" in sockets[target_slot]:
                led.add(slot)
        inputs = enumerate(self.data.get("inputs") or [])
        return [socket["name"] for slot, socket in inputs if slot in led or socket["name"] in shown]

    @cached_property
    def typed(self) -> dict[tuple[str, str], Any]:
        """What is typed on the instance, see `typed_values`."""
        return typed_values(self.instance, self.widget_inputs)

    @cached_property
    def setters(self) -> dict[str, dict[str, Any]]:
        """The nodes that set a link, by the name that they give it; of two the first counts."""
        found = [node for node in self.nodes.values() if node["type"] in SETTERS]
        return {_called(node): node for node in reversed(found)}


def read_ui(data: dict[str, Any], registry: Registry, name: str) -> Workflow:
    """Read the workflow in `data`. Raises SoraError for JSON that is no valid graph."""
    try:
        # All scopes are opened before any node is read: a link may lead into a later one.
        opened = _read_scopes(data, registry)
        read = [
            _read_node(scope, entry)
            for scope in opened
            for entry in scope.nodes.values()
            if _is_real(entry) and entry["id"] not in scope.inner
        ]
        nodes = {node.id: node for node in read}
        idle = [scope.read[entry["id"]] for scope in opened for entry in scope.nodes.values() if not _is_real(entry)]
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
    for scope in _read_scopes(data, registry):
        for entry in scope.nodes.values():
            node = workflow.nodes.get(f"{scope.prefix}{entry['id']}")
            if node is not None and node.id in changed:
                _write_node(scope, entry, node, registry)
    again = read_ui(data, registry, workflow.name)
    same = again.nodes.keys() == workflow.nodes.keys() and all(
        node.inputs.items() <= again.nodes[name].inputs.items() for name, node in workflow.nodes.items()
    )
    return data if same else None


def _read_scopes(data: dict[str, Any], registry: Registry) -> list[Scope]:
    """Open every scope of a workflow, and read what its nodes say without their links."""
    opened = _all_scopes(data)
    for scope in opened:
        scope.read = {entry["id"]: _read_idle(entry, registry) for entry in scope.nodes.values()}
    return opened


def _write_node(scope: Scope, entry: dict[str, Any], node: Node, registry: Registry) -> None:
    values = {name: value for name, value in node.inputs.items() if not isinstance(value, Link)}
    schema = registry.nodes[node.type].GET_SCHEMA()
    entry["widgets_values"] = write_widget_values(schema.inputs, entry.get("widgets_values"), values)
    if isinstance(entry.get("widgets_values_named"), dict):
        entry["widgets_values_named"] |= {k: v for k, v in values.items() if k in entry["widgets_values_named"]}
    for socket in entry.get("inputs") or []:
        name = socket["name"]
        if name in values and socket.get("link") is not None and not _type_outside(scope, socket["link"], values[name]):
            cut_link(scope.data, socket)


def _type_outside(scope: Scope, link_id: Any, value: Any) -> bool:
    """Type `value` on the instance whose widget feeds the link. Returns False where there is none."""
    origin, slot, _, _ = scope.links[link_id]
    if origin != SUBGRAPH_IN or scope.parent is None:
        return False
    outer = _instance_input(scope, slot)
    if outer is not None and outer.get("link") is not None:
        return _type_outside(scope.parent, outer["link"], value)
    inputs = [socket["name"] for socket in scope.data["inputs"]]
    shown = {name: _shown_value(scope, inputs.index(name)) for name in scope.widget_inputs}
    done = type_value(scope.instance, scope.widget_inputs, inputs[slot], value, shown)
    scope.__dict__.pop("typed", None)  # to be read anew
    return done


def _all_scopes(data: dict[str, Any]) -> list[Scope]:
    """Open the workflow and every subgraph instance in it. Raises SoraError for more than MAX_NODES nodes in them."""
    # Forty subgraphs that each hold the next one twice are a file of 4 KB and 10^12 nodes.
    found: list[Scope] = []
    nodes = links = 0
    for scope in _open(Scope(data), definitions(data), 0):
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
    return entry.get("mode", 0) not in (MUTED, BYPASSED) and entry["type"] not in VIRTUAL


def _read_node(scope: Scope, entry: dict[str, Any]) -> Node:
    node = scope.read[entry["id"]]
    node.id = f"{scope.prefix}{entry['id']}"
    for (inner, name), value in scope.typed.items():
        if inner == str(entry["id"]) and name in node.inputs:
            node.inputs[name] = node.widgets[name] = value
    for socket in entry.get("inputs") or []:
        if socket.get("link") is None:
            continue
        source = _trace(scope, socket["link"])
        if isinstance(source, Link):
            node.inputs[socket["name"]] = source
        elif isinstance(source, Value):
            node.inputs[socket["name"]] = source.value
        elif isinstance(source, Lost):
            node.lost[socket["name"]] = source.why
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
    elif entry["type"] == PRIMITIVE and values:
        node.inputs = {"value": values[0]}
    named = entry.get("widgets_values_named")
    node.widgets = dict(named if known is None and isinstance(named, dict) else node.inputs)
    return node


def _trace(scope: Scope, link_id: Any) -> Link | Value | Lost | None:
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
        origin, slot, *_ = scope.links[link_id]
        step = _step(scope, origin, slot, start)
        if not isinstance(step, tuple) or isinstance(step, Link):
            found = step
            break
        scope, link_id = step
    else:
        raise SoraError("The workflow's reroutes or bypassed nodes form a cycle: remove one of their links.")
    start.traced.update(dict.fromkeys(passed, found))
    return found


def _step(scope: Scope, origin: Any, slot: int, start: Scope) -> tuple[Scope, Any] | Link | Value | Lost | None:
    """Return the node or value that a link comes from, or the link before it, with its graph.

    start: the graph in which the links are followed from.
    """
    if origin == SUBGRAPH_IN and scope.parent is not None:
        outer = _instance_input(scope, slot)
        if outer is not None and outer.get("link") is not None:
            return scope.parent, outer["link"]
        value = _shown_value(scope, slot)
        return None if value is None else Value(value)
    node = scope.nodes.get(origin)
    if node is None:
        # The message about the missing node comes from validation, which knows the input.
        return Link(f"{scope.prefix}{origin}", slot)
    if node.get("mode", 0) == MUTED:
        return Lost(f"its link comes from node {scope.prefix}{origin}, which is muted: unmute that or link another.")
    if node["type"] in GETTERS:
        return _setter(scope, node)
    if node.get("mode", 0) == BYPASSED:
        return scope, _bypass(node, slot)
    if node["type"] in (*REROUTES, *SETTERS):
        return scope, node["inputs"][0].get("link")
    if node["type"] == PRIMITIVE:
        # The frontend writes its value into the widget that it is linked to, and into none inside an instance.
        values = [scope.typed.get((str(origin), "value")), *(node.get("widgets_values") or [])]
        return next((Value(value) for value in values if value is not None and scope is start), None)
    if origin in scope.inner:
        return scope.inner[origin], scope.inner[origin].leaving.get(slot)
    return Link(f"{scope.prefix}{origin}", slot)


def _setter(scope: Scope, getter: dict[str, Any]) -> tuple[Scope, Any] | Lost:
    """Find the link that a Get node stands for: the one that goes into the Set node of its name."""
    place: Scope | None = scope
    known: list[str] = []
    while place is not None:
        if _called(getter) in place.setters:
            return place, place.setters[_called(getter)]["inputs"][0].get("link")
        known += [name for name in place.setters if name]
        place = place.parent
    has = f"there are {listing(known)}" if known else "the workflow has no Set node"
    what = f"node {scope.prefix}{getter['id']} ({getter['type']}) gets {short(_called(getter))}"
    return Lost(f"{what}, which no Set node sets: {has}. Link it directly.")


def _called(node: dict[str, Any]) -> str:
    """Return the name that a Set or Get node bears."""
    values = node.get("widgets_values") or [""]
    return str(next(iter(values.values() if isinstance(values, dict) else values), ""))


def _bypass(node: dict[str, Any], slot: int) -> Any:
    """Find the link that passes through a bypassed node: the input in the same place, or else the first of its type."""
    inputs = node.get("inputs") or []
    wanted = node["outputs"][slot]["type"]
    same = [socket for socket in inputs if socket.get("type") == wanted]
    for socket in inputs[slot : slot + 1] + same + inputs:
        if socket.get("type") == wanted or "*" in (socket.get("type"), wanted):
            return socket.get("link")
    return None


def _instance_input(scope: Scope, slot: int) -> dict[str, Any] | None:
    """Find the input on the instance that feeds the subgraph's input number `slot`."""
    name = scope.data["inputs"][slot]["name"]
    return next((s for s in scope.instance.get("inputs") or [] if s["name"] == name), None)


def _shown_value(scope: Scope, slot: int) -> Any:
    """Return what an instance's widget for the subgraph's input number `slot` shows: what is typed there.

    Else it is the value of the first widget inside that it leads to, for all that it leads to. None: there is no such
    widget, or nothing is known of its node.
    """
    socket = scope.data["inputs"][slot]
    typed = scope.typed.get((OWN, socket["name"]))
    if typed is not None:
        return typed
    for link_id in socket.get("linkIds") or scope.links:
        origin, origin_slot, target, target_slot = scope.links.get(link_id, (None, None, None, 0))
        sockets = scope.nodes.get(target, {}).get("inputs") or []
        if (origin, origin_slot) == (SUBGRAPH_IN, slot) and target_slot < len(sockets):
            fed = sockets[target_slot]
            if "widget" in fed:
                return _own_value(scope, target, fed["name"])
    return None


def _own_value(scope: Scope, target: Any, name: str) -> Any:
    """Return what the widget `name` of a node shows; None where nothing is known of the node."""
    inner = scope.inner.get(target)
    if inner is not None:
        names = [socket["name"] for socket in inner.data["inputs"]]
        return _shown_value(inner, names.index(name)) if name in names else None
    typed = scope.typed.get((str(target), name))
    return scope.read[target].widgets.get(name) if typed is None else typed
