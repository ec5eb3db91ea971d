"""The texts that a file carries beside its pixels: which of them are the graph that made it."""

from __future__ import annotations

import json
from collections.abc import Mapping

GRAPH_TAGS = ("workflow", "prompt")  # the UI format and the API format, as ComfyUI names them


def is_graph(name: str, text: str) -> bool:
    """Tell whether a tag is the graph that made a file: by its name, or a comment that holds one."""
    if name.lower() in GRAPH_TAGS:
        return True
    return name.lower() == "comment" and bool(graph_in_comment(text))


def graph_in_comment(text: str) -> dict[str, object]:
    """Return the graphs by name in a comment of JSON, as some packs write it into videos; none in any other text."""
    if not text.lstrip().startswith("{"):
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return {name: found[name] for name in GRAPH_TAGS if found.get(name)}


def without_graph(tags: Mapping[str, str]) -> dict[str, str]:
    """Leave the graph out of a file's tags: what is made of the file was made by another."""
    return {name: text for name, text in tags.items() if not is_graph(name, text)}
