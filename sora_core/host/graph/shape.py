"""Whether parsed JSON has the shape of the UI format, so that what reads it need not ask at every step."""

from __future__ import annotations

from typing import Any, NoReturn

from ...errors import SoraError
from ...words import printable, short

# JavaScript's own numbers go no further, so no frontend has written more.
MAX_ID = 1 << 53


def check_shape(data: dict[str, Any], name: str) -> None:
    """Raise SoraError, naming the place and what stands there, where a workflow is none that a frontend can write.

    What may be left out may also be null.
    """
    shape = _Shape(name)
    shape.graph(data, "")
    defined = shape.holding(data, "definitions", dict, "the workflow")
    for definition in shape.objects(defined or {}, "subgraphs", "the workflow's definitions"):
        shape.key(definition.get("id"), "a subgraph's id")
        where = f"subgraph {short(definition['id'])}"
        shape.graph(definition, f" of {where}")
        for side in ("inputs", "outputs"):
            for socket in shape.objects(definition, side, where):
                shape.text(socket.get("name", ""), f"the name of an entry in the {side} of {where}")
                for link in shape.holding(socket, "linkIds", list, f"the {side} of {where}") or []:
                    shape.key(link, f"a link in the {side} of {where}")
    shape.holding(data, "extra", dict, "the workflow")


class _Shape:
    """Checks parts of one file; `where` names the part."""

    def __init__(self, name: str) -> None:
        self.name = name

    def graph(self, data: dict[str, Any], where: str) -> None:
        """Check the nodes and links of a graph."""
        whole = where.removeprefix(" of ") or "the workflow"
        for node in self.objects(data, "nodes", whole):
            self.node(node, where)
        for entry in self.holding(data, "links", list, whole) or []:
            if entry:
                self.link(entry, where)

    def node(self, node: dict[str, Any], where: str) -> None:
        """Check a node."""
        self.key(node.get("id"), f"the id of a node{where}")
        label = f"node {node['id']}{where}"
        self.text(node.get("type"), f"the type of {label}")
        for socket in self.objects(node, "inputs", label):
            self.text(socket.get("name", ""), f"the name of an input of {label}")
            if socket.get("link") is not None:
                self.key(socket["link"], f"the link of an input of {label}")
        self.objects(node, "outputs", label)
        properties = self.holding(node, "properties", dict, label) or {}
        for proxy in self.holding(properties, "proxyWidgets", list, label) or []:
            self.pair(proxy, f"an entry in proxyWidgets of {label}")
        for kept in self.objects(properties, "proxyWidgetErrorQuarantine", label):
            self.pair(kept.get("originalEntry"), f"an entry in proxyWidgetErrorQuarantine of {label}")

    def link(self, entry: Any, where: str) -> None:
        """Check a link: a list in old files, an object in new ones."""
        what = f"a link{where}"
        if isinstance(entry, dict):
            entry = [entry.get(key) for key in ("id", "origin_id", "origin_slot", "target_id", "target_slot")]
        if not isinstance(entry, list) or len(entry) < 5:
            self.wrong(what, "must hold an id, and the node and slot at both ends", entry)
        for key in (entry[0], entry[1], entry[3]):
            self.key(key, f"an id in {what}")
        for slot in (entry[2], entry[4]):
            if not isinstance(slot, int) or abs(slot) > MAX_ID:
                self.wrong(f"a slot of link {short(entry[0])}{where}", "must be a whole number", slot)

    def objects(self, data: dict[str, Any], key: str, where: str) -> list[dict[str, Any]]:
        """Return a list of objects, empty where there is none."""
        found: list[dict[str, Any]] = self.holding(data, key, list, where) or []
        for entry in found:
            if not isinstance(entry, dict):
                self.wrong(f"an entry in the {key} of {where}", "must be an object", entry)
        return found

    def holding(self, data: dict[str, Any], key: str, kind: type, where: str) -> Any:
        """Return a list or an object, None where there is none."""
        found = data.get(key)
        if found is not None and not isinstance(found, kind):
            self.wrong(f"{key} of {where}", "must be a list" if kind is list else "must be an object", found)
        return found

    def pair(self, value: Any, what: str) -> None:
        """Check a node's id with the name of a widget."""
        if not isinstance(value, list) or len(value) < 2 or not isinstance(value[1], str):
            self.wrong(what, "must be a node's id and a widget's name", value)
        self.key(value[0], what)

    def key(self, value: Any, what: str) -> None:
        """Check an id."""
        whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_ID
        if not whole and not isinstance(value, str):
            self.wrong(what, "must be a whole number or a text", value)

    def text(self, value: Any, what: str) -> None:
        """Check a text."""
        if not isinstance(value, str):
            self.wrong(what, "must be a text", value)

    def wrong(self, what: str, must: str, value: Any) -> NoReturn:
        """Raise what is wrong."""
        raise SoraError(
            printable(
                f"{self.name} is not a valid workflow: {what} {must}, not {short(value)}. "
                "Save it again from the frontend."
            )
        )
