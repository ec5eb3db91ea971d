"""Writes graphs as ComfyUI's frontend saves them: workflows, and subgraphs that stand in one.

A graph is `{name: (node id, {input: value})}`, sources before what they feed. A value is a widget's, or a link:
`(name, output)`, or `Outside(...)` for what comes into a subgraph.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from sora_core.host.api.dynamic import DynamicCombo
from sora_core.host.graph.scopes import NOTES, SUBGRAPH_IN, SUBGRAPH_OUT
from sora_core.host.graph.widgets import default_of, widget_of

PREVIEWS = ("LoadImage", "LoadVideo", "SoraSaveVideo", "SoraLongVideo")  # with a picture under the widgets
UPLOADS = ("LoadImage", "LoadVideo")
WIDTH, GAP, PREVIEW, ROW, TEXT = 340, 70, 240, 26, 120  # pixels
OURS = uuid.UUID("6f0f6c1e-4d1f-5c57-9a1b-5a6f72610000")  # ids are made of names: the same each time


@dataclass(frozen=True)
class Outside:
    """A subgraph's own input. `value`: what its widget holds, where it has one, until somebody types."""

    name: str
    value: Any = None


@dataclass
class Laid:
    """A graph as the frontend has it."""

    nodes: list[dict] = field(default_factory=list)
    links: list[dict] = field(default_factory=list)
    number: dict[str, int] = field(default_factory=dict)  # a node's name -> its id
    outside: dict[str, list[dict]] = field(default_factory=dict)  # a subgraph's input -> its links

    def link(self, origin: int, slot: int, target: int, place: int, kind: str) -> dict:
        made = {"id": len(self.links) + 1, "origin_id": origin, "origin_slot": slot}
        made |= {"target_id": target, "target_slot": place, "type": kind}
        self.links.append(made)
        return made


def is_link(value: Any) -> bool:
    return isinstance(value, (tuple, Outside))


def depths(graph: dict) -> dict[str, int]:
    """How many nodes lie, at most, before each node."""
    depth: dict[str, int] = {}
    for name, (_, inputs) in graph.items():
        sources = [depth[value[0]] for value in inputs.values() if isinstance(value, tuple)]
        depth[name] = max(sources, default=-1) + 1
    return depth


def widget_values(entry, value) -> list:
    """What the frontend stores for the widget of `entry`."""
    if isinstance(value, Outside):
        value = value.value
    value = default_of(entry, guess=True) if value is None or isinstance(value, tuple) else value
    if isinstance(entry, DynamicCombo.Input):
        chosen = next(option for option in entry.options if option.key == value)
        return [value, *(item for sub in chosen.inputs for item in widget_values(sub, None))]
    after = getattr(entry, "control_after_generate", None)
    return [value, "fixed"] if after else [value]


def lay_out(graph: dict, schemas: dict, outside: tuple[str, ...] = (), titles: dict[str, str] | None = None) -> Laid:
    """Nodes from left to right by depth, with every widget's value. `outside`: a subgraph's inputs, in their order."""
    laid = Laid(number={name: i for i, name in enumerate(graph, 1)}, outside={name: [] for name in outside})
    depth, column = depths(graph), {}
    for name, (kind, _) in graph.items():
        sockets, widgets, height = _sides(laid, name, graph, schemas)
        if kind in UPLOADS:
            widgets.append("image")  # the upload button
        top = column.get(depth[name], 0)
        column[depth[name]] = top + height + GAP
        node = {
            "id": laid.number[name],
            "type": kind,
            "pos": [40 + (WIDTH + GAP) * depth[name], 60 + top],
            "size": [WIDTH, height],
            "flags": {},
            "order": len(laid.nodes),
            "mode": 0,
            "inputs": sockets,
            "outputs": [],
            "properties": {"Node name for S&R": kind},
            "widgets_values": widgets,
        }
        if titles and name in titles:
            node["title"] = titles[name]
        laid.nodes.append(node)
    outgoing: dict[tuple[int, int], list[int]] = {}
    for link in laid.links:
        outgoing.setdefault((link["origin_id"], link["origin_slot"]), []).append(link["id"])
    for node in laid.nodes:
        node["outputs"] = [
            {
                "name": o.display_name or o.get_io_type(),
                "type": o.get_io_type(),
                "links": outgoing.get((node["id"], i), []),
            }
            for i, o in enumerate(schemas[node["type"]].outputs)
        ]
    return laid


