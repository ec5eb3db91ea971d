"""How the UI format writes links and subgraphs."""

from __future__ import annotations

from typing import Any


def definitions(data: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    """List the subgraphs that a workflow defines, by id."""
    return {d["id"]: d for d in (data.get("definitions") or {}).get("subgraphs") or []}


def read_link(entry: Any) -> tuple[Any, tuple[Any, int, Any, int]]:
    """Read a link as `id, (origin node, origin slot, target node, target slot)`.

    Old files hold it as a list, new ones as an object.
    """
    if isinstance(entry, dict):
        return entry["id"], (entry["origin_id"], entry["origin_slot"], entry["target_id"], entry["target_slot"])
    link_id, origin, origin_slot, target, target_slot = entry[:5]
    return link_id, (origin, origin_slot, target, target_slot)


def cut_link(data: dict[str, Any], socket: dict[str, Any]) -> None:
    """Take the link that leads to an input out of its graph."""
    cut, socket["link"] = socket["link"], None
    data["links"] = [entry for entry in data.get("links") or [] if entry and read_link(entry)[0] != cut]
    for output in (output for node in data["nodes"] for output in node.get("outputs") or []):
        output["links"] = [link for link in output.get("links") or [] if link != cut]
