"""Words for a workflow whose nodes are not here: every type once, with the pack that brings it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...words import did_you_mean, listing, printable, short
from ..packs import Registry
from .groups import group_name
from .problems import Problem
from .workflow import Node

CORE = "comfy-core"  # what the frontend calls ComfyUI's own nodes
# A type that is no name but the id of a subgraph.
_SUBGRAPH = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I)


def missing_types(nodes: Sequence[Node], registry: Registry) -> Problem:
    """Say which types of these nodes are missing, each once, and where they are to be had."""
    first: dict[str, Node] = {}
    for node in nodes:
        known = first.setdefault(node.type, node)
        if known.pack is None and node.pack is not None:
            first[node.type] = node
    names = list(first)
    if len(names) == 1:
        message = _one(first[names[0]], nodes, registry)
    else:
        packs = {node.pack for node in first.values() if node.pack}
        with_packs = "" if packs <= {CORE} else ", with those packs installed"
        named = listing((_named(node) for node in first.values()), len(first))
        message = f"{len(names)} node types are not here: {named}. Run the workflow in ComfyUI{with_packs}."
    failed = [f"{pack.name} ({pack.error})" for pack in registry.packs if pack.error]
    if failed:
        message += f" These packs did not load: {listing(failed, 3)}."
    return Problem("missing_node_type", printable(message), nodes[0].id, nodes[0].type)


def _one(node: Node, nodes: Sequence[Node], registry: Registry) -> str:
    ids = listing((n.id for n in nodes), 3)
    where = f"Node{'s' if len(nodes) > 1 else ''} {ids}"
    if group := group_name(node.type):
        if not node.holds:
            return f"{where}: the file does not hold the group node {short(group)}: save the workflow again in ComfyUI."
        held = listing(node.holds, len(node.holds))
        return f"{where}: the group node {short(group)} holds types that are not here ({held}): run it in ComfyUI."
    if _SUBGRAPH.fullmatch(node.type):
        return f"{where}: the file does not hold the subgraph {short(node.type)}: save the workflow again in ComfyUI."
    # A type whose pack the file names is no slip of the pen.
    hint = "" if node.pack else did_you_mean(node.type, registry.nodes)
    install = "" if node.pack in (None, CORE) else f" with the pack {node.pack} installed"
    what = {None: "", CORE: ", one of ComfyUI's own"}.get(node.pack, f" (pack {node.pack})")
    return f"{where}: there is no node type {node.type!r} here{what}: " + (
        hint + " If not, run it in ComfyUI." if hint else f"run the workflow in ComfyUI{install}."
    )


def _named(node: Node) -> str:
    if _SUBGRAPH.fullmatch(node.type):
        return f"{node.type} (a subgraph that the file does not hold)"
    if group := group_name(node.type):
        held = f"which holds {listing(node.holds, len(node.holds))}" if node.holds else "that the file does not hold"
        return f"the group node {short(group)} ({held})"
    if node.pack is None:
        return node.type
    return f"{node.type} ({'ComfyUI' if node.pack == CORE else node.pack})"
