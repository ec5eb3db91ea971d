"""The official frontend on our server, in Chromium: files that come in, and workflows that are kept."""

from __future__ import annotations

import json

import pytest
from browser_support import WORKFLOWS, browser_needed

pytestmark = [pytest.mark.slow, browser_needed]
QUICK = {
    "SoraEmptyLatent__seconds": 1.0,
    "SoraEmptyLatent__width": 64,
    "SoraEmptyLatent__height": 64,
    "SoraSampler__steps": 2,
}
DROP = """async ([address, name, kind]) => {
    const blob = await (await fetch(address)).blob(), moved = new DataTransfer();
    moved.items.add(new File([blob], name, {type: kind}));
    const at = {clientX: 700, clientY: 500, bubbles: true, cancelable: true, dataTransfer: moved};
    const canvas = app.canvas.canvas;
    for (const step of ['dragenter', 'dragover', 'drop']) canvas.dispatchEvent(new DragEvent(step, at));
}"""


@pytest.mark.parametrize(
    ("kind", "widget", "file"), [("LoadImage", "image", "sora_still.png"), ("LoadVideo", "file", "sora_cat.mp4")]
)
def test_the_button_of_a_node_takes_a_file_in(tab, kind, widget, file):
    tab.open()
    tab.page.evaluate(
        "kind => { const node = LiteGraph.createNode(kind); app.graph.add(node); node.pos = [300, 200]; }", kind
    )
    tab.page.wait_for_timeout(1500)  # the node grows by the preview of its first file
    tab.fit()
    source = tab.pictures / f"mine_{file}"
    source.write_bytes((WORKFLOWS / "inputs" / file).read_bytes())
    with tab.page.expect_file_chooser() as chooser:
        tab.page.mouse.click(*tab.place(kind, "upload"))
    chooser.value.set_files(source)
    tab.until(lambda: tab.node(kind)["widgets"][widget] == source.name, "the file in the node")
    tab.until((tab.studio.base / "input" / source.name).is_file, "the file in the folder")
    assert (tab.studio.base / "input" / source.name).read_bytes() == source.read_bytes()
    tab.page.wait_for_timeout(1200)
    tab.picture(f"upload_{kind}")
    assert not tab.complaints and not tab.red()


def test_a_workflow_is_saved_renamed_reopened_and_deleted(tab, another_tab):
    tab.open()
    tab.show("text_to_video")
    tab.text_box("SoraTextEncode").fill("一只猫 in the rain")
    tab.page.keyboard.press("Escape")
    tab.page.mouse.click(900, 900)
    tab.page.keyboard.press("Control+s")
    tab.page.wait_for_timeout(600)
    tab.picture("save_dialog")
    tab.page.keyboard.press("Control+a")
    tab.page.keyboard.type("my cat")
    tab.page.keyboard.press("Enter")
    folder = tab.studio.base / "user" / "default" / "workflows"
    tab.until(lambda: (folder / "my cat.json").is_file(), "the saved workflow")
    tab.page.wait_for_timeout(600)
    tab.picture("saved")
    tab.page.keyboard.press("w")
    choose(tab, "my cat", "Rename")
    tab.page.keyboard.press("Control+a")
    tab.page.keyboard.type("猫 in rain")
    tab.page.keyboard.press("Enter")
    tab.until(lambda: [path.name for path in folder.glob("[!.]*")] == ["猫 in rain.json"], "the new name")
    saved(tab, "猫 in rain").hover()
    saved(tab, "猫 in rain").get_by_role("button").last.click()
    tab.until(lambda: "猫 in rain" in bookmarks(folder), "the bookmark")
    tab.picture("workflow_renamed")
    tab = another_tab(tab.studio).open()
    tab.page.keyboard.press("w")
    saved(tab, "猫 in rain").click()
    tab.until(lambda: any(node["type"] == "SoraTextEncode" for node in tab.nodes()), "the reopened workflow")
    assert tab.node("SoraTextEncode")["widgets"]["text"] == "一只猫 in the rain"
    assert not tab.red()
    choose(tab, "猫 in rain", "Delete")
    tab.page.wait_for_timeout(400)
    tab.picture("workflow_delete")
    tab.page.get_by_role("button", name="Delete").last.click()
    tab.until(lambda: not list(folder.glob("[!.]*")), "the workflow is gone")
    assert not tab.complaints


def bookmarks(folder) -> str:
    path = folder / ".index.json"
    return str(json.loads(path.read_text("utf-8"))) if path.is_file() else ""


def saved(tab, name: str):
    """A saved workflow in the side bar."""
    return tab.page.locator(".p-tree-node, [data-testid^=tree-node], [role=treeitem]").filter(has_text=name).last


def choose(tab, name: str, entry: str) -> None:
    """Open the menu of a saved workflow in the side bar, and choose."""
    saved(tab, name).click(button="right")
    tab.page.get_by_role("menuitem", name=entry).first.click()


@pytest.mark.parametrize("kind", ["mp4", "png"])
def test_a_saved_file_that_is_dropped_on_the_canvas_brings_its_graph_back(tab, kind):
    tab.open()
    tab.show("text_to_video" if kind == "mp4" else with_saved_pictures(), **QUICK)
    tab.text_box("SoraTextEncode").fill("a dog jumps in the forest")
    job = tab.run()
    tab.ends(job)
    made = tab.studio.ask(f"/jobs/{job}")["preview_output"]
    before = {node["id"]: (node["type"], node["widgets"]) for node in tab.nodes()}
    tab.page.evaluate("() => app.graph.clear()")
    assert tab.nodes() == []
    address = "/api/view?filename={filename}&subfolder={subfolder}&type={type}".format(**made)
    tab.page.evaluate(DROP, [address, made["filename"], {"mp4": "video/mp4", "png": "image/png"}[kind]])
    tab.until(lambda: len(tab.nodes()) == len(before), "the graph")
    tab.page.wait_for_timeout(800)
    tab.picture(f"dropped_{kind}")
    assert {node["id"]: (node["type"], node["widgets"]) for node in tab.nodes()} == before
    assert not tab.red() and not tab.complaints


def with_saved_pictures() -> dict:
    """Text to video whose frames are saved as PNG."""
    graph = json.loads((WORKFLOWS / "text_to_video.json").read_text("utf-8"))
    decode = next(node for node in graph["nodes"] if node["type"] == "SoraVAEDecode")
    link = [100, decode["id"], 0, 100, 0, "IMAGE"]
    graph["links"].append(link)
    decode["outputs"][0]["links"].append(100)
    graph["nodes"] = [node for node in graph["nodes"] if node["type"] != "SoraSaveVideo"]
    graph["links"] = [link for link in graph["links"] if link[3] != 7]
    for node in graph["nodes"]:
        for output in node.get("outputs") or []:
            output["links"] = [n for n in output["links"] or [] if any(link[0] == n for link in graph["links"])]
    graph["nodes"].append(
        {
            "id": 100,
            "type": "SaveImage",
            "pos": [1680, 60],
            "size": [300, 270],
            "inputs": [{"name": "images", "type": "IMAGE", "link": 100}],
            "outputs": [],
            "properties": {},
            "widgets_values": ["picture"],
        }
    )
    return graph
