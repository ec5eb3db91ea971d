"""Reads workflows: from parsed JSON, from a JSON file, from a video or picture that carries one.

Two formats exist. The UI format is what the frontend saves: node positions, links, a list of widget values
(`uigraph.py` reads it). The API format is what it sends to be run: `{id: {class_type, inputs}}`, where a link is
`[node id, output index]`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import SoraError, expect
from ...files import exists
from ...words import short
from ..packs import Registry
from .embedded import kind_of, read_embedded
from .text import read_json
from .uigraph import read_ui
from .workflow import Link, Node, Workflow, text_of


def load_workflow(path: str | Path, registry: Registry) -> Workflow:
    """Read a workflow file: JSON in either format, or a video or picture that carries its workflow.

    Raises SoraError when the file is missing, is not JSON, or is not a workflow.
    """
    path = Path(path)
    expect(exists(path), f"There is no file {str(path)!r}: give the path of a workflow JSON.")
    expect(path.is_file(), f"{str(path)!r} is a folder: give the path of a workflow JSON.")
    try:
        with open(path, "rb") as file:
            # By its first bytes: a download may have lost its suffix.
            kind = kind_of(file.read(16))
        if kind:
            return parse_workflow(read_embedded(path, kind), registry, path.name)
        raw = path.read_bytes()
    except OSError as error:
        raise SoraError(f"{path} cannot be read ({error.strerror}): check its rights.") from error
    expect(bool(raw.strip()), f"{path} is not JSON, it is empty: export the workflow again.")
    return parse_workflow(read_json(raw, str(path)), registry, path.name)


def parse_workflow(data: Any, registry: Registry, name: str = "workflow") -> Workflow:
    """Read parsed JSON in either format. Raises SoraError if it is neither."""
    expect(isinstance(data, dict), f"{name} is not a workflow: it holds {_kind(data)}, not an object with nodes.")
    if isinstance(data.get("nodes"), list):
        return read_ui(data, registry, name)
    # What a frontend posts has the API format one level down. A node may have the id "prompt" too.
    if isinstance(data.get("prompt"), dict) and "class_type" not in data["prompt"]:
        extra = _object(data.get("extra_data"), name, "extra_data")
        source = _object(extra.get("extra_pnginfo"), name, "extra_pnginfo").get("workflow")
        return _read_api(data["prompt"], name, source if isinstance(source, dict) else None)
    return _read_api(data, name, None)


def _read_api(data: dict[str, Any], name: str, source: dict | None) -> Workflow:
    expect(bool(data), f"{name} is not a workflow: it is empty.")
    nodes: dict[str, Node] = {}
    for node_id, entry in data.items():
        expect(
            isinstance(entry, dict) and isinstance(entry.get("class_type"), str),
            f"{name} is not a workflow: entry {short(node_id)} has no class_type. "
            "Give a file saved by the frontend (File > Save or Export API).",
        )
        inputs = _object(entry.get("inputs"), name, f"the inputs of node {node_id}")
        meta = _object(entry.get("_meta"), name, f"_meta of node {node_id}")
        values = {input_name: _value(value) for input_name, value in inputs.items()}
        pack = text_of(meta.get("cnr_id")) or text_of(meta.get("aux_id"))
        nodes[node_id] = Node(
            node_id, entry["class_type"], values, text_of(meta.get("title")), pack, widgets=dict(values)
        )
    return Workflow(nodes, source, name)


def _object(value: Any, name: str, what: str) -> dict[str, Any]:
    """Return an object of a file, empty where there is none. Raises SoraError for anything else."""
    expect(value is None or isinstance(value, dict), f"{name}: {what} must be an object by name, not {_kind(value)}.")
    return value or {}


def _value(value: Any) -> Any:
    """Convert an input of the API format: `[node id, output index]` is a link, a list as a value is wrapped."""
    match value:
        case {"__value__": wrapped} if len(value) == 1:
            return wrapped
        case [str(node), int(slot)] if isinstance(value, list) and not isinstance(slot, bool):
            return Link(node, slot)
    return value


def _kind(data: Any) -> str:
    """Name what a JSON file holds in place of an object."""
    names = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false"}
    return "nothing" if data is None else names.get(type(data), "something else")
