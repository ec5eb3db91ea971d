"""Values on the instances of subgraphs: ours against those of ComfyUI's own frontend, in a headless Chromium.

    pip install playwright                # the driver; the browser is the system's (Debian: apt-get install chromium)
    python tests/benchmarks/comfyui_subgraphs.py --url http://127.0.0.1:8188 --templates FOLDER [--graphs 20]

A ComfyUI must run at --url. FOLDER holds saved workflows: those of its own version's package
comfyui-workflow-templates-json, as a frontend finds no widget on a node that its server does not know. Opens as many of
those with subgraphs as asked for (0: all), spread evenly, asks the frontend for what it would send to be run, and
compares every value that comes from an instance with what our reader gives the same node. Prints JSON, and ends with 1
where any differs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _paths import ROOT
from comfyui_frontend import FLAGS

if TYPE_CHECKING:
    from playwright.sync_api import Page

sys.path.insert(0, str(ROOT))
from sora_core.host.graph.scopes import SUBGRAPH_IN
from sora_core.host.graph.uigraph import read_ui
from sora_core.host.packs import Registry

READY = "() => window.app?.graph && window.LiteGraph?.registered_node_types?.['KSampler']"
SENT = """async graph => {
    app.graph.clear();
    await app.loadGraphData(graph, true, false);
    return (await app.graphToPrompt()).output;
}"""
NONE = "no value"  # the inner node's own is in force


def graphs_in(folder: Path, most: int) -> dict[str, dict]:
    """The saved workflows of a folder that have subgraphs, as many as asked for, spread evenly."""
    found = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    with_subgraphs = {
        name: data
        for name, data in found.items()
        if isinstance(data, dict) and isinstance(data.get("nodes"), list) and definitions(data)
    }
    names = list(with_subgraphs)
    chosen = [names[i * len(names) // most] for i in range(min(most, len(names)))] if most else names
    return {name: with_subgraphs[name] for name in chosen}


def definitions(graph: dict) -> dict[str, dict]:
    return {d["id"]: d for d in (graph.get("definitions") or {}).get("subgraphs") or []}


def promoted(graph: dict, part: dict, prefix: str = "") -> list[tuple[str, str, list]]:
    """All inputs within subgraphs that are fed from outside: id of the node, name, what widgets hold there."""
    fed = []
    for entry in part["nodes"]:
        definition = definitions(graph).get(entry["type"])
        if definition is None or entry.get("mode", 0) in (2, 4):
            continue
        inside = f"{prefix}{entry['id']}:"
        nodes = {node["id"]: node for node in definition["nodes"]}
        own: dict[int, list] = {}  # what the widgets inside hold, by the input that feeds them
        for link in definition["links"]:
            if link["origin_id"] == SUBGRAPH_IN and link["target_id"] in nodes:
                own.setdefault(link["origin_slot"], []).extend(nodes[link["target_id"]].get("widgets_values") or [])
        for link in definition["links"]:
            node = nodes.get(link["target_id"])
            if link["origin_id"] == SUBGRAPH_IN and node is not None and node["type"] not in definitions(graph):
                name = node["inputs"][link["target_slot"]]["name"]
                fed.append((f"{inside}{node['id']}", name, own[link["origin_slot"]]))
        fed += promoted(graph, definition, inside)
    return fed


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, (int, float)) and isinstance(theirs, (int, float)):
        return abs(ours - theirs) <= 1e-9 * max(1.0, abs(theirs))
    return ours == theirs


def compare(graph: dict, sent: dict[str, dict]) -> tuple[int, list[dict]]:
    """How many values were compared, and those that differ."""
    nodes = read_ui(graph, Registry(), "graph").nodes
    compared, wrong = 0, []
    for node_id, name, own in promoted(graph, graph):
        if node_id not in sent or sent[node_id].get("class_type") is None or node_id not in nodes:
            continue
        theirs = sent[node_id]["inputs"].get(name, NONE)
        ours = nodes[node_id].inputs.get(name, NONE)
        if isinstance(theirs, dict) and "__value__" in theirs:
            theirs = theirs["__value__"]
        elif isinstance(theirs, list) and len(theirs) == 2:
            continue  # linked outside: no value of the instance
        compared += 1
        # Nothing is typed, and what the widgets inside hold is left alone for a node that we do not know: theirs must
        # be one of those values.
        if not (same(ours, theirs) or (ours == NONE and any(same(value, theirs) for value in own))):
            wrong.append({"node": node_id, "input": name, "ours": str(ours), "theirs": str(theirs)})
    return compared, wrong


def ask(page: Page, graphs: dict[str, dict]) -> dict[str, Any]:
    made: dict[str, Any] = {"graphs": 0, "values": 0, "wrong": {}, "not opened": {}}
    for name, graph in graphs.items():
        try:
            sent = page.evaluate(SENT, graph)
        except Exception as error:  # a graph that the frontend itself cannot open
            made["not opened"][name] = str(error).splitlines()[0]
            continue
        compared, wrong = compare(graph, sent)
        made["graphs"] += 1
        made["values"] += compared
        if wrong:
            made["wrong"][name] = wrong
        page.keyboard.press("Escape")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8188", help="a running ComfyUI")
    parser.add_argument("--templates", type=Path, required=True, help="folder of saved workflows")
    parser.add_argument("--graphs", type=int, default=20, help="how many to open; 0: all")
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="the browser's program")
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=args.chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1200, "height": 800})
        page.set_default_timeout(120_000)
        page.goto(args.url)
        page.wait_for_function(READY)
        page.wait_for_timeout(2000)
        version = page.evaluate("() => window.__COMFYUI_FRONTEND_VERSION__")
        made = {"frontend": version, **ask(page, graphs_in(args.templates, args.graphs))}
        browser.close()
    print(json.dumps(made, indent=2))
    sys.exit(bool(made["wrong"]) or not made["values"])


if __name__ == "__main__":
    main()
