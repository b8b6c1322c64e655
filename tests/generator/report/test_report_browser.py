"""The corpus report in a real browser: search, addresses of samples, and what holds of every page."""

from typing import Any
from urllib.parse import unquote

import pytest

from generator.report import write_report
from tests.browser_page import chromium  # noqa: F401
from tests.generator.corpora import trace, write_corpus
from tests.page_checks import check_page


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    traces = [
        trace(f"Question {n}?", 0, "4" if n % 3 else "5", tokens=50 + 37 * n) for n in range(60)
    ]
    traces.append(trace("Cut?", verdict="truncated", reason="cut by max_tokens"))
    write_report(write_corpus(folder / "corpus", traces), folder / "report.html")
    return (folder / "report.html").as_uri()


def test_the_report_is_accessible_fits_a_phone_and_speaks_chinese(
    chromium: Any,  # noqa: F811
    address: str,
) -> None:
    texts = r"corpus|made/up|tests?|lane|model|exact|cut by max_tokens|last box; not eq…|not equal.*|.*· .*"
    check_page(chromium, address, lambda page: page.wait_for_selector("#search"), texts)


def test_samples_are_searched_and_have_addresses(chromium: Any, address: str) -> None:  # noqa: F811
    page = chromium.new_page()
    page.goto(address)
    cards = page.locator("details[id^=sample-]")
    page.fill("#search", "cut?")
    assert page.inner_text("#matches").startswith("1 ")
    assert cards.locator("visible=true").count() == 1
    page.fill("#search", "")
    name = str(cards.nth(2).get_attribute("id"))
    page.goto(f"{address}#{name}")
    page.reload()
    assert page.get_attribute(f"details[id='{name}']", "open") is not None
    cards.nth(0).locator("summary").click()
    first_id = str(cards.nth(0).get_attribute("id"))
    page.wait_for_url(lambda url: unquote(url).endswith(f"#{first_id}"))
    page.close()
