"""The dashboard in a browser: hostile text cannot break it, times and formulas can be read."""

import asyncio
from typing import Any

import aiohttp

from tests.browser_page import expect, tab_beside_server
from tests.generator.monitor.served_run import served


async def test_the_page_needs_nothing_from_elsewhere_and_lets_nothing_else_run() -> None:
    async with served() as (url, _), aiohttp.ClientSession() as session, session.get(url) as reply:
        page = await reply.text()
        policy = reply.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "innerHTML" not in page.replace("there is no innerHTML", "")
    outside = page.replace("http://www.w3.org/1998/Math/MathML", "")
    assert "http://" not in outside
    assert "https://" not in outside


async def test_script_in_problems_traces_models_and_errors_does_not_run_in_the_dashboard() -> None:
    async with served() as (url, _), tab_beside_server() as page:
        dialogs: list[str] = []

        async def on_dialog(dialog: Any) -> None:
            dialogs.append(dialog.message)
            await dialog.dismiss()

        page.on("dialog", on_dialog)
        await page.goto(url)
        await expect(page.locator(".trace")).to_have_count(2)
        await page.evaluate(
            "document.querySelectorAll('.trace').forEach((each) => { each.open = true; })"
        )
        await expect(page.locator(".inside details")).to_have_count(2)
        await page.evaluate(
            "document.querySelectorAll('.inside details').forEach((each) => { each.open = true; })"
        )
        await expect(page.locator(".inside details .prose")).to_have_count(2)
        await asyncio.sleep(1.0)
        assert await page.evaluate("typeof window.pwned") == "undefined"
        assert dialogs == []
        assert (
            await page.evaluate(
                "document.querySelectorAll('main img, main script, main svg, main iframe').length"
            )
            == 0
        )
        text = await page.evaluate("document.body.innerText")
        # shown as it is, not swallowed
        assert text.count("<script>window.pwned=1;alert(1)</script>") > 5
        assert await page.evaluate("document.querySelectorAll('.inside math mfrac').length") > 0


async def test_the_dashboard_counts_a_reset_by_the_runs_clock() -> None:
    """The browser's clock, on another machine or years later, does not matter."""
    async with served() as (url, _), tab_beside_server() as page:
        await page.goto(url)
        await page.wait_for_selector("#lanes .meter")
        text = await page.evaluate("document.querySelector('#lanes .meter').innerText")
    assert "100 of 100, resets in 39 h 00 min" in text


async def test_the_dashboard_gives_no_time_below_zero_for_a_reset_that_has_passed() -> None:
    async with served(at="2026-11-27T18:45:32+00:00") as (url, _), tab_beside_server() as page:
        await page.goto(url)
        await page.wait_for_selector("#lanes .meter")
        text = await page.evaluate("document.querySelector('#lanes .meter').innerText")
    assert "100 of 100, reset is due" in text


async def test_time_labels_of_the_chart_differ_and_fit_for_any_span_and_width() -> None:
    begin = 1_795_800_003.7
    async with served() as (url, _), tab_beside_server() as page:
        await page.goto(url)
        for span in (1, 4, 20, 59, 100, 240, 290, 600, 1800):
            for width in (200, 420, 900, 1400):
                ticks = await page.evaluate(f"timeTicks({begin}, {begin + span}, {width})")
                labels = [tick["label"] for tick in ticks]
                assert len(set(labels)) == len(labels) >= 1, (span, width, labels)
                assert all(begin <= tick["time"] <= begin + span for tick in ticks)
                pixels = 80 * len(labels) - 80
                assert pixels <= width, (span, width, labels)
        minutes = await page.evaluate(f"timeTicks({begin}, {begin} + 240, 900)")
        assert len(minutes) >= 4


FORMULAS = {
    r"$\frac{1}{2}$": "mfrac",
    r"\(x^2_1\)": "msubsup",
    r"\[\sqrt[3]{8} = 2\]": "mroot",
    r"so \boxed{\dfrac{3}{4}} it is": ".boxed",
    "$$a \\le b$$": "math[display=block]",
}


async def test_math_is_readable_and_money_stays_money() -> None:
    async with served() as (url, _), tab_beside_server() as page:
        await page.goto(url)
        for text, selector in FORMULAS.items():
            count = await page.evaluate(
                "(() => { const box = document.createElement('div');"
                f" box.append(renderText({text!r})); return"
                f" box.querySelectorAll({selector!r}).length; }})()"
            )
            assert count == 1, text
        money = await page.evaluate(
            "(() => { const box = document.createElement('div'); box.append(renderText('costs $5"
            " and $7')); return box.innerHTML; })()"
        )
        assert money == "costs $5 and $7"
