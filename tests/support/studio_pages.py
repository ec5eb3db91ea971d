"""A page of the editor whose nodes stand where a mouse can reach them, in either renderer of the frontend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from browser_support import Studio, Tab

# Each node where it can be seen, and the view at full size: what a mouse hits is then where the page says.
PLACE = """places => {
    for (const node of app.graph._nodes) node.pos = places[node.id] ?? [-3000, node.id * 400];
    app.canvas.ds.scale = 1;
    app.canvas.ds.offset = [120, 130];
    app.canvas.setDirty(true, true);
}"""
QUEUE = "async () => (await app.queuePrompt(0, 1)) ? null : JSON.stringify(app.lastNodeErrors)"


class Editor(Tab):
    """One page of the editor."""

    def __init__(self, browser: Any, studio: Studio, nodes2: bool, locale: str = "en", theme: str = "dark") -> None:
        context = browser.new_context(viewport={"width": 1500, "height": 950})
        super().__init__(context, studio, studio.base)
        self.errors = self.complaints
        self.open({"Comfy.VueNodes.Enabled": nodes2, "Comfy.Locale": locale, "Comfy.ColorPalette": theme})

    def _complaint(self, message: Any) -> None:
        # A file of an earlier job that is gone is no fault of the page.
        if "/view?" not in message.location.get("url", ""):
            super()._complaint(message)

    def lay_out(self, graph: dict[str, dict], places: dict[int, tuple[int, int]]) -> None:
        """Open a graph of the API's form, its nodes at these places."""
        self.page.evaluate("graph => app.loadApiJson(graph, 'test')", graph)
        self.page.wait_for_timeout(500)
        self.page.evaluate(PLACE, {str(node): place for node, place in places.items()})
        self.page.wait_for_timeout(700)

    def queue(self) -> None:
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

    def photograph(self, path: Path) -> None:
        """Take a picture of the page."""
        self.page.screenshot(path=path)
