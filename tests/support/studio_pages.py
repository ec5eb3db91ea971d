"""The node editor in a headless Chromium: a server of ours, and pages of it in either renderer of the frontend."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
# In this order: an older frontend logs an error where its graph is asked for too soon.
READY = "() => window.LiteGraph?.registered_node_types?.['SoraCompare'] && window.app.graph"
TOURS = ["Comfy.OnboardingCoachmarks.Seen", ["appMode", "firstRun"]]
# Each node where it can be seen, and the view at full size: what a mouse hits is then where the page says.
PLACE = """places => {
    for (const node of app.graph._nodes) node.pos = places[node.id] ?? [-3000, node.id * 400];
    app.canvas.ds.scale = 1;
    app.canvas.ds.offset = [120, 130];
    app.canvas.setDirty(true, true);
}"""
QUEUE = "async () => (await app.queuePrompt(0, 1)) ? null : JSON.stringify(app.lastNodeErrors)"


@contextmanager
def studio(base: Path) -> Iterator[str]:
    """Run `sora studio` with the folders of `base`, and give its address."""
    command = [sys.executable, "-c", "from sora_core.cli import main; raise SystemExit(main())", "studio"]
    command += ["--port", "0", "--base-directory", str(base)]
    # What stands in the path before is found first: another version of the frontend, for whoever tries one.
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=base, env=environment
    )
    lines: Queue[str] = Queue()
    threading.Thread(target=lambda: [lines.put(line) for line in server.stdout], daemon=True).start()
    said = []
    try:
        while not (found := re.search(r"http://\S+", "".join(said))):
            try:
                said.append(lines.get(timeout=60))
            except Empty:
                raise AssertionError(f"the server gave no address: {said}") from None
        yield found[0]
    finally:
        server.terminate()
        server.wait(30)


class Editor:
    """One page of the editor."""

    def __init__(self, browser: Any, url: str, nodes2: bool, locale: str = "en", theme: str = "dark") -> None:
        self.errors: list[str] = []
        self.page = browser.new_page(viewport={"width": 1500, "height": 950})
        self.page.set_default_timeout(60_000)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.url = url
        self._open()
        settings = {"Comfy.VueNodes.Enabled": nodes2, "Comfy.Locale": locale, "Comfy.ColorPalette": theme}
        for name, value in {**settings, TOURS[0]: TOURS[1]}.items():
            self.page.evaluate("([name, value]) => app.extensionManager.setting.set(name, value)", [name, value])
        self._open()
        for _ in range(3):
            self.page.keyboard.press("Escape")
            self.page.wait_for_timeout(200)

    def _hear(self, message: Any) -> None:
        where = message.location.get("url", "")
        # A file of an earlier job that is gone is no fault of the page.
        if message.type == "error" and "/view?" not in where:
            self.errors.append(f"{message.text} ({where})")

    def _open(self) -> None:
        self.page.goto(self.url)
        self.page.wait_for_function(READY)
        self.page.wait_for_timeout(1000)

    def load(self, graph: dict[str, dict], places: dict[int, tuple[int, int]]) -> None:
        """Open a graph of the API's form, its nodes at these places."""
        self.page.evaluate("graph => app.loadApiJson(graph, 'test')", graph)
        self.page.wait_for_timeout(500)
        self.page.evaluate(PLACE, {str(node): place for node, place in places.items()})
        self.page.wait_for_timeout(700)

    def run(self) -> None:
        """Queue what is open, as the button Run does it."""
        assert self.page.evaluate(QUEUE) is None

    def value(self, node: int, widget: str) -> Any:
        """Read a widget's value."""
        script = "([id, name]) => app.graph.getNodeById(id).widgets.find(w => w.name === name).value"
        return self.page.evaluate(script, [node, widget])

    def box(self, selector: str, index: int = 0) -> dict[str, float]:
        """Find where an element is."""
        found = self.page.locator(selector).nth(index).bounding_box()
        assert found is not None, f"{selector} is not shown"
        return found

    def drag(self, start: tuple[float, float], by: float, steps: int = 6) -> None:
        """Drag with the mouse, sideways."""
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down()
        for step in range(1, steps + 1):
            mouse.move(start[0] + by * step / steps, start[1])
        mouse.up()

    def picture(self, path: Path) -> None:
        """Take a picture of the page."""
        self.page.screenshot(path=path)
