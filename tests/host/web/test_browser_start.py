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


def test_a_template_opens_by_a_click_and_runs_as_a_form(tab):
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
    assert not tab.red() and not tab.complaints
