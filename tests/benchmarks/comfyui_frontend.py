"""Every workflow of the pack in ComfyUI's own frontend, in a headless Chromium: no red node, nothing missing.

    pip install playwright                # the driver; the browser is the system's (Debian: apt-get install chromium)
    python tests/benchmarks/comfyui_frontend.py --url http://127.0.0.1:8188 --out FOLDER [--chromium PATH]

A ComfyUI with the pack in custom_nodes must run at --url. Checks that the frontend registers exactly the pack's node
ids with their widgets in their places, opens every workflow as a template of the pack, as an artist does, and compares
the widgets with the saved ones. A graph with an unknown node is opened last: the check must see that one. Writes
pictures to FOLDER, prints JSON, and ends with 1 where anything is wrong.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _paths import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page


FROZEN = json.loads((ROOT / "tests" / "frozen_nodes.json").read_text(encoding="utf-8"))
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Widgets of the frontend's own, which the pack does not name; what only displays is not saved.
BUTTONS, DISPLAYS = {"control_after_generate", "upload"}, {"video-preview", "$$canvas-image-preview"}
NODES_WRONG = ("missing", "not frozen", "red", "moved", "not the default")
NOTES = ["Note", "MarkdownNote"]  # the frontend's own nodes, which no server knows
TOURS = ["Comfy.OnboardingCoachmarks.Seen", ["appMode", "firstRun"]]
PICTURED = 8  # nodes on one picture
READY = "() => window.app?.graph && window.LiteGraph?.registered_node_types?.['SoraSampler']"
# A node is red when its type is not the server's, or an error was noted.
STATE = """known => app.graph._nodes.map(node => ({
    id: node.id, type: node.type, red: !!node.has_errors, known: known.includes(node.type),
    loose: (node.inputs ?? []).filter(i => !i.widget && i.link == null && i.shape !== 7).map(i => i.name),
    widgets: (node.widgets ?? []).filter(w => w.serialize !== false).map(w => [w.name, w.value]),
}))"""
PLACE = """([ids, first]) => {
    app.graph.clear();
    let left = 0, top = 0, height = 0;
    ids.forEach((id, i) => {
        const node = LiteGraph.createNode(id);
        node.id = first + i;  // the frontend remembers values by number and name
        app.graph.add(node);
        if (i && i % 4 === 0) { left = 0; top += height + 80; height = 0; }
        node.pos = [left, top];
        left += node.size[0] + 40;
        height = Math.max(height, node.size[1]);
    });
}"""
# As the dialog of templates does it.
OPEN = """([url, name]) => fetch(url).then(r => r.json()).then(graph => app.loadGraphData(graph, true, true, name))"""
# Out of app mode, in which the shared workflows open.
TO_GRAPH = """async () => {
    if (!app.canvas.canvas.checkVisibility()) await app.extensionManager.command.execute('Comfy.ToggleLinear');
}"""
# On a canvas that shows all of the graph.
SHOW_ALL = """() => {
    const nodes = app.graph._nodes, ds = app.canvas.ds, box = app.canvas.canvas.getBoundingClientRect();
    const left = Math.min(...nodes.map(n => n.pos[0])), top = Math.min(...nodes.map(n => n.pos[1])) - 40;
    const right = Math.max(...nodes.map(n => n.pos[0] + n.size[0]));
    const bottom = Math.max(...nodes.map(n => n.pos[1] + n.size[1]));
    ds.scale = Math.min((box.width - 140) / (right - left), (box.height - 140) / (bottom - top), 1.2);
    ds.offset = [80 / ds.scale - left, 90 / ds.scale - top];
    app.canvas.setDirty(true, true);
}"""


def photograph(page: Page, path: Path) -> None:
    page.keyboard.press("Escape")
    page.evaluate(TO_GRAPH)
    page.evaluate(SHOW_ALL)
    page.wait_for_timeout(1500)
    page.screenshot(path=path)


def open_frontend(page: Page, url: str) -> None:
    page.goto(url)
    page.wait_for_function(READY, timeout=120_000)
    page.wait_for_timeout(2000)


def past_the_welcome(page: Page) -> None:
    """Leave the dialogs of a first start behind."""
    page.evaluate("([name, seen]) => app.extensionManager.setting.set(name, seen)", TOURS)
    for _ in range(3):
        page.keyboard.press("Escape")
        page.wait_for_timeout(400)


def red(page: Page, state: list[dict]) -> list[str]:
    """Nodes that are red or missing, and what the frontend itself complains of."""
    complaints = page.locator("text=/missing (node|model|input)|failed to load|not installed/i").all_inner_texts()
    return [f"{node['type']} ({node['id']})" for node in state if node["red"] or not node["known"]] + complaints


def saved_widgets(path: Path) -> dict[Any, list]:
    graph = json.loads(path.read_text(encoding="utf-8"))
    return {str(node["id"]): node.get("widgets_values") or [] for node in graph["nodes"]}


def shown_widgets(node: dict) -> list:
    return [value for name, value in node["widgets"] if name not in DISPLAYS]


def look(page: Page) -> list[dict]:
    """What is on the canvas."""
    known = page.evaluate("() => fetch('/object_info').then(r => r.json()).then(Object.keys)")
    return page.evaluate(STATE, [*known, *NOTES])


def frozen_widgets(node: dict) -> list[str]:
    """Names of the widgets as they are frozen; a choice that brings options is followed by those of what is chosen."""
    made = []
    for widget in FROZEN[node["type"]]["widgets"]:
        choices = widget if isinstance(widget, dict) else {widget: {}}
        for name, options in choices.items():
            made += [name, *(f"{name}.{option}" for option in options.get(dict(node["widgets"])[name], ()))]
    return made


def all_nodes(page: Page, url: str, out: Path) -> dict[str, Any]:
    """The pack's nodes as the frontend knows them, one of each on the canvas."""
    open_frontend(page, url)
    past_the_welcome(page)
    known = page.evaluate("() => Object.keys(LiteGraph.registered_node_types)")
    python = page.evaluate("() => fetch('/object_info').then(r => r.json())")
    ours = sorted(n for n, info in python.items() if n.startswith("Sora") and n in FROZEN)
    others = sorted(n for n in python if n.startswith("Sora") and n not in FROZEN and n != "SoraBenchmarkWords")
    state, ids = [], list(FROZEN)
    for start in range(0, len(ids), PICTURED):
        page.evaluate(PLACE, [ids[start : start + PICTURED], start + 1])
        state += look(page)
        photograph(page, out / f"nodes_{1 + start // PICTURED}.png")
    moved, other = {}, {}
    for node in state:
        inputs = python[node["type"]]["input"]
        given = {
            n: v[1].get("default")
            for part in ("required", "optional")
            for n, v in inputs.get(part, {}).items()
            if len(v) > 1 and v[1].get("default") is not None
        }
        other |= {f"{node['type']}.{n}": v for n, v in node["widgets"] if n in given and v != given[n]}
        shown = [name for name, _ in node["widgets"] if name not in BUTTONS | DISPLAYS]
        if shown != frozen_widgets(node):
            moved[node["type"]] = {"frozen": frozen_widgets(node), "shown": shown}
    return {
        "registered": len(set(FROZEN) & set(ours) & set(known)),
        "missing": sorted(set(FROZEN) - (set(ours) & set(known))),
        "not frozen": others,
        "red": red(page, state),
        "moved": moved,
        "not the default": other,
    }


