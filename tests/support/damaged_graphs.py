"""Damages workflows at random: entries lost, doubled, moved, and things where others belong."""

from __future__ import annotations

import contextlib
import copy
import math
import random
from collections.abc import Iterator
from typing import Any

ODD: list[Any] = [
    *(None, True, False, 0, -1, 1, 2, 4, 10**18, 10**400, math.nan, math.inf, 0.5),
    *("", "x", "-10", "a" * 2000, "\ud800", "\x1b[2J", "PrimitiveNode", "Reroute", "SetNode", "GetNode", "workflow>G"),
    *([], {}, [[]], [None], {"a": None}, [1, 2, 3, 4, 5, 6], {"id": 1}, {"nodes": []}, [["1", "seed"]]),
]
KINDS = ("Reroute", "SetNode", "GetNode", "PrimitiveNode", 2, 4)
ENDS = (-1, -10, -20, 0, 99)


def places(part: Any) -> Iterator[tuple[Any, Any]]:
    """Every entry of parsed JSON: what holds it, and its key or index."""
    for key in part if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ():
        yield part, key
        yield from places(part[key])


def damaged(graph: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """A copy with one to six damages."""
    graph = copy.deepcopy(graph)
    known = list(places(graph))
    for _ in range(draw.choice((1, 1, 1, 2, 3, 6))):
        holder, key = draw.choice(known)
        # What an earlier damage took away cannot be damaged again.
        with contextlib.suppress(KeyError, IndexError, TypeError, AttributeError):
            _damage(graph, draw, known, holder, key)
    return graph


def _damage(graph: dict[str, Any], draw: random.Random, known: list[tuple[Any, Any]], holder: Any, key: Any) -> None:
    kind = draw.random()
    if kind < 0.2:
        del holder[key]
    elif kind < 0.5:
        holder[key] = copy.deepcopy(draw.choice(ODD))
    elif kind < 0.65:
        other, place = draw.choice(known)
        holder[key] = copy.deepcopy(other[place])
    elif kind < 0.75:
        holder.append(copy.deepcopy(holder[key]))
    elif kind < 0.9:
        node, other = draw.choice(graph["nodes"]), draw.choice(graph["nodes"])
        node[draw.choice(("mode", "type", "id"))] = draw.choice((*KINDS, other["id"], other["type"]))
    else:
        link, other = draw.choice(graph["links"]), draw.choice(graph["links"])
        link[draw.randrange(1, 5)] = draw.choice((*ENDS, link[1], link[3], other[1]))
