"""Group nodes: what subgraphs were before 2025.

A workflow holds what each is made of under `extra.groupNodes`, by name, and its nodes are of the type `workflow>NAME`,
`workflow/NAME` at first. Inside, nodes have no ids but places, and links are `[from, slot, to, slot]` of these. The
group's own inputs, outputs and widgets are written nowhere: they follow from what the nodes inside are. Here a group
becomes a subgraph, as the frontend makes one of it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ...errors import expect
from ...words import short
from ..api.base import Input
from ..packs import Registry
from .scopes import MAX_DETAILS, PRIMITIVE, REROUTES, SUBGRAPH_IN, SUBGRAPH_OUT, VIRTUAL, socket_at
from .widgets import is_control, take_widget_values, widget_of

PREFIXES = ("workflow>", "workflow/")


def group_name(kind: str) -> str | None:
    """Return the name of the group whose node is of this type; None for other types."""
    return next((kind.removeprefix(prefix) for prefix in PREFIXES if kind.startswith(prefix)), None)


def open_groups(data: dict[str, Any], registry: Registry) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    """Return a workflow whose group nodes are subgraphs, itself where it has none.

    Groups that hold a type that is not here stay: which inputs and widgets they have cannot be known. The second answer
    lists what these lack, by their type.
    """
    held = (data.get("extra") or {}).get("groupNodes")
    groups: dict[str, _Group] = {}
    nodes: list[dict[str, Any]] = []
    details = 0
    for node in data["nodes"] if isinstance(held, dict) else ():
        kind, name = node["type"], group_name(node["type"])
        if isinstance(held, dict) and name is not None and name in held:
            group = groups.get(kind) or groups.setdefault(kind, _Group(_checked(held[name], name), registry))
            if not group.missing:
                details += group.size
                expect(
                    details <= MAX_DETAILS,
                    f"The workflow's group nodes hold more than {MAX_DETAILS} inputs, outputs and values, counted once "
                    "a node: remove some of them.",
                )
                node = group.instance(node)
        nodes.append(node)
    made = [group.definition(kind) for kind, group in groups.items() if not group.missing]
    lacking = {kind: tuple(group.missing) for kind, group in groups.items() if group.missing}
    if not made:
        return data, lacking
    known = data.get("definitions") or {}
    subgraphs = [*(known.get("subgraphs") or []), *made]
    return {**data, "nodes": nodes, "definitions": {**known, "subgraphs": subgraphs}}, lacking


def _checked(group: Any, name: str) -> dict[str, Any]:
    """Return what a file says of a group. Raises SoraError where that is none."""
    nodes = group.get("nodes") if isinstance(group, dict) else None
    links = group.get("links") or [] if isinstance(group, dict) else None
    good = (
        isinstance(nodes, list)
        and all(isinstance(node, dict) and isinstance(node.get("type"), str) for node in nodes)
        and all(isinstance(side, dict) for node in nodes for key in _SIDES for side in _list(node.get(key)))
        and isinstance(links, list)
        and all(isinstance(link, list) and len(link) >= 4 for link in links)
    )
    expect(good, f"The group node {short(name)} is damaged in the file: save the workflow again from the frontend.")
    return group


_SIDES = ("inputs", "outputs")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


@dataclass
class _Widget:
    """A widget of the group, by what it stands for inside."""

    place: int
    entry: Input | None  # None for a primitive's value
    name: str


@dataclass
class _Layout:
    """What a group shows, in order."""

    widgets: list[list[_Widget]] = field(default_factory=list)  # those that a node brings at a time
    sockets: dict[str, tuple[int, str]] = field(default_factory=dict)  # inputs: place and input inside, by name
    outputs: list[tuple[int, int]] = field(default_factory=list)  # places and slots inside


class _Group:
    def __init__(self, group: dict[str, Any], registry: Registry) -> None:
        self.nodes: list[dict[str, Any]] = group["nodes"]
        self.registry = registry
        config = group.get("config")
        self.config = config if isinstance(config, dict) else {}
        ends = [link for link in group.get("links") or [] if all(isinstance(end, int) for end in link[:4])]
        self.links = [link for link in ends if 0 <= link[0] < len(self.nodes) and 0 <= link[2] < len(self.nodes)]
        self.into = {(link[2], link[3]): link for link in self.links}
        self.out_of: dict[tuple[int, int], list[Any]] = {}
        for link in self.links:
            self.out_of.setdefault((link[0], link[1]), []).append(link)
        # Outputs that were linked outside when the group was made stay to be seen, if they are linked inside too.
        external = [entry for entry in _list(group.get("external")) if isinstance(entry, list) and len(entry) > 2]
        self.external = {_number_pair(entry) for entry in external if entry[2] is not None}
        held = [node["type"] for node in self.nodes]
        self.missing = [k for k in dict.fromkeys(held) if k not in registry.nodes and k not in VIRTUAL]

    @cached_property
    def size(self) -> int:
        """How much a node of the group brings along."""
        layout = self.layout
        return len(self.nodes) + len(self.links) + len(layout.sockets) + sum(1 + len(w) for w in layout.widgets)

    # -- what it shows -------------------------------------------------------------------------------------------
    @cached_property
    def layout(self) -> _Layout:
        """What the group shows: inputs that were turned into sockets come after all others."""
        layout, seen = _Layout(), dict[str, int]()
        turned: list[tuple[int, int, Input]] = []
        for place, node in enumerate(self.nodes):
            if node["type"] in (PRIMITIVE, *REROUTES):
                self._passing(layout, seen, place, node)
            elif node["type"] in self.registry.nodes:
                turned += self._node(layout, seen, place, node)
        for place, slot, entry in turned:
            if (place, slot) not in self.into:
                layout.sockets[self._name(seen, place, entry.id)] = (place, entry.id)
                layout.widgets.append([_Widget(place, entry, entry.id)])
        return layout

    def _node(
        self, layout: _Layout, seen: dict[str, int], place: int, node: dict[str, Any]
    ) -> list[tuple[int, int, Input]]:
        """Add what a node shows. Returns the widgets that were turned into sockets: their place, slot and input."""
        schema = self.registry.nodes[node["type"]].GET_SCHEMA()
        sockets = {socket.get("name"): (slot, socket) for slot, socket in enumerate(node.get("inputs") or [])}
        ordered = sorted(schema.inputs, key=lambda entry: bool(entry.optional))  # stable: required ones first
        shown, plain, turned = list[_Widget](), list[Input](), list[tuple[int, int, Input]]()
        for entry in ordered:
            if widget_of(entry) is None:
                plain.append(entry)
            elif "widget" in sockets.get(entry.id, (0, {}))[1]:
                turned.append((place, sockets[entry.id][0], entry))
            else:
                self._name(seen, place, entry.id)
                shown.append(_Widget(place, entry, entry.id))
        layout.widgets.append(shown)
        for number, entry in enumerate(plain):
            slot = sockets[entry.id][0] if entry.id in sockets else number
            if (place, slot) not in self.into:
                name = self._name(seen, place, entry.id)
                if self._told(place, "input", entry.id).get("visible") is not False:
                    layout.sockets[name] = (place, entry.id)
        layout.outputs += [(place, slot) for slot in range(len(schema.outputs)) if self._shows(place, slot)]
        return sorted(turned, key=lambda found: found[1])

    def _passing(self, layout: _Layout, seen: dict[str, int], place: int, node: dict[str, Any]) -> None:
        """Add what a primitive or a reroute shows: a widget, or an input, and an output."""
        leaving = self.out_of.get((place, 0))
        if node["type"] == PRIMITIVE:
            if leaving is None:
                return
            self._name(seen, place, "value")
            layout.widgets.append([_Widget(place, None, "value")])
        elif (place, 0) not in self.into:
            target = None if leaving is None else socket_at(self.nodes[leaving[0][2]].get("inputs"), leaving[0][3])
            kind = str(target["type"]) if target is not None and "type" in target else "*"
            layout.sockets[self._name(seen, place, kind)] = (place, "")
        elif leaving is not None and (place, 0) not in self.external:
            return
        if self._shows(place, 0):
            layout.outputs.append((place, 0))

    def _shows(self, place: int, slot: int) -> bool:
        inside = (place, slot) in self.out_of and (place, slot) not in self.external
        visible = self._told(place, "output", str(slot)).get("visible")
        return bool(visible) if visible is not None else not inside

    def _told(self, place: int, side: str, name: str) -> dict[str, Any]:
        """Return what was changed by hand of an input or output: its name, and whether it is to be seen."""
        found: Any = self.config
        for key in (str(place), side, name):
            found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}

    def _name(self, seen: dict[str, int], place: int, name: str) -> str:
        """Name an input of the group as the frontend does: where a name is taken, the node's own title goes before."""
        node = self.nodes[place]
        label = next((s.get("label") for s in node.get("inputs") or [] if s.get("name") == name), None)
        made = key = str(self._told(place, "input", name).get("name") or label or name)
        if made in seen or (node["type"] == PRIMITIVE and node.get("title")):
            before = f"{node.get('title') or node['type']} "
            made = key = f"{before}{name}"
            if made in seen:
                made = f"{before}{seen[made]} {name}"
        seen[key] = seen.get(key, 1) + 1
        return made

    # -- what becomes of it --------------------------------------------------------------------------------------
    def definition(self, kind: str) -> dict[str, Any]:
        """Return the group as the definition of a subgraph, by its type."""
        nodes = [
            {**node, "id": place, "inputs": [{**socket, "link": None} for socket in node.get("inputs") or []]}
            for place, node in enumerate(self.nodes)
        ]
        links: list[list[Any]] = []

        def connect(origin: int, slot: int, target: int, target_slot: int) -> None:
            links.append([len(links) + 1, origin, slot, target, target_slot, "*"])
            if target != SUBGRAPH_OUT and socket_at(nodes[target]["inputs"], target_slot) is not None:
                nodes[target]["inputs"][target_slot]["link"] = len(links)

        for origin, slot, target, target_slot in (link[:4] for link in self.links):
            connect(origin, slot, target, target_slot)
        for number, (place, name) in enumerate(self.layout.sockets.values()):
            inside = nodes[place]["inputs"]
            slot = next((i for i, socket in enumerate(inside) if socket.get("name") == name), None)
            if slot is None and nodes[place]["type"] in REROUTES and inside:
                slot = 0
            if slot is None:
                slot = len(inside)
                inside.append({"name": name, "link": None})
            connect(SUBGRAPH_IN, number, place, slot)
        for number, (place, slot) in enumerate(self.layout.outputs):
            connect(place, slot, SUBGRAPH_OUT, number)
        inputs = [{"name": name} for name in self.layout.sockets]
        return {"id": kind, "nodes": nodes, "links": links, "inputs": inputs, "outputs": []}

    def instance(self, node: dict[str, Any]) -> dict[str, Any]:
        """Return a node of the group as an instance of its subgraph, with each value by what it stands for."""
        saved = node.get("widgets_values")
        left = deque(saved if isinstance(saved, list) else [])
        proxies: list[list[str]] = []
        values: list[Any] = []
        for brought in self.layout.widgets:
            for place, name, value in self._values(brought, left):
                proxies.append([str(place), name])
                values.append(value)
        changed = {**(node.get("properties") or {}), "proxyWidgets": proxies, "proxyWidgetErrorQuarantine": []}
        plain = {key: value for key, value in node.items() if key != "widgets_values_named"}
        return {**plain, "inputs": self._sockets(node), "properties": changed, "widgets_values": values}

    def _sockets(self, node: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the inputs of a node of the group under their names; one of another name counts by its place."""
        names, sockets = list(self.layout.sockets), list(node.get("inputs") or [])
        known = {socket.get("name") for socket in sockets}
        for number, (name, socket) in enumerate(zip(names, sockets, strict=False)):
            if name not in known and socket.get("name") not in self.layout.sockets:
                sockets[number] = {**socket, "name": name}
        return sockets

    def _values(self, brought: list[_Widget], left: deque[Any]) -> list[tuple[int, str, Any]]:
        """Take the values of widgets from the front of `left`: place, name inside and value of each."""
        if not brought:
            return []
        first = brought[0]
        if first.entry is None:
            if not left:
                return []
            value = left.popleft()
            if left and is_control(left[0]):
                left.popleft()
            return [(first.place, first.name, value)]
        entries = [widget.entry for widget in brought if widget.entry is not None]
        return [(first.place, name, value) for name, value in take_widget_values(entries, left).items()]


def _number_pair(entry: list[Any]) -> tuple[int, int]:
    try:
        return int(entry[0]), int(entry[1])
    except (TypeError, ValueError, OverflowError):
        return -1, -1
