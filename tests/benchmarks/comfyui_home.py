"""The pack on a fresh install of ComfyUI, as an artist meets it: templates, help pages, blueprints, app mode.

    pip install playwright                # the driver; the browser is the system's (Debian: apt-get install chromium)
    python tests/benchmarks/comfyui_home.py --comfyui FOLDER --python ITS_PYTHON --out FOLDER [--steps 2]

Starts that ComfyUI on the CPU with a new base directory: an empty input folder, no models, only this pack. Opens every
template that needs no further file in the real frontend, without a red node, and runs each to its end in a few steps.
Opens those for models of other makers, where only loaders whose files are missing may be red. Opens help pages in
English and Chinese, puts every blueprint on the canvas by the search dialog, and runs those that need no further file.
Opens a graph whose clip is missing: the check must see that one. Takes pictures of it all into --out, prints JSON, and
ends with 1 where anything is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _paths import ROOT
from comfyui_client import Comfy
from comfyui_frontend import FLAGS, OPEN, PLACE, SHOW_ALL, loaders, look, open_frontend, past_the_welcome, red, red_in

if TYPE_CHECKING:
    from playwright.sync_api import Page

PACK, SHOWN_AS = "sora_nodes", "Sora Nodes"  # its folder; its name in the dialog of templates
HELP = {"en": ("SoraExtend", "Typical use"), "zh": ("SoraSampler", "典型用法")}
APP = "extend"
# Few steps, a short long video; inside subgraphs too.
HASTEN = """steps => {
    const all = graph => graph._nodes.flatMap(n => [n, ...(n.subgraph ? all(n.subgraph) : [])]);
    for (const node of all(app.graph)) for (const widget of node.widgets ?? []) {
        if (widget.name === 'steps') widget.value = steps;
        if (node.type === 'SoraLongVideo' && widget.name === 'seconds') widget.value = 1;
    }
}"""
# As the button Run does it.
QUEUE = "async () => (await app.queuePrompt(0, 1)) ? null : JSON.stringify(app.lastNodeErrors)"
TEXT_HOWEVER_SMALL = "() => app.extensionManager.setting.set('LiteGraph.Canvas.MinFontSizeForLOD', 0)"
SAYS = "text => document.querySelector('.node-help-content')?.innerText.includes(text)"
# A blueprint between a loader and a saver, as somebody would wire it.
WIRE = """() => {
    const node = app.graph._nodes[0], add = (id, x) => {
        const made = LiteGraph.createNode(id);
        app.graph.add(made);
        made.pos = [x, node.pos[1]];
        return made;
    };
    const place = node.inputs.findIndex(i => i.type.split(',').includes('VIDEO'));
    if (place >= 0) {
        const loader = add('LoadVideo', node.pos[0] - 420);
        loader.widgets.find(w => w.name === 'file').value = 'sora_cat.mp4';
        loader.connect(0, node, place);
    }
    node.connect(0, add('SaveVideo', node.pos[0] + 480), 0);
    return [app.graph._nodes.length, (node.widgets ?? []).map(w => [w.name, w.value])];
}"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def fresh_comfyui(folder: Path, python: str) -> Iterator[tuple[str, Path]]:
    """A ComfyUI with a new base directory: (its address, the directory). It is stopped at the end."""
    with tempfile.TemporaryDirectory() as temporary:
        base, port = Path(temporary), free_port()
        for name in ("custom_nodes", "models", "input", "output", "user"):
            (base / name).mkdir()
        (base / "custom_nodes" / PACK).symlink_to(ROOT)
        url = f"http://127.0.0.1:{port}"
        command = [python, "main.py", "--cpu", "--port", str(port), "--base-directory", str(base)]
        with (base / "log").open("w") as log:
            environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
            server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment)
        try:
            for _ in range(240):
                try:
                    urllib.request.urlopen(f"{url}/system_stats").close()
                    break
                except OSError:
                    if server.poll() is not None:
                        sys.exit((base / "log").read_text(encoding="utf-8", errors="replace")[-4000:])
                    time.sleep(1)
            yield url, base
        finally:
            server.terminate()
            server.wait(60)


