"""The graphs that a workflow consists of: itself, and every instance of its subgraphs.

An instance shares with the others of its kind what its definition says (`Part`), and has what its nodes say for itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ...errors import expect
from ...words import listing
from .entries import definitions, read_link
from .instances import OWN, typed_values
from .workflow import MAX_NODES, Link, Node

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
MAX_DEPTH = 100  # files come from strangers: a subgraph may contain itself
# Sockets, values and links of the nodes in subgraphs, counted once an instance.
MAX_DETAILS = 40 * MAX_NODES


@dataclass
class Value:
    """A link that turned out to carry a fixed value."""

    value: Any
    only: Scope | None = None  # the one graph in which it counts; None: in all


@dataclass
class Lost:
    """A link that leads to nothing."""

    why: str  # a sentence that says what to do


class Part:
    """What a graph says, whichever instance it is of: read once a definition."""

    def __init__(self, data: dict[str, Any], inputs: list[dict[str, Any]] | None = None) -> None:
        """Read a graph. inputs: of the subgraph that it is; the workflow itself has none."""
        self.data = data
        self.sockets = inputs or []
        self.nodes: dict[Any, dict[str, Any]] = {node["id"]: node for node in data.get("nodes") or []}
        self.links = dict(read_link(entry) for entry in data.get("links") or [] if entry)
        # The links that feed the subgraph's own outputs, by slot: the first where a broken file has several.
        self.leaving: dict[int, Any] = {}
        for link_id, (_, _, target, slot) in self.links.items():
            if target == SUBGRAPH_OUT:
                self.leaving.setdefault(slot, link_id)
        self.inputs: list[str] = [socket.get("name", "") for socket in self.sockets]
        self.slots = {name: slot for slot, name in reversed(list(enumerate(self.inputs)))}

    @cached_property
    def details(self) -> int:
        """How many links, sockets and values there are, besides nodes."""
        lists = ("inputs", "outputs", "widgets_values")
        found = (node.get(name) for node in self.nodes.values() for name in lists)
        return (
            len(self.links) + len(self.inputs) + sum(len(entry) for entry in found if isinstance(entry, (list, dict)))
        )

    @cached_property
    def setters(self) -> dict[str, dict[str, Any]]:
        """The nodes that set a link, by the name that they give it; of two the first counts."""
        found = [node for node in self.nodes.values() if node["type"] in SETTERS]
        return {called(node): node for node in reversed(found)}

    @cached_property
    def passing(self) -> dict[Any, dict[str, dict[str, Any]]]:
        """For each bypassed node, by id, its first input of each type; under "" the first of all."""
        found: dict[Any, dict[str, dict[str, Any]]] = {}
        for node in self.nodes.values():
            if node.get("mode", 0) == BYPASSED:
                inputs = node.get("inputs") or []
                found[node["id"]] = {type_of(socket): socket for socket in reversed(inputs)}
                if inputs:
                    found[node["id"]][""] = inputs[0]
        return found

    @cached_property
    def fed(self) -> dict[int, tuple[Any, str]]:
        """The widget that each of the subgraph's inputs leads to first, by slot: its node's id and its name."""
        found: dict[int, tuple[Any, str]] = {}
        for slot, socket in enumerate(self.sockets):
            for link_id in socket.get("linkIds") or []:
                origin, origin_slot, target, target_slot = self.links.get(link_id, (None, 0, None, 0))
                if (origin, origin_slot) == (SUBGRAPH_IN, slot):
                    self._note(found, slot, target, target_slot)
        told = {slot for slot, socket in enumerate(self.sockets) if socket.get("linkIds")}
        for origin, slot, target, target_slot in self.links.values():
            if origin == SUBGRAPH_IN and slot not in told:
                self._note(found, slot, target, target_slot)
        return found

    def _note(self, found: dict[int, tuple[Any, str]], slot: int, target: Any, target_slot: int) -> None:
        socket = socket_at(self.nodes.get(target, {}).get("inputs"), target_slot)
        if socket is not None and "widget" in socket:
            found.setdefault(slot, (target, socket.get("name", "")))

    @cached_property
    def widgets(self) -> frozenset[int]:
        """The slots of the subgraph's inputs that lead to a widget inside."""
        found = set()
        for origin, slot, target, target_slot in self.links.values():
            if origin == SUBGRAPH_IN:
                socket = socket_at(self.nodes.get(target, {}).get("inputs"), target_slot)
                found |= {slot} if "widget" in (socket or {}) else set()
        return frozenset(found)


