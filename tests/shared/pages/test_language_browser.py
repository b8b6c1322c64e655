"""A page in the reader's language, in a real browser."""

from pathlib import Path
from typing import Any

import pytest

from shared.pages import document
from tests.browser_page import chromium  # noqa: F401

BODY = """<h1 translate=no>done</h1><p id=count>3 tokens</p><p id=state title=running>done</p>
<pre>done</pre><p id=other>a sentence of no catalogue</p>"""


@pytest.fixture
def address(tmp_path: Path) -> str:
    file = tmp_path / "page.html"
    file.write_text(document("t", BODY), encoding="utf-8")
    return file.as_uri()


def opened(chromium: Any, address: str, locale: str) -> Any:  # noqa: F811
    page = chromium.new_context(locale=locale).new_page()
    page.goto(address)
    return page


def test_the_browsers_language_decides_and_what_is_data_stays(chromium: Any, address: str) -> None:  # noqa: F811
    page = opened(chromium, address, "zh-CN")
    assert page.inner_text("#count") == "3 个 token"
    assert page.inner_text("#state") == "完成"
    assert page.get_attribute("#state", "title") == "运行中"
    assert page.inner_text("h1") == "done"
    assert page.inner_text("pre") == "done"
    assert page.inner_text("#other") == "a sentence of no catalogue"
    assert opened(chromium, address, "en-US").inner_text("#state") == "done"


def test_the_switch_goes_both_ways_and_is_remembered(chromium: Any, address: str) -> None:  # noqa: F811
    page = opened(chromium, address, "en-US")
    page.click("button.language")
    assert page.inner_text("#state") == "完成"
    page.reload()
    assert page.inner_text("#state") == "完成"
    page.click("button.language")
    assert page.inner_text("#state") == "done"
    assert page.inner_text("#count") == "3 tokens"
    assert page.evaluate("document.documentElement.lang") == "en"


def test_what_a_script_writes_later_is_translated_as_well(chromium: Any, address: str) -> None:  # noqa: F811
    page = opened(chromium, address, "zh-CN")
    page.evaluate("document.getElementById('state').textContent = 'paused'")
    page.evaluate("document.getElementById('state').title = 'idle'")
    page.wait_for_selector("#state:has-text('已暂停')")
    page.wait_for_selector("#state[title=空闲]")
    page.click("button.language")
    assert page.inner_text("#state") == "paused"


def test_markup_in_a_text_that_is_filled_in_stays_text(chromium: Any, address: str) -> None:  # noqa: F811
    page = opened(chromium, address, "zh-CN")
    hostile = "failed: <img src=x onerror=alert(1)>$&"
    page.evaluate("text => document.getElementById('state').textContent = text", hostile)
    page.wait_for_selector("#state:has-text('失败')")
    assert page.inner_text("#state") == "失败：<img src=x onerror=alert(1)>$&"
    assert page.locator("img").count() == 0
