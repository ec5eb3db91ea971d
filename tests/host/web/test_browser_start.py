"""The official frontend on our server, in Chromium: how it opens."""

from __future__ import annotations

import pytest
from browser_support import browser_needed

pytestmark = [pytest.mark.slow, browser_needed]


def test_the_first_screen_is_clean(tab):
    tab.load()
    tab.page.get_by_test_id("template-workflow-text_to_video").wait_for()
    tab.page.wait_for_load_state("networkidle")
    tab.picture("first_screen")
    assert not tab.complaints and not tab.red()
    assert [answer for answer in tab.answers if answer[1] >= 400] == []


def test_the_first_template_is_ours_and_opens_by_a_click(tab):
    tab.load()
    cards = tab.page.locator("[data-testid^=template-workflow-]")
    cards.first.wait_for()
    assert cards.first.get_attribute("data-testid") == "template-workflow-text_to_video"
    tab.page.wait_for_load_state("networkidle")
    tab.picture("templates")
    assert cards.first.locator("img").first.evaluate("image => image.naturalWidth") > 100
    cards.first.click()
    tab.until(lambda: any(node["type"] == "SoraSampler" for node in tab.nodes()), "the template")
    tab.page.wait_for_timeout(1500)
    tab.picture("template_opened")
    assert tab.page.evaluate("() => app.canvas.canvas.checkVisibility()"), "a graph, not a form"
    assert not tab.red() and not tab.complaints


def test_the_form_of_a_workflow_runs(tab):
    tab.load()
    tab.page.get_by_test_id("template-workflow-text_to_video.app").click()
    form = tab.page.get_by_test_id("linear-widgets")
    form.locator("textarea").fill("a fox runs right in the desert")
    tab.set("SoraSampler", "steps", 6)
    tab.set("SoraEmptyLatent", "seconds", 1.0)
    tab.picture("form")
    tab.page.get_by_test_id("linear-run-button").get_by_role("button", name="Run").last.click()
    job = tab.hears("execution_start")["prompt_id"]
    tab.until(lambda: tab.previews, "a preview")
    tab.page.get_by_test_id("linear-latent-preview").first.wait_for()
    tab.picture("form_runs")
    tab.ends(job)
    tab.page.locator("video").first.wait_for()
    tab.page.wait_for_timeout(700)
    tab.picture("form_ran")
    prompt = tab.studio.ask(f"/jobs/{job}")["workflow"]["prompt"]
    assert prompt["2"]["inputs"]["text"] == "a fox runs right in the desert"
    assert not tab.complaints


def test_chinese_labels_and_a_help_page(tab):
    tab.studio.ask("/settings", {"Comfy.Locale": "zh"})
    tab.load()
    cards = tab.page.locator("[data-testid^=template-workflow-]")
    cards.first.wait_for()
    tab.page.wait_for_timeout(500)
    tab.picture("chinese_templates")
    assert "文生视频" in cards.first.inner_text()
    tab.page.keyboard.press("Escape")
    cards.first.wait_for(state="hidden")
    tab.show("text_to_video")
    titles = tab.page.evaluate("() => app.graph._nodes.map(node => node.getTitle())")
    labels = tab.page.evaluate(
        "() => app.graph._nodes.flatMap(node => (node.widgets ?? []).map(w => [node.type, w.name, w.label ?? '']))"
    )
    assert sum(chinese(title) for title in titles) >= 5, titles
    silent = {"control_after_generate", "text"}  # the frontend's own, and a box without a label
    left = [row for row in labels if row[0].startswith("Sora") and row[1] not in silent and not chinese(row[2])]
    assert {label for *_, label in left} <= {"LoRA", "crf", "CRF", "CFG", "eta"}, left
    tab.page.mouse.click(*tab.place("SoraSampler"))
    tab.page.get_by_test_id("info-button").first.click()
    tab.page.get_by_role("heading", name="典型用法").first.wait_for()
    tab.page.wait_for_timeout(500)
    tab.picture("chinese")
    picture = tab.page.locator("img[src*='extensions']").first
    tab.until(lambda: picture.evaluate("image => image.naturalWidth") > 100, "the help page's picture")
    assert not tab.complaints and not tab.red()


def chinese(text: str) -> bool:
    return any("\u4e00" <= letter <= "\u9fff" for letter in text)


def test_nodes_2_opens_is_changed_and_runs(tab):
    tab.open({"Comfy.VueNodes.Enabled": True})
    tab.show("text_to_video", SoraEmptyLatent__seconds=1.0, SoraSampler__steps=8)
    prompt = tab.page.locator("[data-node-id='2'] textarea").first
    prompt.fill("a robot walks left on the beach")
    steps = tab.page.locator("[data-node-id='5']")
    steps.wait_for()
    tab.picture("nodes2")
    job = tab.run()
    tab.until(lambda: tab.previews, "a preview")
    tab.page.locator("[data-node-id='5'] img").first.wait_for()
    tab.picture("nodes2_runs")
    tab.ends(job)
    video = tab.page.locator("[data-node-id='7'] video").first
    video.wait_for()
    tab.until(lambda: video.evaluate("video => video.readyState") >= 2, "the video")
    tab.picture("nodes2_ran")
    sent = tab.studio.ask(f"/jobs/{job}")["workflow"]["prompt"]
    assert sent["2"]["inputs"]["text"] == "a robot walks left on the beach"
    assert not tab.complaints and not tab.red()


def test_it_loads_on_a_phone(studio, another_tab):
    tab = another_tab(
        studio, viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True, device_scale_factor=2
    )
    tab.open()
    tab.show("text_to_video")
    tab.picture("phone")
    box = tab.page.get_by_test_id("queue-button").first.bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= 390
    tab.set("SoraEmptyLatent", "seconds", 1.0)
    tab.set("SoraSampler", "steps", 1)
    tab.page.get_by_test_id("queue-button").first.tap()
    tab.ends(tab.hears("execution_start")["prompt_id"])
    assert not tab.complaints and not tab.red()