@dataclass
class Scope:
    """One graph: the workflow itself, or one instance of a subgraph."""

    part: Part
    prefix: str = ""  # stands before the ids of its nodes
    parent: Scope | None = None  # the graph that the instance stands in
    instance: dict[str, Any] = field(default_factory=dict)  # the instance as a node of `parent`; empty at the top
    inner: dict[Any, Scope] = field(default_factory=dict)  # the subgraphs in it, by the id of their instance
    read: dict[Any, Node] = field(default_factory=dict)  # what its nodes say without their links, by id
    # What links lead to, as far as they were followed.
    traced: dict[Any, Link | Value | Lost | None] = field(default_factory=dict)

    @cached_property
    def sockets(self) -> dict[str, dict[str, Any]]:
        """The inputs of the instance, by name."""
        return {socket.get("name", ""): socket for socket in reversed(self.instance.get("inputs") or [])}

    @cached_property
    def widget_inputs(self) -> list[str]:
        """The subgraph's inputs that have a widget on its instance: those that lead to a widget inside, in order."""
        shown = {name for name, socket in self.sockets.items() if "widget" in socket}
        return [name for slot, name in enumerate(self.part.inputs) if slot in self.part.widgets or name in shown]

    @cached_property
    def typed(self) -> dict[str, dict[str, Any]]:
        """What is typed on the instance, by inner node's id (OWN for the instance itself) and name of the widget."""
        found: dict[str, dict[str, Any]] = {}
        for (node, name), value in typed_values(self.instance, self.widget_inputs).items():
            found.setdefault(node, {})[name] = value
        return found

    @cached_property
    def names_set(self) -> list[str]:
        """The names that Set nodes give here and further out."""
        here = [name for name in self.part.setters if name]
        return here if self.parent is None else here + self.parent.names_set

    @cached_property
    def told_set(self) -> str:
        """Which names Set nodes give, for a message."""
        return f"there are {listing(self.names_set)}" if self.names_set else "the workflow has no Set node"

    def shown_value(self, slot: int) -> Any:
        """Return what the instance's widget for the subgraph's input number `slot` shows: what is typed there.

        Else it is the value of the first widget inside that it leads to, for all that it leads to. None: there is no
        such widget, or nothing is known of its node.
        """
        typed = self.typed.get(OWN, {}).get(self.part.inputs[slot])
        if typed is not None or slot not in self.part.fed:
            return typed
        target, name = self.part.fed[slot]
        inner = self.inner.get(target)
        if inner is not None:
            return inner.shown_value(inner.part.slots[name]) if name in inner.part.slots else None
        typed = self.typed.get(str(target), {}).get(name)
        return self.read[target].widgets.get(name) if typed is None else typed


def open_scopes(data: dict[str, Any]) -> list[Scope]:
    """Open the workflow and every subgraph instance in it.

    Raises SoraError for more than MAX_NODES nodes in all of them, or for MAX_DETAILS in instances.
    """
    # Forty subgraphs that each hold the next one twice are a file of 4 KB and 10^12 nodes.
    found: list[Scope] = []
    nodes = details = 0
    parts = {name: Part(defined, defined.get("inputs")) for name, defined in definitions(data).items()}
    for scope in _open(Scope(Part(data)), parts, 0):
        found.append(scope)
        nodes += len(scope.part.nodes)
        details += scope.part.details if scope.parent is not None else 0
        expect(
            nodes <= MAX_NODES and details <= MAX_DETAILS,
            f"The workflow has more than {MAX_NODES} nodes, or {MAX_DETAILS} inputs, outputs and values in its "
            "subgraphs, counted once an instance: remove some of them.",
        )
    return found


def _open(scope: Scope, parts: dict[Any, Part], depth: int) -> Iterator[Scope]:
    """Yield `scope` and every subgraph instance inside it."""
    expect(depth < MAX_DEPTH, "The workflow's subgraphs contain each other without end: remove one of them.")
    yield scope
    for entry in scope.part.nodes.values():
        part = parts.get(entry["type"])
        if part is not None and entry.get("mode", 0) not in (MUTED, BYPASSED):
            inner = Scope(part, f"{scope.prefix}{entry['id']}:", scope, entry)
            scope.inner[entry["id"]] = inner
            yield from _open(inner, parts, depth + 1)


def is_real(entry: dict[str, Any]) -> bool:
    """Return whether a node runs."""
    return entry.get("mode", 0) not in (MUTED, BYPASSED) and entry["type"] not in VIRTUAL


def called(node: dict[str, Any]) -> str:
    """Return the name that a Set or Get node bears."""
    values = node.get("widgets_values")
    found = values.values() if isinstance(values, dict) else values if isinstance(values, list) else ()
    return str(next(iter(found), ""))


def type_of(socket: dict[str, Any]) -> str:
    """Return the type of an input or output, which is a list of choices in early files."""
    found = socket.get("type")
    return found if isinstance(found, str) else repr(found)


def socket_at(sockets: list[dict[str, Any]] | None, place: int) -> dict[str, Any] | None:
    """Return an input or output by its place; None where there is none."""
    return sockets[place] if sockets and 0 <= place < len(sockets) else None
