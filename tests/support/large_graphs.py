"""Workflows of any size, drawn in few words: a shape of graph each, for which the time to read it is measured."""

from __future__ import annotations

from typing import Any

from drawn_graphs import canvas, node
from hostile_shared import node as api_node


def one(node_id: int) -> dict[str, Any]:
    return node(node_id, "PrimitiveInt", [1])


def shown(node_id: int, link: int | None) -> dict[str, Any]:
    return node(node_id, "PreviewAny", [], [("source", "*", link)])


def fan(count: int) -> dict[str, Any]:
    users = {str(i): api_node("PreviewAny", source=["0", 0]) for i in range(1, count)}
    return {"0": api_node("PrimitiveInt", value=1)} | users


def defined(nodes: list[dict[str, Any]], fed: list[tuple[int, int, int]], inputs: int) -> dict[str, Any]:
    """The definition of a subgraph. fed: number of the input, node and slot that it leads to."""
    links = [
        {"id": i + 1, "origin_id": -10, "origin_slot": slot, "target_id": target, "target_slot": place, "type": "*"}
        for i, (slot, target, place) in enumerate(fed)
    ]
    named = [{"name": f"a{k}"} for k in range(inputs)]
    return {"subgraphs": [{"id": "s", "inputs": named, "outputs": [], "nodes": nodes, "links": links}]}


def instances(count: int) -> dict[str, Any]:
    """One node that feeds many instances of a subgraph."""
    many = [node(i, "s", [], [("a0", "*", i)]) for i in range(1, count // 2)]
    links = [[i, 0, 0, i, 0, "*"] for i in range(1, count // 2)]
    return canvas([one(0), *many], links, definitions=defined([shown(1, 1)], [(0, 1, 0)], 1))


def wide_instances(count: int, width: int) -> dict[str, Any]:
    """Instances of a subgraph that has many inputs."""
    many = [node(i, "s") for i in range(1, count)]
    return canvas([one(0), *many], definitions=defined([shown(1, 1)], [(width - 1, 1, 0)], width))


def linked_instance(count: int) -> dict[str, Any]:
    """One instance with as many inputs as there are nodes inside, all of them linked."""
    inside = defined([shown(k, k + 1) for k in range(count)], [(k, k, 0) for k in range(count)], count)
    sockets = [(f"a{k}", "*", k) for k in range(count)]
    links = [[k, -1, 0, -2, k, "*"] for k in range(count)]
    return canvas([one(-1), node(-2, "s", [], sockets)], links, definitions=inside)


def typed_instance(count: int) -> dict[str, Any]:
    """One instance with as many widgets as there are nodes inside, all of them typed."""
    nodes = [node(k, "PrimitiveInt", [1], [("value", "INT", k + 1, True)]) for k in range(count)]
    inside = defined(nodes, [(k, k, 0) for k in range(count)], count)
    instance = node(-2, "s", list(range(count)), [(f"a{k}", "*", None, True) for k in range(count)])
    return canvas([instance, one(-1), shown(-3, 1)], [[1, -1, 0, -3, 0, "*"]], definitions=inside)


def pairs(count: int, slip: str = "") -> dict[str, Any]:
    """Pairs of Set and Get nodes; with a `slip`, each Get asks for a name that nothing sets."""
    nodes, links = [], []
    for i in range(0, count, 4):
        setter, getter = node(i + 1, "SetNode", [f"n{i}"], [("v", "*", i + 1)]), node(i + 2, "GetNode", [f"n{i}{slip}"])
        nodes += [one(i), setter, getter, shown(i + 3, i + 2)]
        links += [[i + 1, i, 0, i + 1, 0, "*"], [i + 2, i + 2, 0, i + 3, 0, "*"]]
    return canvas(nodes, links)


def notes(count: int) -> dict[str, Any]:
    many = [node(i, "Note", ["x" * 100]) for i in range(2, count)]
    return canvas([one(0), shown(1, 1), *many], [[1, 0, 0, 1, 0, "*"]])


def wide(count: int) -> dict[str, Any]:
    """A node with more inputs than its type has."""
    sockets = [("source", "*", 0)] + [(f"source{k}", "*", k) for k in range(1, count)]
    return canvas([one(0), node(1, "PreviewAny", [], sockets)], [[k, 0, 0, 1, k, "*"] for k in range(count)])


def bypassed(count: int) -> dict[str, Any]:
    """A wide node that is bypassed: each output looks for an input of its type, which is the last."""
    passed = node(1, "Wide", [], [(f"i{k}", "INT" if k == count - 1 else f"T{k}", k + 1) for k in range(count)], mode=4)
    passed["outputs"] = [{"name": "o", "type": "INT"} for _ in range(count)]
    links = [[k + 1, 0, 0, 1, k, "*"] for k in range(count)]
    links += [[count + k + 1, 1, k, k + 2, 0, "*"] for k in range(count)]
    return canvas([one(0), passed, *(shown(k + 2, count + k + 1) for k in range(count))][:9_000], links)


def row_into_instances(count: int) -> dict[str, Any]:
    """A long row of reroutes that feeds many instances: each follows its link out and along the row."""
    length = count // 2
    nodes = [one(0)] + [node(i, "Reroute", [], [("", "*", i)]) for i in range(1, length)]
    links = [[i, i - 1, 0, i, 0, "*"] for i in range(1, length)]
    for i in range(count, count + count // 4):
        nodes.append(node(i, "s", [], [("a0", "*", i)]))
        links.append([i, length - 1, 0, i, 0, "*"])
    return canvas(nodes, links, definitions=defined([shown(1, 1)], [(0, 1, 0)], 1))


def muted(count: int) -> dict[str, Any]:
    nodes = [one(0) | {"mode": 2}, *(shown(i, i) for i in range(1, count))]
    return canvas(nodes, [[i, 0, 0, i, 0, "*"] for i in range(1, count)])


def groups(count: int, width: int = 1) -> dict[str, Any]:
    """Many nodes of one group; width: how many nodes it shows an input of."""
    inside: list[dict[str, Any]] = [{"type": "PrimitiveInt", "widgets_values": [1], "outputs": [{"type": "INT"}]}]
    inside += [{"type": "PreviewAny", "inputs": [{"name": "source", "type": "*"}]} for _ in range(width)]
    group = {"nodes": inside, "links": [[0, 0, 1, 0, 1, "INT"]]}
    return canvas([node(i, "workflow>G", [i]) for i in range(count // 4)], extra={"groupNodes": {"G": group}})


# By the name of the shape.
LARGE = {
    "a fan": fan,
    "instances": instances,
    "one instance, linked": linked_instance,
    "one instance, typed": typed_instance,
    "pairs": pairs,
    "pairs without a Set": lambda count: pairs(count, "x"),
    "notes": notes,
    "a wide node": wide,
    "a bypassed node": lambda count: bypassed(count // 2),
    "a row into instances": row_into_instances,
    "a muted source": muted,
    "group nodes": groups,
}