def finish(page: Page, comfy: Comfy) -> list[str]:
    """Queue what is on the canvas and wait for its end: what went wrong, in words."""
    before = set(json.loads(comfy.get("/history")))
    if refused := page.evaluate(QUEUE):
        return [refused[:600]]
    while not (made := set(history := json.loads(comfy.get("/history"))) - before):
        time.sleep(0.5)
    entry = history[made.pop()]
    saved = [name for output in entry["outputs"].values() for name in output.get("images", [])]
    failed = [data["exception_message"] for kind, data in entry["status"]["messages"] if kind == "execution_error"]
    return failed or ([] if any(file["filename"].endswith(".mp4") for file in saved) else ["no video was saved"])


def shoot(page: Page, path: Path, whole_graph: bool = True) -> None:
    if whole_graph:
        page.evaluate(SHOW_ALL)
    page.wait_for_timeout(1200)
    page.screenshot(path=path)


def templates(page: Page, comfy: Comfy, out: Path, steps: int) -> dict[str, Any]:
    made = {}
    for path in sorted((ROOT / "workflows").glob("*.json")):
        page.evaluate(OPEN, [f"/api/workflow_templates/{PACK}/{path.stem}.json", path.stem])
        page.wait_for_timeout(2000)
        fetch, state = loaders(path), look(page)
        entry: dict[str, Any] = {"nodes": len(state), "red": red_in(page, state, path)}
        if fetch:
            entry["to fetch"] = sorted(fetch)
            shoot(page, out / f"template_{path.stem}.png")
        else:
            if path.stem == APP:
                shoot(page, out / "app_mode.png", whole_graph=False)
            page.evaluate(HASTEN, steps)
            entry["failed"] = finish(page, comfy)
            if path.stem == APP:
                shoot(page, out / "app_mode_done.png", whole_graph=False)
        made[path.stem] = entry
        print(path.stem, entry, file=sys.stderr, flush=True)
    return made


