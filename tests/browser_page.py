"""A real Chromium for tests of pages: import the fixtures `chromium` and `page` where they are
used.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: no browser tests"
)

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless browser for one module's tests; without one they are skipped and say so."""
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        pytest.skip("no Chromium here: install chromium to run the browser tests")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def watched_tab(chromium: Any) -> Iterator[Any]:
    """A tab; AssertionError at its end where the page logged an error, opened a dialog or asked
    for anything but itself.
    """
    context = chromium.new_context(viewport={"width": 1360, "height": 1000})
    tab = context.new_page()
    faults: list[str] = []

    def on_dialog(dialog: Any) -> None:
        faults.append(dialog.message)
        dialog.dismiss()

    def on_request(request: Any) -> None:
        if not request.is_navigation_request():
            faults.append(request.url)

    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("dialog", on_dialog)
    tab.on("request", on_request)
    yield tab
    context.close()
    assert faults == []


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A watched tab of its own for each test."""
    with watched_tab(chromium) as tab:
        yield tab
