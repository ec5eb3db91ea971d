"""How the UI format writes links and subgraphs."""

from __future__ import annotations

from typing import Any

from ...words import short


def definitions(data: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    """List the subgraphs that a workflow defines, by id."""
    return {d["id"]: d for d in (data.get("definitions") or {}).get("subgraphs") or []}


def read_link(entry: Any) -> tuple[Any, tuple[Any, int, Any, int]]:
    """Read a link as `id, (origin node, origin slot, target node, target slot)`.

    Old files hold it as a list, new ones as an object. Raises TypeError for slots that are no numbers.
    """
    if isinstance(entry, dict):
        entry = [entry[name] for name in ("id", "origin_id", "origin_slot", "target_id", "target_slot")]
    link_id, origin, origin_slot, target, target_slot = entry[:5]
    for slot in (origin_slot, target_slot):
        if not isinstance(slot, int):
            raise TypeError(f"the slot {short(slot)} of link {short(link_id)} is no whole number")
    return link_id, (origin, origin_slot, target, target_slot)


def cut_link(data: dict[str, Any], socket: dict[str, Any]) -> None:
    """Take the link that leads to an input out of its graph."""
    cut, socket["link"] = socket["link"], None
    data["links"] = [entry for entry in data.get("links") or [] if entry and read_link(entry)[0] != cut]
    for output in (output for node in data["nodes"] for output in node.get("outputs") or []):
        output["links"] = [link for link in output.get("links") or [] if link != cut]
