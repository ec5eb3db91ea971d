"""The official frontend on our server, in Chromium: graphs that run, are changed, stopped and go wrong."""

from __future__ import annotations

import re

import pytest
from browser_support import WORKFLOWS, Studio, browser_needed

pytestmark = [pytest.mark.slow, browser_needed]
SHORT = {"SoraEmptyLatent__seconds": 1.0, "SoraEmptyLatent__width": 64, "SoraEmptyLatent__height": 64}
QUICK = {**SHORT, "SoraSampler__steps": 3}
ENDLESS = {"SoraEmptyLatent__seconds": 2.0, "SoraSampler__steps": 400}  # only a stop ends it in time
PROGRESS = re.compile(r"Step (\d+) of (\d+), .*\d+ s left")


def test_prompt_and_sampler_are_changed_and_the_run_is_watched(tab):
    tab.open()
    # Steps enough to be looked at on a fast machine, too.
    tab.show("text_to_video", SoraEmptyLatent__seconds=1.0, SoraSampler__steps=80)
    tab.text_box("SoraTextEncode").fill("a cat walks right on the beach")
    tab.page.mouse.click(*tab.place("SoraSampler", "sampler"))
    tab.page.locator(".litecontextmenu .litemenu-entry", has_text="dpmpp_2m").first.click()
    assert tab.node("SoraSampler")["widgets"]["sampler"] == "dpmpp_2m"
    assert tab.node("SoraTextEncode")["widgets"]["text"] == "a cat walks right on the beach"
    job = tab.run()
    tab.until(lambda: len(tab.previews) > 5, "previews")
    shown = {tab.picture_of("SoraSampler") for _ in range(4) if tab.page.wait_for_timeout(150) is None}
    tab.picture("preview")
    tab.ends(job)
    assert len(shown) > 1, "the preview on the canvas stood still"
    # A step has several frames: they move while the sampler thinks of the next.
    steps = [data for data in tab.told("progress", job) if data["max"] == 80]
    assert len(steps) > 3 and len({picture for _, picture in tab.previews}) > 5
    assert {about["node_id"] for about, _ in tab.previews} <= {"5", "6"}
    left = [found for text in tab.texts if (found := PROGRESS.search(text))]
    assert len(left) > 2 and [int(found[1]) for found in left] == sorted(int(found[1]) for found in left)
    assert not tab.red() and not tab.complaints


def test_the_video_plays_in_its_node(tab):
    tab.open()
    tab.show("text_to_video", **QUICK)
    tab.ends(tab.run())
    video = tab.page.locator("video").first
    video.wait_for()
    tab.until(lambda: video.evaluate("video => video.readyState") >= 3, "the video")
    tab.page.wait_for_timeout(500)
    video.click()
    times = {video.evaluate("video => video.currentTime") for _ in range(5) if tab.page.wait_for_timeout(200) is None}
    tab.picture("video")
    assert len(times) > 2, times
    assert video.evaluate("video => video.error") is None
    assert 206 in {status for path, status in tab.answers if "/view?" in path and ".mp4" in path}


def test_a_second_run_is_cached_and_another_sampler_costs_only_its_own_part(tab):
    tab.open()
    tab.show("text_to_video", **QUICK)
    first = tab.run()
    tab.ends(first)
    assert "SoraSampler" in tab.ran(first)
    second = tab.run()
    tab.ends(second)
    cached = tab.hears("execution_cached", second)["nodes"]
    assert sorted(cached) == ["1", "2", "3", "4", "5", "6", "7"] and tab.ran(second) == []
    tab.page.get_by_text("Nothing has changed since the last run").last.wait_for()
    tab.picture("cached")
    tab.page.mouse.click(*tab.place("SoraSampler", "sampler"))
    tab.page.locator(".litecontextmenu .litemenu-entry", has_text="heun").first.click()
    third = tab.run()
    tab.ends(third)
    assert tab.ran(third) == ["SoraSampler", "SoraVAEDecode", "SoraSaveVideo"]
    assert sorted(tab.hears("execution_cached", third)["nodes"]) == ["1", "2", "3", "4"]