def dialog(page: Page, out: Path) -> str:
    """The dialog of templates, at the pack's own: what it calls the pack."""
    page.evaluate("() => app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    entry = page.locator(f"text=/^({PACK}|{SHOWN_AS})$/").last
    entry.click()
    page.wait_for_timeout(3000)
    shoot(page, out / "templates.png", whole_graph=False)
    name = entry.inner_text()
    page.keyboard.press("Escape")
    page.wait_for_timeout(500)
    return name


def control(page: Page) -> list[str]:
    """What the check sees where a clip is missing."""
    graph = json.loads((ROOT / "workflows" / f"{APP}.json").read_text(encoding="utf-8"))
    next(n for n in graph["nodes"] if n["type"] == "LoadVideo")["widgets_values"][0] = "no_such_clip.mp4"
    graph["extra"] = {}
    page.evaluate("graph => app.loadGraphData(graph)", graph)
    page.wait_for_timeout(2500)
    return [what for what in red(page, look(page)) if what.startswith("LoadVideo")]


def help_page(page: Page, url: str, language: str, node: str, heading: str, out: Path) -> dict[str, Any]:
    """A node's help as the button on it opens it, and its picture."""
    page.evaluate("language => app.extensionManager.setting.set('Comfy.Locale', language)", language)
    open_frontend(page, url)
    past_the_welcome(page)
    page.evaluate(PLACE, [[node], 1])
    page.evaluate("() => { app.canvas.ds.scale = 1; app.canvas.ds.offset = [900, 200]; }")
    page.evaluate("() => app.canvas.selectNode(app.graph._nodes[0])")
    page.click('[data-testid="info-button"]')
    page.wait_for_function(SAYS, arg=heading)
    page.wait_for_timeout(1500)
    shoot(page, out / f"help_{language}.png", whole_graph=False)
    image = page.locator(".node-help-content img").first
    wide = image.evaluate("image => image.naturalWidth")
    page.locator(".node-help-content tr").nth(6).scroll_into_view_if_needed()
    shoot(page, out / f"help_{language}_inputs.png", whole_graph=False)
    return {"node": node, "picture": wide, "rows": page.locator(".node-help-content tr").count()}


def every_help_page(page: Page) -> list[str]:
    """Pages that the server does not give out, by node and language."""
    script = """async ids => (await Promise.all(ids.flatMap(id => ['/en', '/zh', ''].map(async lang => {
        const path = `/extensions/sora_nodes/docs/${id}${lang}.md`;
        return (await fetch(path)).ok ? null : path;
    })))).filter(Boolean)"""
    ids = page.evaluate("() => Object.keys(LiteGraph.registered_node_types).filter(id => /^Sora[A-Z]/.test(id))")
    return page.evaluate(script, ids) if ids else ["no node of ours"]


def blueprint(page: Page, comfy: Comfy, path: Path, out: Path, steps: int) -> dict[str, Any]:
    """One blueprint, found by its name in the search dialog, wired and, where it needs no further file, run."""
    page.evaluate("() => { app.graph.clear(); app.canvas.ds.scale = 1; app.canvas.ds.offset = [0, 0]; }")
    page.wait_for_timeout(500)
    page.mouse.dblclick(900, 560)
    page.wait_for_timeout(1200)
    page.keyboard.type(path.stem)
    page.wait_for_timeout(1800)
    if path.stem.startswith("Loop"):
        shoot(page, out / "blueprint_search.png", whole_graph=False)
    page.keyboard.press("Enter")
    page.wait_for_timeout(1200)
    page.mouse.click(900, 560)  # puts it down
    page.wait_for_timeout(800)
    count, widgets = page.evaluate(WIRE)
    page.wait_for_timeout(800)
    saved = json.loads(path.read_text(encoding="utf-8"))
    known = [node["type"] for node in look(page) if node["known"]]
    entry: dict[str, Any] = {
        "nodes": count,
        "changed": [] if [v for _, v in widgets] == saved["nodes"][0]["widgets_values"] else widgets,
    }
    shoot(page, out / f"blueprint_{path.stem}.png")
    inside = "() => { const node = app.graph._nodes[0]; app.canvas.openSubgraph(node.subgraph, node); }"
    page.evaluate(inside)
    page.wait_for_timeout(800)
    entry["inside"] = page.evaluate("() => app.canvas.graph._nodes.length")
    page.evaluate("() => { const at = app.canvas; at.setGraph(app.graph); }")
    text = json.dumps(saved["definitions"])
    if "UNETLoader" not in text:
        page.evaluate(HASTEN, steps)
        entry["failed"] = finish(page, comfy)
    entry["wired to"] = known
    print(path.stem, entry, file=sys.stderr, flush=True)
    return entry


def wrong(made: dict[str, Any]) -> list[str]:
    found = [f"{k}: {v}" for k, v in made["templates"].items() if v["red"] or v.get("failed")]
    found += [f"{k}: {v}" for k, v in made["blueprints"].items() if v["changed"] or v.get("failed") or v["inside"] < 2]
    found += [f"help {k}: {v}" for k, v in made["help"].items() if not (v["picture"] and v["rows"] > 5)]
    found += [f"no page {path}" for path in made["help pages missing"]]
    if made["the pack is called"] != SHOWN_AS:
        found.append(f"the pack is called {made['the pack is called']}")
    if not made["a missing clip is seen"]:
        found.append("a missing clip is not seen")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--comfyui", type=Path, required=True, help="the folder of a ComfyUI")
    parser.add_argument("--python", default=sys.executable, help="the Python that runs it")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="the browser's program")
    parser.add_argument("--steps", type=int, default=2, help="sampling steps")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    from playwright.sync_api import sync_playwright

    with fresh_comfyui(args.comfyui, args.python) as (url, base), sync_playwright() as driver:
        comfy = Comfy(url)
        there = sorted(path.name for path in (base / "input").iterdir() if path.is_file())
        made: dict[str, Any] = {"in the input folder, which was empty": there}
        browser = driver.chromium.launch(executable_path=args.chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1680, "height": 1000})
        page.set_default_timeout(60_000)
        open_frontend(page, url)
        past_the_welcome(page)
        page.evaluate(TEXT_HOWEVER_SMALL)
        made["templates"] = templates(page, comfy, args.out, args.steps)
        made["the pack is called"] = dialog(page, args.out)
        made["a missing clip is seen"] = control(page)
        made["help pages missing"] = every_help_page(page)
        made["blueprints"] = {
            path.stem: blueprint(page, comfy, path, args.out, args.steps)
            for path in sorted((ROOT / "subgraphs").glob("*.json"))
        }
        made["help"] = {k: help_page(page, url, k, node, word, args.out) for k, (node, word) in HELP.items()}
        browser.close()
    made["wrong"] = wrong(made)
    print(json.dumps(made, indent=2, ensure_ascii=False))
    sys.exit(bool(made["wrong"]))


if __name__ == "__main__":
    main()
