"""One server and one browser for the tests of the page; each test gets a fresh tab and an empty desk."""

from __future__ import annotations

import browser_support
import pytest
from browser_support import Studio, Tab

SIZE = {"width": 1680, "height": 1000}


@pytest.fixture(scope="session")
def studio_process(tmp_path_factory):
    """The server that most tests share."""
    studio = Studio(tmp_path_factory.mktemp("studio") / "base")
    yield studio
    studio.stop()


@pytest.fixture()
def studio(studio_process):
    """The shared server, with nothing on its desk."""
    studio_process.forget()
    return studio_process


@pytest.fixture(scope="module")
def browser():
    """A browser. For a module alone: while it is open, no other test could have an event loop."""
    with browser_support.chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def shared_context(browser):
    """What most tabs share, the cache of the page's scripts above all."""
    context = browser.new_context(viewport=SIZE, reduced_motion="reduce")
    # Each tab is somebody who comes for the first time.
    context.add_init_script(
        "if (!sessionStorage.getItem('a test')) { localStorage.clear(); sessionStorage.setItem('a test', '1'); }"
    )
    # Libraries of the frontend look whether they may evaluate text, and go on without. It also asks its makers' server
    # about nodes that fail, which the page has no leave to reach.
    context.add_init_script(
        "addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI, sourceFile }) => {"
        " if (blockedURI === 'eval' || !violatedDirective.startsWith('script')) return;"
        " (window.refused ??= []).push(`${violatedDirective} ${blockedURI} ${sourceFile}`); })"
    )
    yield context
    context.close()


@pytest.fixture()
def tab(studio, shared_context, tmp_path):
    """A fresh tab on the shared server."""
    tab = Tab(shared_context, studio, browser_support.pictures(tmp_path))
    yield tab
    refused = [] if tab.page.is_closed() else tab.page.evaluate("() => window.refused ?? []")
    tab.close()
    assert not refused, "the page asks for more than its Content-Security-Policy allows"


@pytest.fixture()
def another_tab(browser, tmp_path):
    """Make a tab of another person's browser, which shares nothing. Takes a studio, and options of the browser."""
    made = []

    def make(studio, **options):
        made.append(browser.new_context(**{"viewport": SIZE, "reduced_motion": "reduce", **options}))
        return Tab(made[-1], studio, browser_support.pictures(tmp_path))

    yield make
    for context in made:
        context.close()
