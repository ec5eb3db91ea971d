"""The official frontend on our server, in Chromium: the panel of jobs, several pages, and a server that dies."""

from __future__ import annotations

import pytest
from browser_support import LONG, Studio, browser_needed

pytestmark = [pytest.mark.slow, browser_needed]
QUICK = {
    "SoraEmptyLatent__seconds": 1.0,
    "SoraEmptyLatent__width": 64,
    "SoraEmptyLatent__height": 64,
    "SoraSampler__steps": 2,
}
ENDLESS = {**QUICK, "SoraEmptyLatent__width": 128, "SoraEmptyLatent__height": 128, "SoraSampler__steps": 900}


def test_the_panel_cancels_one_job_and_opens_another(tab):
    tab.open()
    tab.show("text_to_video", **QUICK)
    tab.text_box("SoraTextEncode").fill("a cat of before")
    done = tab.run()
    tab.ends(done)
    tab.show("text_to_video", **ENDLESS)
    running = tab.run()
    waiting = tab.run()
    tab.hears("progress", running)
    panel(tab)
    row = tab.page.locator(f"[data-job-id='{waiting}']")
    row.hover()
    tab.picture("queue")
    row.get_by_role("button", name="Cancel").click()
    tab.until(lambda: not tab.studio.ask("/queue")["queue_pending"], "the waiting job is gone")
    assert tab.studio.ask(f"/jobs/{running}")["status"] == "in_progress"
    tab.page.locator(f"[data-job-id='{running}']").hover()
    tab.page.locator(f"[data-job-id='{running}']").get_by_role("button", name="Cancel").click()
    tab.ends(running, "execution_interrupted")
    row = tab.page.locator(f"[data-job-id='{done}']")
    row.click(button="right")
    tab.picture("queue_menu")
    tab.page.get_by_text("Open as workflow in new tab").first.click()
    opened = "a cat of before"
    tab.until(lambda: tab.nodes() and tab.node("SoraTextEncode")["widgets"]["text"] == opened, "the job's graph")
    tab.page.wait_for_timeout(500)
    tab.picture("queue_opened")
    assert not tab.complaints and not tab.red()


def panel(tab) -> None:
    """Open the list of jobs."""
    tab.page.get_by_test_id("queue-overlay-toggle").first.click()
    tab.page.locator("[data-job-id]").first.wait_for()


def test_what_holds_the_queue_is_told_once_and_when_it_goes_on(tab):
    tab.open()
    # As the socket hands on what tests/host/web/test_trouble.py hears of a full disk.
    tell = """async status => {
        const { api } = await import('/scripts/api.js');
        api.dispatchEvent(new CustomEvent('status', { detail: { exec_info: { queue_remaining: 1 }, ...status } }));
    }"""
    shown = tab.page.get_by_text("The queue is on hold")
    tab.page.evaluate(tell, {"held": "The queue cannot be written (database or disk is full)."})
    shown.first.wait_for()
    once = shown.count()  # some frontends write it twice, for ears too
    for _ in range(2):
        tab.page.evaluate(tell, {"held": "The disk is gone."})
    tab.page.get_by_text("The disk is gone.").first.wait_for()
    tab.picture("held")
    assert shown.count() == 2 * once
    tab.page.evaluate(tell, {})
    tab.page.get_by_text("The queue goes on").first.wait_for()
    assert not tab.complaints


def test_what_the_end_of_the_server_interrupted_runs_again_by_a_click(another_tab, tmp_path):
    studio = Studio(tmp_path / "base")
    try:
        tab = another_tab(studio).open()
        tab.show("text_to_video", **{**QUICK, "SoraSampler__steps": 60})
        job = tab.run()
        tab.until(lambda: any(data["max"] == 60 for data in tab.told("progress", job)), "steps")
        studio.kill()
        studio.start()
        tab.page.get_by_text("Queue them again?").wait_for()
        assert studio.ask(f"/jobs/{job}")["interrupted"] is True
        tab.picture("interrupted_jobs")
        tab.page.get_by_role("button", name="Confirm").click()
        tab.ends(job)
        assert studio.ask(f"/jobs/{job}")["status"] == "completed"
        tab.page.locator("video").first.wait_for()
        tab.picture("interrupted_again")
    finally:
        studio.stop()


def test_two_browsers_see_each_their_own_progress_and_one_queue(tab, another_tab):
    other = another_tab(tab.studio)
    for page in (tab, other):
        page.open()
        page.show("text_to_video", **QUICK)
    tab.set("SoraSampler", "steps", 300)  # until the other one has looked
    mine = tab.run()
    theirs = other.run()
    count = "() => [...document.querySelectorAll('[data-testid=queue-overlay-toggle]')].map(e => e.textContent).join()"
    other.until(lambda: "2" in other.page.evaluate(count), "the shared queue")
    other.picture("shared_queue")
    tab.hears("execution_success", mine, LONG * 3)
    other.ends(theirs)
    for page, own, foreign in ((tab, mine, theirs), (other, theirs, mine)):
        page.page.wait_for_timeout(200)
        assert page.told("progress", own) and page.told("executed", own)
        assert not [data for _, data, _ in page.messages if data.get("prompt_id") == foreign]
        assert {about["prompt_id"] for about, _ in page.previews} <= {own}


def test_a_closed_tab_stops_nothing_and_the_next_one_shows_it(tab, another_tab):
    tab.open()
    tab.show("text_to_video", **{**ENDLESS, "SoraSampler__steps": 250})  # until the next tab is open
    job = tab.run()
    tab.until(lambda: any(data["max"] == 250 for data in tab.told("progress", job)), "steps")
    tab.close()
    again = another_tab(tab.studio).open()
    again.show("text_to_video")
    again.hears("progress_state", job)
    again.picture("next_tab")
    again.hears("execution_success", job, LONG * 3)
    again.page.locator("video").first.wait_for()
    again.page.wait_for_timeout(500)
    again.picture("next_tab_done")
    assert again.studio.ask(f"/jobs/{job}")["status"] == "completed"
