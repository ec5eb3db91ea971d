"""A workflow as the host runs it, and how to read one from a file.

Two formats exist. The UI format is what the frontend saves: node positions, links, a list of widget values
(`uigraph.py` turns it into ours). The API format is what it sends to be run: `{id: {class_type, inputs}}`,
where a link is `[node id, output index]`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import SoraError, expect
from ...words import short
from ..packs import Registry


class Link(NamedTuple):
    """The output `slot` of node `node`."""

    node: str
    slot: int


@dataclass
class Node:
    """One node: its inputs are values or `Link`s, by name."""

    id: str
    type: str
    inputs: dict[str, Any] = field(default_factory=dict)
    title: str | None = None
    # Inputs whose link leads to a muted node: an error message can say so.
    muted: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """How messages name the node."""
        title = f' "{self.title}"' if self.title and self.title != self.type else ""
        return f"node {self.id}{title} ({self.type})"


@dataclass
class Workflow:
    """All nodes by id. `source` is the UI-format original, kept for the metadata of saved files."""

    nodes: dict[str, Node]
    source: dict[str, Any] | None = None
    name: str = "workflow"

    def prompt(self) -> dict[str, Any]:
        """The API format."""
        return {
            node.id: {
                "class_type": node.type,
                "inputs": {name: _plain(value) for name, value in node.inputs.items()},
                **({"_meta": {"title": node.title}} if node.title else {}),
            }
            for node in self.nodes.values()
        }


def _plain(value: Any) -> Any:
    if isinstance(value, Link):
        return [value.node, value.slot]
    # A list that is a value is wrapped, so that nobody takes it for a link.
    return {"__value__": value} if isinstance(value, list) else value


def load_workflow(path: str | Path, registry: Registry) -> Workflow:
    """Read a workflow file: JSON in either format, or a video or picture that carries its workflow.

    Raises SoraError when the file is missing, is not JSON, or is not a workflow.
    """
    path = Path(path)
    expect(path.exists(), f"There is no file {str(path)!r}: give the path of a workflow JSON.")
    expect(path.is_file(), f"{str(path)!r} is a folder: give the path of a workflow JSON.")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SoraError(f"{path} cannot be read ({error.strerror}): check its rights.") from error
    if raw[4:8] == b"ftyp" or raw[:4] == b"\x89PNG":
        return parse_workflow(_from_media(path), registry, path.name)
    try:
        data = json.loads(raw.decode("utf-8-sig"))
    except (UnicodeDecodeError, RecursionError) as error:
        raise SoraError(f"{path} is not JSON text: give a workflow saved by the frontend.") from error
    except json.JSONDecodeError as error:
        raise SoraError(
            f"{path} is not JSON (line {error.lineno}, column {error.colno}: {error.msg}): export the workflow again."
        ) from error
    return parse_workflow(data, registry, path.name)


def parse_workflow(data: Any, registry: Registry, name: str = "workflow") -> Workflow:
    """A workflow from parsed JSON in either format. Raises SoraError if it is neither."""
    expect(isinstance(data, dict), f"{name} is not a workflow: it holds {_kind(data)}, not an object with nodes.")
    if isinstance(data.get("nodes"), list):
        from .uigraph import read_ui

        return read_ui(data, registry, name)
    if isinstance(data.get("prompt"), dict) and "class_type" not in data["prompt"]:
        extra = data.get("extra_data") or {}
        source = (extra.get("extra_pnginfo") or {}).get("workflow")
        return _read_api(data["prompt"], name, source)
    return _read_api(data, name, None)


def _read_api(data: dict[str, Any], name: str, source: dict | None) -> Workflow:
    expect(bool(data), f"{name} is not a workflow: it is empty.")
    nodes: dict[str, Node] = {}
    for node_id, entry in data.items():
        valid = isinstance(entry, dict) and isinstance(entry.get("class_type"), str)
        expect(
            valid,
            f"{name} is not a workflow: entry {short(node_id)} has no class_type. "
            "Give a file saved by the frontend (File > Save or Export API).",
        )
        inputs = entry.get("inputs") or {}
        expect(isinstance(inputs, dict), f"{name}: the inputs of node {node_id} must be an object by name.")
        nodes[node_id] = Node(
            node_id,
            entry["class_type"],
            {k: _value(v) for k, v in inputs.items()},
            (entry.get("_meta") or {}).get("title"),
        )
    return Workflow(nodes, source, name)


def _value(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"__value__"}:
        return value["__value__"]
    if (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int)
        and not isinstance(value[1], bool)
    ):
        return Link(value[0], value[1])
    return value


def _kind(data: Any) -> str:
    return {
        list: "a list",
        str: "a text",
        int: "a number",
        float: "a number",
        bool: "true or false",
        type(None): "nothing",
    }.get(type(data), "something else")


def _from_media(path: Path) -> Any:
    """The workflow inside a saved mp4 or PNG."""
    if path.suffix.lower() == ".png":
        from PIL import Image

        tags = dict(Image.open(path).info)
    else:
        from ...media.video import probe

        tags = probe(path).metadata
    for key in ("workflow", "prompt"):
        if key in tags:
            return json.loads(tags[key])
    raise SoraError(f"{path} carries no workflow: it was saved without metadata, or by another program.")
