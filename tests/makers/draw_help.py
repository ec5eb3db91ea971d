"""Takes the pictures of the help pages, and of workflows that cannot run here, in ComfyUI's own frontend.

    python tests/makers/draw_help.py --url http://127.0.0.1:8188 [--chromium PATH] [--only NAME,NAME]

A ComfyUI with the pack must run at --url, with files of the names that `model_workflows.py` wants (empty ones do, or
their loaders are red); the driver and the browser are those of `tests/benchmarks/comfyui_frontend.py`.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from frontend_format import lay_out, workflow
from help_graphs import help_graphs
from make_help import PAGES, PICTURES
from make_workflows import INPUTS, ROOT, TITLES, WORKFLOWS, graphs, model_graphs, schemas_of
from PIL import Image

from sora_core.host.desk.folders import Folders
from sora_core.host.host import Host

sys.path.append(str(ROOT / "tests" / "benchmarks"))
from comfyui_frontend import FLAGS, open_frontend, past_the_welcome  # noqa: E402 (the benchmarks are no package)

if TYPE_CHECKING:
    from playwright.sync_api import Page

WIDTH, COLOURS, MARGIN = 1000, 96, 16
# The graph alone, as large as its nodes are; the rest of the page is out of the way.
FRAME = """margin => {
    const ds = app.canvas.ds, nodes = app.graph._nodes;
    for (const node of nodes) node.setSize([node.size[0], Math.max(node.computeSize()[1], node.size[1])]);
    const left = Math.min(...nodes.map(n => n.pos[0])), top = Math.min(...nodes.map(n => n.pos[1])) - 30;
    const right = Math.max(...nodes.map(n => n.pos[0] + n.size[0]));
    const bottom = Math.max(...nodes.map(n => n.pos[1] + n.size[1]));
    const box = app.canvas.canvas.getBoundingClientRect();
    ds.scale = Math.min((box.width - 2 * margin) / (right - left), (box.height - 2 * margin) / (bottom - top), 1);
    ds.offset = [margin / ds.scale - left, margin / ds.scale - top];
    app.canvas.setDirty(true, true);
    return [(right - left) * ds.scale + 2 * margin, (bottom - top) * ds.scale + 2 * margin, box.left, box.top];
}"""
# Tabs, bars and panels lie over the canvas: nothing is seen but it, and the texts and videos on the nodes.
BARE = "#vue-app * {visibility: hidden} #graph-canvas, .dom-widget, .dom-widget * {visibility: visible !important}"
# Text is drawn however small, because the picture is scaled down afterwards.
SETTINGS = {"LiteGraph.Canvas.MinFontSizeForLOD": 0, "Comfy.NodeBadge.NodeSourceBadgeMode": "None"}


def draw(page: Page, graph: dict) -> Image.Image:
    page.evaluate("graph => app.loadGraphData(graph)", graph)
    page.wait_for_timeout(2500)
    wide, high, left, top = page.evaluate(FRAME, MARGIN)
    page.wait_for_timeout(1200)
    clip = {"x": left, "y": top, "width": wide, "height": high}
    picture = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")
    return picture.resize((WIDTH, round(WIDTH * picture.height / picture.width)), Image.Resampling.LANCZOS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8188", help="a running ComfyUI with the pack")
    parser.add_argument("--chromium", default=shutil.which("chromium"), help="the browser's program")
    parser.add_argument("--only", default="", help="which pictures, separated by commas")
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder:
        schemas = schemas_of(Host(Folders(INPUTS, Path(folder) / "output", Path(folder) / "temp")))
    others = model_graphs()
    shown = {PICTURES[node_id] for node_id in schemas if node_id in PICTURES}
    wanted = {name: graph for name, graph in (graphs() | help_graphs()).items() if name in shown} | others
    chosen = set(filter(None, args.only.split(","))) or set(wanted)
    (PAGES / "pictures").mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=args.chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 2000, "height": 1300})
        page.set_default_timeout(120_000)
        open_frontend(page, args.url.rstrip("/"))
        past_the_welcome(page)
        for setting in SETTINGS.items():
            page.evaluate("([name, value]) => app.extensionManager.setting.set(name, value)", list(setting))
        page.add_style_tag(content=BARE)
        for name in sorted(chosen):
            graph = workflow(lay_out(wanted[name], schemas, titles=TITLES), {"linearMode": False})
            picture = draw(page, graph)
            if name in others:
                picture.resize((640, round(640 * picture.height / picture.width))).save(WORKFLOWS / f"{name}.jpg")
            if name in shown:
                few = picture.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
                few.save(PAGES / "pictures" / f"{name}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
