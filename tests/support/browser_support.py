"""The editor in a headless Chromium: a `sora studio` in a process of its own, and tabs that show it."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import os
import shutil
import signal
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from studio_support import LONG, ROOT, Process, until

WORKFLOWS = ROOT / "workflows"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# Where the pictures of the pages go; without it into the test's own folder.
PICTURES = "SORA_TEST_PICTURES"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
# In this order: while the page starts, the graph complains of being asked for.
READY = "() => window.LiteGraph?.registered_node_types?.['SoraSampler'] && window.app?.extensionManager && app.graph"
SEEN = {"Comfy.OnboardingCoachmarks.Seen": ["appMode", "firstRun"]}  # without its tours, which lie over the page
SEEDS = itertools.count(1000)
# What 1.49.6 says of its own start, whatever the host.
OWN = "ComfyApp graph accessed before initialization"

browser_needed = pytest.mark.skipif(
    CHROMIUM is None or importlib.util.find_spec("playwright") is None,
    reason="there is no Chromium on this machine, or no playwright to drive it",
)


class Studio:
    """`sora studio` in a process of its own, which can be started again."""

    def __init__(self, base: Path, *options: str) -> None:
        """Start it in the folder `base`."""
        self.base, self.options, self.port = base, options, 0
        self.start()

    def start(self) -> None:
        """Start it, on the port that it had."""
        self.base.mkdir(parents=True, exist_ok=True)
        self.process = Process(self.base, *self.options, command="studio", port=self.port)
        assert self.process.port is not None
        self.port, self.url = self.process.port, self.process.address.rstrip("/")

    def kill(self) -> None:
        """End it as a power cut does."""
        self.process.kill()

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        if self.process.process.poll() is None:
            self.process.stop(signal.SIGINT)

    def ask(self, path: str, data: Any = None) -> Any:
        """GET, or POST `data` as JSON."""
        client = self.process.client("test")
        answer = client.get(path) if data is None else client.post(path, data)
        assert answer.status < 300, (path, answer.status, answer.body)
        return answer.json

    def forget(self) -> None:
        """Stop and forget all jobs, the user's settings and workflows, and the files that were put in."""
        self.ask("/queue", {"clear": True})
        self.ask("/interrupt", {})
        until(lambda: not self.ask("/queue")["queue_running"], "the running job ends")
        self.ask("/history", {"clear": True})
        for folder in ("user/default", "input"):
            shutil.rmtree(self.base / folder, ignore_errors=True)


