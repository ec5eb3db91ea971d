"""Workflows as the frontend saves them, drawn in few words, and what a host says of bad ones."""

from __future__ import annotations

import pytest

from sora_core.host.graph.validate import WorkflowError


def node(node_id, kind, widgets=(), inputs=(), mode=0, **more):
    """A node as the frontend saves it. inputs: (name, type, link), a fourth where it has a widget."""
    sockets = [
        {"name": name, "type": typ, "link": link, **({"widget": {"name": name}} if shown else {})}
        for name, typ, link, *shown in inputs
    ]
    return {
        "id": node_id,
        "type": kind,
        "mode": mode,
        "inputs": sockets,
        "outputs": [{"name": "INT", "type": "INT", "links": []}],
        "properties": {},
        "widgets_values": list(widgets),
        **more,
    }


def canvas(nodes, links=(), **more):
    return {"nodes": nodes, "links": list(links), "version": 0.4, **more}


def write(link, node_id=9, prefix="tiny"):
    return node(node_id, "TinyWrite", [prefix], [("value", "*", link)])


def refusal(host, flow):
    with pytest.raises(WorkflowError) as error:
        host.run(flow)
    assert len(str(error.value).splitlines()) <= 2
    return str(error.value)