def loaders(path: Path) -> set[str]:
    """Nodes of a workflow that read a file which somebody has to fetch, as `red` names them."""
    nodes = json.loads(path.read_text(encoding="utf-8"))["nodes"]
    return {f"{node['type']} ({node['id']})" for node in nodes if node["properties"].get("models")}


def red_in(page: Page, state: list[dict], path: Path) -> list[str]:
    """What is red in a workflow, but for loaders whose files are missing."""
    seen, fetch = red(page, state), loaders(path)
    # What the frontend says of missing models is right there.
    return [what for what in seen if what.endswith(")") and what not in fetch] if fetch else seen


def workflow(page: Page, pack: str, path: Path, out: Path) -> dict[str, Any]:
    """One workflow, opened as a template of the pack."""
    page.evaluate(OPEN, [f"/api/workflow_templates/{pack}/{path.stem}.json", path.stem])
    saved = saved_widgets(path)
    page.wait_for_timeout(1500)
    state = look(page)
    photograph(page, out / f"{path.stem}.png")
    changed = {
        f"{node['type']} ({node['id']})": {"saved": saved[str(node["id"])], "shown": shown_widgets(node)}
        for node in state
        if shown_widgets(node) != saved[str(node["id"])]
    }
    loose = {f"{node['type']} ({node['id']})": node["loose"] for node in state if node["loose"]}
    return {"nodes": len(state), "red": red_in(page, state, path), "not connected": loose, "changed": changed}


def control(page: Page, out: Path) -> list[str]:
    """What the check sees in a graph with a node that nobody has."""
    graph = json.loads((ROOT / "workflows" / "text_to_video.json").read_text(encoding="utf-8"))
    next(n for n in graph["nodes"] if n["type"] == "SoraSampler")["type"] = "SoraNoSuchNode"
    page.evaluate("graph => app.loadGraphData(graph)", graph)
    page.wait_for_timeout(2000)
    made = red(page, look(page))
    photograph(page, out / "control.png")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8188", help="a running ComfyUI with the pack")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="the browser's program")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    from playwright.sync_api import sync_playwright

    url, made = args.url.rstrip("/"), {}
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=args.chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1680, "height": 1000})
        page.set_default_timeout(120_000)
        made["nodes"] = all_nodes(page, url, args.out)
        packs = page.evaluate("() => fetch('/api/workflow_templates').then(r => r.json())")
        names = {path.stem for path in (ROOT / "workflows").glob("*.json")}
        pack = next(name for name, listed in packs.items() if names <= set(listed))
        for path in sorted((ROOT / "workflows").glob("*.json")):
            made[path.stem] = workflow(page, pack, path, args.out)
            print(path.stem, made[path.stem], file=sys.stderr, flush=True)
        made["unknown node is seen"] = control(page, args.out)
        browser.close()
    print(json.dumps(made, indent=2))
    wrong = any(made["nodes"][k] for k in NODES_WRONG) or not made["unknown node is seen"]
    wrong = wrong or any(v["red"] or v["not connected"] or v["changed"] for k, v in made.items() if k in names)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