class Tab:
    """A page that shows the studio, and what came to it."""

    def __init__(self, context: Any, studio: Studio, pictures: Path) -> None:
        self.studio, self.pictures = studio, pictures
        self.page = context.new_page()
        self.page.set_default_timeout(LONG * 1000)
        self.messages: list[tuple[str, dict[str, Any], float]] = []  # kind, data, when
        self.previews: list[tuple[dict[str, Any], bytes]] = []
        self.texts: list[str] = []  # of progress, on a node
        self.complaints: list[str] = []  # the console's
        self.answers: list[tuple[str, int]] = []  # path with query, and status
        self.page.on("websocket", self._listen)
        self.page.on("console", self._complaint)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("response", self._answered)

    def _complaint(self, message: Any) -> None:
        if message.type == "error" and message.text != OWN:
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    def _answered(self, answer: Any) -> None:
        self.answers.append((answer.url.removeprefix(self.studio.url), answer.status))

    def _listen(self, socket: Any) -> None:
        socket.on("framereceived", self._hear)

    def _hear(self, frame: str | bytes) -> None:
        if isinstance(frame, str):
            told = json.loads(frame)
            self.messages.append((told["type"], told.get("data") or {}, time.monotonic()))
            return
        kind = struct.unpack(">I", frame[:4])[0]
        if kind == 4:
            size = struct.unpack(">I", frame[4:8])[0]
            self.previews.append((json.loads(frame[8 : 8 + size]), frame[8 + size :]))
        elif kind == 3:
            self.texts.append(frame[8:].decode(errors="replace"))

    # -- opening ---------------------------------------------------------------------------------------------
    def open(self, settings: dict[str, Any] | None = None, path: str = "/") -> Tab:
        """Open the page afresh, as somebody who is past the first start. settings: of the frontend's, by id."""
        self.studio.ask("/settings", SEEN | (settings or {}))
        self.load(path)
        greeting = self.page.locator("[data-testid^=template-workflow-]").first
        greeting.wait_for()
        self.page.keyboard.press("Escape")
        greeting.wait_for(state="hidden")
        return self

    def load(self, path: str = "/") -> None:
        """Go there and wait for the editor."""
        self.page.goto(self.studio.url + path)
        self.page.wait_for_function(READY)

    def show(self, graph: str | dict[str, Any], **widgets: Any) -> None:
        """Open a workflow, of ours by name, on the canvas. widgets: `Type__name=value` to set on it first."""
        data = json.loads((WORKFLOWS / f"{graph}.json").read_text("utf-8")) if isinstance(graph, str) else graph
        data.setdefault("extra", {}).pop("linearMode", None)
        self.page.evaluate("data => app.loadGraphData(data)", data)
        if any(node["type"] == "SoraSampler" for node in self.nodes()):
            self.set("SoraSampler", "seed", next(SEEDS))  # the server remembers what it made for other tests
        for name, value in widgets.items():
            self.set(*name.split("__"), value)
        self.fit()

    def fit(self) -> None:
        """Show all of the graph."""
        self.page.evaluate("() => app.extensionManager.command.execute('Comfy.Canvas.FitView')")
        self.page.wait_for_timeout(700)

    # -- the graph -------------------------------------------------------------------------------------------
    def nodes(self) -> list[dict[str, Any]]:
        """What is on the canvas."""
        return self.page.evaluate(
            """() => [...app.graph._nodes].sort((a, b) => a.id - b.id).map(node => ({
            id: String(node.id), type: node.type,
            red: !!node.has_errors || String(app.lastExecutionError?.node_id) === String(node.id),
            known: node.type in LiteGraph.registered_node_types || /Note$/.test(node.type),
            widgets: Object.fromEntries((node.widgets ?? []).filter(w => w.serialize !== false)
                .map(w => [w.name, w.value]))}))"""
        )

    def node(self, kind: str) -> dict[str, Any]:
        """The first node of a type."""
        return next(node for node in self.nodes() if node["type"] == kind)

    def red(self) -> list[str]:
        """The types of nodes that are drawn red or that the editor does not know."""
        return [node["type"] for node in self.nodes() if node["red"] or not node["known"]]

    def set(self, kind: str, name: str, value: Any) -> None:
        """Set a widget's value as its own callback sees it; what is tested by hand is clicked instead."""
        self.page.evaluate(
            """([kind, name, value]) => {
                const node = app.graph._nodes.filter(node => node.type === kind).sort((a, b) => a.id - b.id)[0];
                const widget = node.widgets.find(widget => widget.name === name);
                widget.value = value;
                widget.callback?.(value, app.canvas, node);
            }""",
            [kind, name, value],
        )

    def place(self, kind: str, name: str | None = None) -> tuple[float, float]:
        """Where a node's title, or a widget of it, is on the screen."""
        x, y = self.page.evaluate(
            """([kind, name]) => {
                const node = app.graph._nodes.filter(node => node.type === kind).sort((a, b) => a.id - b.id)[0];
                const box = app.canvas.canvas;
                const widget = node.widgets?.find(widget => widget.name === name), at = box.getBoundingClientRect();
                const down = widget ? (widget.last_y ?? widget.y) + 10 : -12;
                const [x, y] = app.canvas.ds.convertOffsetToCanvas(
                    [node.pos[0] + (widget ? node.size[0] * 0.6 : 60), node.pos[1] + down]);
                return [x + at.left, y + at.top];
            }""",
            [kind, name],
        )
        return x, y

    def text_box(self, kind: str, name: str = "text") -> Any:
        """The box of a widget with several lines, as Playwright's element."""
        return self.page.evaluate_handle(
            """([kind, name]) => {
                const node = app.graph._nodes.filter(node => node.type === kind).sort((a, b) => a.id - b.id)[0];
                const widget = node.widgets.find(widget => widget.name === name);
                return widget.element ?? widget.inputEl;
            }""",
            [kind, name],
        ).as_element()

    # -- running ---------------------------------------------------------------------------------------------
    def run(self) -> str:
        """Click on Run. Returns the job's id once it is queued."""
        with self.page.expect_response(lambda answer: answer.url.endswith("/prompt")) as asked:
            self.page.get_by_test_id("queue-button").first.click()
        told = asked.value.json()
        assert "prompt_id" in told, told
        return told["prompt_id"]

    def told(self, kind: str, job: str | None = None, **about: Any) -> list[dict[str, Any]]:
        """The messages of a kind that came so far."""
        about |= {"prompt_id": job} if job else {}
        found = [data for name, data, _ in self.messages if name == kind]
        return [data for data in found if all(data.get(name) == value for name, value in about.items())]

    def hears(self, kind: str, job: str | None = None, seconds: float = LONG, **about: Any) -> dict[str, Any]:
        """Wait for a message."""
        return self.until(lambda: self.told(kind, job, **about), f"{kind} {about}", seconds)[-1]

    def ends(self, job: str, how: str = "execution_success") -> dict[str, Any]:
        """Wait until a job has ended in this way."""
        ways = ("execution_success", "execution_error", "execution_interrupted")
        self.until(lambda: any(self.told(way, job) for way in ways), f"the end of {job}")
        assert self.told(how, job), [self.told(way, job) for way in ways]
        return self.told(how, job)[-1]

    def ran(self, job: str) -> list[str]:
        """The nodes that a job ran, as their types."""
        types = {node["id"]: node["type"] for node in self.nodes()}
        return [types[data["node"]] for data in self.told("executing", job) if data["node"]]

    def until(self, found: Callable[[], Any], what: str, seconds: float = LONG) -> Any:
        """Wait until there is something, while the page goes on."""
        return until(found, what, seconds, lambda pause: self.page.wait_for_timeout(pause * 1000))

    def picture(self, name: str) -> bytes:
        """Photograph the page, for eyes."""
        return self.page.screenshot(path=self.pictures / f"{name}.png")

    def picture_of(self, kind: str) -> bytes:
        """Photograph the part of the canvas where a node is."""
        left, top, width, height = self.page.evaluate(
            """kind => {
                const node = app.graph._nodes.filter(node => node.type === kind).sort((a, b) => a.id - b.id)[0];
                const ds = app.canvas.ds;
                const at = app.canvas.canvas.getBoundingClientRect(), [x, y] = ds.convertOffsetToCanvas(node.pos);
                return [x + at.left, y + at.top, node.size[0] * ds.scale, node.size[1] * ds.scale];
            }""",
            kind,
        )
        return self.page.screenshot(clip={"x": left, "y": top + height / 2, "width": width, "height": height / 2 - 25})

    def close(self) -> None:
        """Close the tab."""
        with contextlib.suppress(Exception):  # it may be closed already
            self.page.close()


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


def pictures(folder: Path) -> Path:
    """Where this run's pictures go."""
    chosen = Path(os.environ.get(PICTURES) or folder / "pictures")
    chosen.mkdir(parents=True, exist_ok=True)
    return chosen