def _sides(laid: Laid, name: str, graph: dict, schemas: dict) -> tuple[list[dict], list, int]:
    """A node's sockets, whose links are made here, what its widgets hold, and about how high it is in pixels."""
    kind, given = graph[name]
    sockets, widgets, height = [], [], 60
    for entry in schemas[kind].inputs:
        value, widget = given.get(entry.id), widget_of(entry)
        if widget is not None:
            saved = widget_values(entry, value)
            widgets += saved
            height += TEXT if getattr(entry, "multiline", False) else ROW * len(saved)
        if not is_link(value) and widget is not None:
            continue
        socket = {"name": entry.id, "type": entry.get_io_type(), "link": None}
        end = laid.number[name], len(sockets)
        if isinstance(value, tuple):
            kind_of = schemas[graph[value[0]][0]].outputs[value[1]].get_io_type()
            socket["link"] = laid.link(laid.number[value[0]], value[1], *end, kind_of)["id"]
        elif isinstance(value, Outside):
            made = laid.link(SUBGRAPH_IN, list(laid.outside).index(value.name), *end, entry.get_io_type())
            laid.outside[value.name].append(made)
            socket["link"] = made["id"]
        if widget is not None:
            socket["widget"] = {"name": entry.id}
        elif entry.optional:
            socket["shape"] = 7  # a hollow ring: it may stay open
        sockets.append(socket)
    height += 20 * max(len(sockets), len(schemas[kind].outputs)) + (PREVIEW if kind in PREVIEWS else 0)
    return sockets, widgets, height


def add_note(laid: Laid, text: str, height: int = 200) -> None:
    """Put a note over the graph, behind the nodes: their numbers stay."""
    note = {
        "id": len(laid.nodes) + 1,
        "type": NOTES[1],
        "pos": [40, 60 - height - GAP],
        "size": [2 * WIDTH + GAP, height],
        "flags": {},
        "order": len(laid.nodes),
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "properties": {},
        "widgets_values": [text],
        "color": "#233",
        "bgcolor": "#355",
    }
    laid.nodes.append(note)


def workflow(laid: Laid, extra: dict) -> dict:
    """A workflow as it is saved."""
    keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    return {
        "last_node_id": len(laid.nodes),
        "last_link_id": len(laid.links),
        "nodes": laid.nodes,
        "links": [[link[key] for key in keys] for link in laid.links],
        "groups": [],
        "config": {},
        "extra": extra,
        "version": 0.4,
    }


def make_id(*names: str) -> str:
    return str(uuid.uuid5(OURS, "/".join(names)))


def subgraph(
    laid: Laid, name: str, outputs: dict[str, tuple[str, int]], labels: dict[str, str], about: dict[str, str]
) -> dict:
    """The definition of a subgraph. `outputs`: its outputs, by name, as links. `labels`: of its inputs, in their order.

    about: description, category, essentials_category.
    """
    by_number = {node["id"]: node for node in laid.nodes}
    right = max(node["pos"][0] for node in laid.nodes) + WIDTH + 2 * GAP
    ends = []
    for place, (label, (source, slot)) in enumerate(outputs.items()):
        node = by_number[laid.number[source]]
        link = laid.link(node["id"], slot, SUBGRAPH_OUT, place, node["outputs"][slot]["type"])
        node["outputs"][slot]["links"].append(link["id"])
        entry = {"id": make_id(name, "output", label), "name": label, "type": link["type"], "linkIds": [link["id"]]}
        ends.append(entry)
    starts = [
        {
            "id": make_id(name, "input", key),
            "name": key,
            "type": links[0]["type"],
            "linkIds": [link["id"] for link in links],
            "label": labels[key],
        }
        for key, links in laid.outside.items()
    ]
    return {
        "id": make_id(name),
        "version": 1,
        "state": {"lastGroupId": 0, "lastNodeId": len(laid.nodes), "lastLinkId": len(laid.links), "lastRerouteId": 0},
        "revision": 0,
        "config": {},
        "name": name,
        "inputNode": {"id": SUBGRAPH_IN, "bounding": [-200, 60, 160, 40 + 20 * len(starts)]},
        "outputNode": {"id": SUBGRAPH_OUT, "bounding": [right, 60, 120, 40 + 20 * len(ends)]},
        "inputs": starts,
        "outputs": ends,
        "widgets": [],
        "nodes": laid.nodes,
        "links": laid.links,
        "groups": [],
        "extra": {},
        **about,
    }


def instance(definition: dict, graph: dict, schemas: dict) -> dict:
    """The node that stands for a subgraph, with the values of its widgets."""
    values, sockets = [], []
    inside = {}
    for kind, given in graph.values():
        for entry in schemas[kind].inputs:
            if isinstance(given.get(entry.id), Outside):
                inside.setdefault(given[entry.id].name, (entry, given[entry.id]))
    for start in definition["inputs"]:
        entry, value = inside[start["name"]]
        socket = {"name": start["name"], "label": start["label"], "type": start["type"], "link": None}
        if widget_of(entry) is not None:
            socket["widget"] = {"name": start["name"]}
            values.append(widget_values(entry, value)[0])
        elif entry.optional:
            socket["shape"] = 7
        sockets.append(socket)
    return {
        "id": 1,
        "type": definition["id"],
        "title": definition["name"],
        "pos": [100, 100],
        "size": [380, 80 + ROW * len(sockets)],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": sockets,
        "outputs": [{"name": end["name"], "type": end["type"], "links": []} for end in definition["outputs"]],
        "properties": {},
        "widgets_values": values,
    }
