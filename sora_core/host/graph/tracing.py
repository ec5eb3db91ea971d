"""Follows a link back to what really feeds it: through reroutes, bypassed nodes, Set and Get pairs, subgraphs."""

from __future__ import annotations

from typing import Any

from ...words import short
from .scopes import (
    BYPASSED,
    GETTERS,
    MUTED,
    PRIMITIVE,
    REROUTES,
    SETTERS,
    SUBGRAPH_IN,
    Lost,
    Scope,
    Value,
    called,
    socket_at,
    type_of,
)
from .workflow import Link

Found = Link | Value | Lost | None


def trace(scope: Scope, link_id: Any) -> Found:
    """Follow a link back to the node that really feeds it; None when nothing does."""
    # Many links may lead through one long row of reroutes, and many instances to it: each link is walked once.
    start = scope
    passed: dict[tuple[int, Any], Scope] = {}
    while True:
        if link_id is None or link_id not in scope.part.links:
            found: Found = None
            break
        if link_id in scope.traced:
            found = scope.traced[link_id]
            break
        if (id(scope), link_id) in passed:
            found = _ring(scope, link_id)
            break
        passed[id(scope), link_id] = scope
        origin, slot, *_ = scope.part.links[link_id]
        step = _step(scope, origin, slot)
        if not isinstance(step, tuple) or isinstance(step, Link):
            found = step
            break
        scope, link_id = step
    for (_, walked), place in passed.items():
        place.traced[walked] = found
    # The frontend writes a primitive's value into the widget that it is linked to, and into none inside an instance.
    return None if isinstance(found, Value) and found.only not in (None, start) else found


def _step(scope: Scope, origin: Any, slot: int) -> tuple[Scope, Any] | Found:
    """Return the node or value that a link comes from, or the link before it, with its graph."""
    if origin == SUBGRAPH_IN and scope.parent is not None:
        return _outside(scope, slot)
    node = scope.part.nodes.get(origin)
    if node is None:
        # The message about the missing node comes from validation, which knows the input.
        return Link(f"{scope.prefix}{origin}", slot)
    if node.get("mode", 0) == MUTED:
        return Lost(f"its link comes from node {scope.prefix}{origin}, which is muted: unmute that or link another.")
    if node["type"] in GETTERS:
        return _setter(scope, node)
    if node.get("mode", 0) == BYPASSED:
        return _bypass(scope, node, slot)
    if node["type"] in (*REROUTES, *SETTERS):
        return _through(scope, node)
    if node["type"] == PRIMITIVE:
        values = node.get("widgets_values")
        value = scope.typed.get(str(origin), {}).get("value")
        if value is None and isinstance(values, list) and values:
            # An object has no first value: then the widget that it is linked to keeps its own, as in the frontend.
            value = values[0]
        return None if value is None else Value(value, scope)
    if origin in scope.inner:
        inner = scope.inner[origin]
        if slot not in inner.part.leaving:
            return Lost(
                f"its link comes from output {slot} of node {scope.prefix}{origin}, a subgraph in which nothing leads "
                "there: link that output inside, or another one."
            )
        return inner, inner.part.leaving[slot]
    return Link(f"{scope.prefix}{origin}", slot)


def _outside(scope: Scope, slot: int) -> tuple[Scope, Any] | Found:
    """Return what feeds the subgraph's input number `slot`: a link of the graph around, or a value."""
    if not 0 <= slot < len(scope.part.inputs):
        where = scope.prefix.removesuffix(":")
        return Lost(f"its link comes from input {slot} of the subgraph, node {where}, which has no such: link it anew.")
    outer = scope.sockets.get(scope.part.inputs[slot])
    if outer is not None and outer.get("link") is not None and scope.parent is not None:
        return scope.parent, outer["link"]
    value = scope.shown_value(slot)
    return None if value is None else Value(value)


def _through(scope: Scope, node: dict[str, Any]) -> tuple[Scope, Any] | Lost:
    """Return the link into a reroute or a Set node."""
    socket = socket_at(node.get("inputs"), 0)
    if socket is None or socket.get("link") is None:
        return Lost(f"its link comes through {_named(scope, node)}, into which nothing leads: link an output to that.")
    return scope, socket["link"]


def _setter(scope: Scope, getter: dict[str, Any]) -> tuple[Scope, Any] | Lost:
    """Find the link that a Get node stands for: the one that goes into the Set node of its name."""
    place: Scope | None = scope
    name = called(getter)
    while place is not None:
        if name in place.part.setters:
            return _through(place, place.part.setters[name])
        place = place.parent
    what = f"{_named(scope, getter)} gets {short(name)}"
    return Lost(f"{what}, which no Set node sets: {scope.told_set}. Link it directly.")


def _bypass(scope: Scope, node: dict[str, Any], slot: int) -> tuple[Scope, Any] | Lost:
    """Find the link that passes through a bypassed node: the input in the same place, or else the first of its type."""
    output = socket_at(node.get("outputs"), slot)
    if output is None:
        return Lost(
            f"its link comes from output {slot} of {_named(scope, node)}, which is bypassed and has no such output: "
            "link it anew."
        )
    wanted, passing = type_of(output), scope.part.passing[node["id"]]
    beside = socket_at(node.get("inputs"), slot)
    if beside is not None and (type_of(beside) in (wanted, "*") or wanted == "*"):
        return scope, beside.get("link")
    found = passing.get(wanted) or passing.get("" if wanted == "*" else "*")
    if found is not None:
        return scope, found.get("link")
    return Lost(
        f"its link comes from {_named(scope, node)}, which is bypassed and has no input of type {short(wanted)} to "
        "pass on: link another."
    )


def _ring(scope: Scope, link_id: Any) -> Lost:
    origin = scope.part.links[link_id][0]
    return Lost(
        f"its link leads round in a cycle of reroutes or bypassed nodes, through node {scope.prefix}{origin}: "
        "remove one of their links."
    )


def _named(scope: Scope, node: dict[str, Any]) -> str:
    return f"node {scope.prefix}{node['id']} ({node['type']})"
