"""The dashboard on a phone and a desk, light and dark, in English and Chinese."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.browser_page import chromium  # noqa: F401
from tests.generator.monitor.served_run import TOKEN, served
from tests.page_checks import check_page


@contextmanager
def dashboard() -> Iterator[str]:
    """A dashboard in a thread of its own: the browser's driver blocks this one."""
    loop = asyncio.new_event_loop()
    is_up = threading.Event()
    stop = asyncio.Event()
    addresses: list[str] = []

    async def serve() -> None:
        async with served() as (url, _):
            addresses.append(url)
            is_up.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert is_up.wait(30)
    try:
        yield addresses[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        loop.close()


def is_drawn(page: Any) -> None:
    page.wait_for_selector("#lanes .lane")


def test_the_dashboard_is_accessible_fits_a_phone_and_speaks_chinese(chromium: Any) -> None:  # noqa: F811
    with dashboard() as url:
        check_page(chromium, url + "/", is_drawn, data_texts=r"<script>.*|free( says)?")


def test_controls_look_disabled_until_there_is_a_token_and_a_wrong_one_is_told(
    chromium: Any,  # noqa: F811
) -> None:
    with dashboard() as url:
        page = chromium.new_page()
        page.goto(url + "/")
        assert page.is_disabled("[data-do=pause]")
        assert "GENERATOR_TOKEN" in str(page.get_attribute("[data-do=pause]", "title"))
        page.fill("#token", "wrong")
        page.click("[data-do=pause]")
        page.wait_for_selector("#outcome:has-text('token')")
        page.fill("#token", TOKEN)
        page.click("[data-do=pause]")
        page.wait_for_selector("#outcome:has-text('pause')")
        page.close()
