"""A real Chromium for tests of pages: import the fixtures `chromium` and `page` where they are
used, and `tab_beside_server` where the test's own event loop serves the page.
"""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: no browser tests"
)
from playwright.async_api import async_playwright, expect  # noqa: E402, F401

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


def executable() -> str:
    """Chromium's path; without one the test is skipped and says so."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium here: install chromium to run the browser tests")
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless browser for one module's tests."""
    path = executable()
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@asynccontextmanager
async def tab_beside_server() -> AsyncIterator[Any]:
    """A tab of playwright's asyncio interface, in a browser of its own."""
    path = executable()
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=path, args=FLAGS)
        yield await browser.new_page()
        await browser.close()


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