def test_a_run_is_stopped_within_a_step(tab):
    tab.open()
    tab.show("text_to_video", **ENDLESS)
    job = tab.run()
    tab.until(lambda: any(data["max"] == 400 and data["value"] >= 2 for data in tab.told("progress", job)), "steps")
    with tab.page.expect_response(re.compile("/(interrupt|cancel)$")) as answered:
        tab.page.get_by_role("button", name=re.compile("cancel|interrupt", re.I)).first.click()
    assert answered.value.status == 200
    value = tab.told("progress", job)[-1]["value"]
    tab.ends(job, "execution_interrupted")
    tab.page.wait_for_timeout(500)
    tab.picture("interrupted")
    last = tab.told("progress", job)[-1]["value"]
    assert last - value < 40, (value, last)
    assert tab.until(lambda: not tab.studio.ask("/queue")["queue_running"], "the queue is empty")
    assert tab.studio.ask(f"/jobs/{job}")["status"] == "cancelled"


def refused(tab) -> dict:
    """Click on Run for a graph that is not queued. Returns what the server answered."""
    with tab.page.expect_response(lambda answer: answer.url.endswith("/prompt")) as asked:
        tab.page.get_by_test_id("queue-button").first.click()
    assert asked.value.status == 400
    return asked.value.json()


def details(tab) -> str:
    """What the page says when asked for more."""
    tab.page.get_by_text(re.compile("View details|See errors", re.I)).first.click()
    tab.page.wait_for_timeout(700)
    for more in tab.page.get_by_role("button", name=re.compile("info|details", re.I)).all():
        if more.is_visible():
            more.click()
    tab.page.wait_for_timeout(500)
    return tab.page.locator("body").inner_text()


def test_a_refusal_stands_on_its_node(tab):
    tab.open()
    tab.show("text_to_video", **QUICK)
    tab.page.evaluate("() => app.graph._nodes.find(node => node.type === 'SoraSampler').disconnectInput(1)")
    refused(tab)
    tab.until(lambda: tab.red() == ["SoraSampler"], "the red node")
    tab.page.wait_for_timeout(500)
    tab.picture("refused")
    tab.set("SoraSaveVideo", "filename_prefix", "../outside")
    refused(tab)
    tab.until(lambda: set(tab.red()) == {"SoraSampler", "SoraSaveVideo"}, "the red nodes")
    assert "../outside" in details(tab)
    tab.picture("refused_details")


def test_what_goes_wrong_in_a_run_stands_on_its_node(tab):
    (tab.studio.base / "input").mkdir(exist_ok=True)
    whole = (WORKFLOWS / "inputs" / "sora_still.png").read_bytes()
    (tab.studio.base / "input" / "cut.png").write_bytes(whole[: len(whole) // 2])
    tab.open()
    tab.page.evaluate(
        "graph => app.loadApiJson(graph, 'cut')",
        {
            "1": {"class_type": "LoadImage", "inputs": {"image": "cut.png"}},
            "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
        },
    )
    tab.fit()
    job = tab.run()
    told = tab.ends(job, "execution_error")
    assert told["node_type"] == "LoadImage" and "cut.png" in told["exception_message"]
    assert told["traceback"] == []
    tab.until(lambda: tab.red() == ["LoadImage"], "the red node")
    tab.page.get_by_test_id("toast").filter(has_text="cut.png").or_(
        tab.page.locator(".p-toast-message", has_text="cut.png")
    ).first.wait_for()
    tab.picture("failed")


def test_a_locked_policy_blocks_a_prompt_in_words_on_the_node(another_tab, tmp_path):
    policy = tmp_path / "policy.toml"
    policy.write_text('name = "studio"\nlocked = true\n[prompt]\naction = "block"\n')
    studio = Studio(tmp_path / "base", "--policy", str(policy))
    try:
        tab = another_tab(studio).open()
        tab.show("text_to_video", **QUICK)
        tab.text_box("SoraTextEncode").fill("a naked child")
        refused(tab)
        tab.until(lambda: tab.red() == ["SoraTextEncode"], "the red node")
        assert "against the policy 'studio'" in details(tab)
        tab.picture("blocked")
    finally:
        studio.stop()
