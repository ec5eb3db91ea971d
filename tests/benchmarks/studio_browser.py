"""The editor in a headless Chromium, with any version of the frontend: how soon it stands, and whether the tests pass.

    pip install playwright                # the driver; the browser is the system's (Debian: apt-get install chromium)
    python tests/benchmarks/studio_browser.py [--frontend VERSION] [--starts N] [--no-tests] [--pictures FOLDER]

--frontend installs that version of comfyui-frontend-package beside the one that is there, for this run alone. Measures
N times, each with an empty cache and a browser that is open already: from the command `sora studio` until it prints
its address, until the page shows something, and until a template's graph is drawn on the canvas. Then it runs the
browser's tests with that frontend. Prints JSON, and ends with 1 where a test fails. Alone on the machine, if the times
are to be worth something; the load is printed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from _paths import ROOT
from browser_support import PICTURES, SEEN, Studio, chromium
from studio_support import FRONTEND

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PACKAGE = "comfyui-frontend-package"
OPENED = "/?template=text_to_video&source=default&mode=graph"
# Drawn: all nodes have come, and the canvas has had a frame since.
DRAWN = """() => {
    if (!window.LiteGraph?.registered_node_types?.['SoraSampler']) return false;
    if (!window.app?.graph?._nodes?.some(node => node.type === 'SoraSampler')) return false;
    window.drawnAt ??= app.canvas.frame;
    return app.canvas.frame > window.drawnAt;
}"""


def install(version: str, folder: Path) -> None:
    """Put a version of the frontend into a folder of its own."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
    subprocess.run([*command, f"{PACKAGE}=={version}"], check=True)
    os.environ[FRONTEND] = str(folder)


def start(browser: Browser, folder: Path) -> dict[str, Any]:
    """Start once. Returns seconds since the command, and what the page asked for."""
    context = browser.new_context(viewport={"width": 1680, "height": 1000})
    page, answers = context.new_page(), []
    page.on("requestfinished", lambda request: answers.append(request.url))
    settings = folder / "user" / "default" / "comfy.settings.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps(SEEN), encoding="utf-8")
    began = time.monotonic()
    studio = Studio(folder)
    try:
        told = time.monotonic() - began
        page.goto(studio.url + OPENED, wait_until="commit")
        page.wait_for_function(DRAWN, timeout=120_000, polling="raf")
        drawn = time.monotonic() - began
        first = page.evaluate("() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null")
        count = len(answers)
    finally:
        context.close()
        studio.stop()
    return {"address": told, "first paint of the page": (first or 0) / 1000, "graph": drawn, "requests": count}


def measure(starts: int) -> dict[str, Any]:
    """Start several times. Returns each, and the median until the graph is drawn."""
    made = []
    with chromium() as browser, tempfile.TemporaryDirectory() as folder:
        for number in range(starts):
            made.append(start(browser, Path(folder) / str(number)))
            print(made[-1], file=sys.stderr, flush=True)
    return {"graph, median s": statistics.median(one["graph"] for one in made), "starts": made}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frontend", metavar="VERSION", help=f"of {PACKAGE} (default: the installed one)")
    parser.add_argument("--starts", type=int, default=3, help="how often to measure (default: 3)")
    parser.add_argument("--no-tests", action="store_true", help="only measure")
    parser.add_argument("--pictures", type=Path, help="folder for the pictures of the tests")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.frontend:
            install(args.frontend, Path(folder))
        made: dict[str, Any] = {"frontend": args.frontend or importlib.metadata.version(PACKAGE)}
        made["load"] = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        made |= measure(args.starts) if args.starts else {}
        code = 0
        if not args.no_tests:
            if args.pictures:
                os.environ[PICTURES] = str(args.pictures.resolve())
            tests = sorted(str(path) for path in (ROOT / "tests" / "host" / "web").glob("test_browser*.py"))
            began = time.monotonic()
            code = subprocess.run([sys.executable, "-m", "pytest", "--tb=short", *tests], cwd=ROOT).returncode
            made["tests"] = {"passed": code == 0, "seconds": time.monotonic() - began}
    print(json.dumps(made, indent=2))
    sys.exit(bool(code))


if __name__ == "__main__":
    main()
