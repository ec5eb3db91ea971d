"""A workflow as the host runs it: nodes by id, whose inputs are values or links."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ...words import printable

# Of a workflow, those in subgraphs counted once an instance. Large ones have a few thousand; what has more was made to
# take time, or by mistake.
MAX_NODES = 10_000


class Link(NamedTuple):
    """The output `slot`, counted from 0, of the node with the id `node`."""

    node: str
    slot: int


@dataclass
class Node:
    """One node of a workflow."""

    id: str
    type: str
    inputs: dict[str, Any] = field(default_factory=dict)  # values or `Link`s, by name
    title: str | None = None
    pack: str | None = None  # which brings the type, where the file says so
    holds: tuple[str, ...] = ()  # what a group node that cannot be opened holds: the types that are not here
    name: str | None = None  # by which a file name may ask for its values, `%name.widget%`; None: its type
    lost: dict[str, str] = field(default_factory=dict)  # input to why its link leads to nothing
    widgets: dict[str, Any] = field(default_factory=dict)  # the values of its widgets, linked ones too

    @property
    def label(self) -> str:
        """How messages name the node."""
        title = f' "{_cut(self.title)}"' if self.title and self.title != self.type else ""
        return printable(f"node {_cut(self.id)}{title} ({_cut(self.type)})")

    @property
    def heading(self) -> str:
        """The label at the start of a sentence."""
        return self.label[0].upper() + self.label[1:]


@dataclass
class Workflow:
    """All nodes of a graph, subgraphs laid flat."""

    nodes: dict[str, Node]  # by id
    source: dict[str, Any] | None = None  # the UI format it was read from, for the metadata of saved files
    name: str = "workflow"
    types: dict[Link, str] = field(default_factory=dict, compare=False, repr=False)  # of outputs, once they are known
    idle: list[Node] = field(default_factory=list)  # what does not run: muted, bypassed, primitives, notes

    def ends(self, node_ids: Iterable[str]) -> dict[str, list[str]]:
        """Find, for each of these nodes, the nodes at the end of all that uses it."""
        users: dict[str, list[str]] = {}
        for node in self.nodes.values():
            for value in node.inputs.values():
                if isinstance(value, Link):
                    users.setdefault(value.node, []).append(node.id)
        found = {}
        for node_id in node_ids:
            seen, stack = {node_id}, [node_id]
            while stack:
                after = [user for user in users.get(stack.pop(), ()) if user not in seen]
                seen.update(after)
                stack += after
            found[node_id] = [other for other in seen if other not in users]
        return found

    def prompt(self) -> dict[str, Any]:
        """Return the API format."""
        return {
            node.id: {
                "class_type": node.type,
                "inputs": {name: _plain(value) for name, value in node.inputs.items()},
                **({"_meta": {"title": node.title}} if node.title else {}),
            }
            for node in self.nodes.values()
        }


def text_of(value: Any) -> str | None:
    """Return what a file holds where a text belongs: None for anything else."""
    return value if isinstance(value, str) and value else None


def _cut(text: str, limit: int = 100) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _plain(value: Any) -> Any:
    if isinstance(value, Link):
        return [value.node, value.slot]
    # A list that is a value is wrapped, so that nobody takes it for a link.
    return {"__value__": value} if isinstance(value, list) else value
