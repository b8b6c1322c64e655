"""The HTTP server: who may ask what, what it says, and a dashboard that hostile text cannot
break.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, get_args

import aiohttp
import pytest
from yarl import URL

from generator.monitor.server import Access, dashboard_server
from generator.monitor.status import BudgetStatus, LaneState, LaneStatus, RunStatus
from shared.errors import InputError
from shared.records import Trace, Usage
from tests.generator.monitor.browser import browser, chromium
from tests.generator.process_runs import free_port

HOSTILE = (
    '<script>window.pwned=1;alert(1)</script><img src=x onerror="window.pwned=2"><svg'
    " onload='window.pwned=3'>"
)
TOKEN = "open sesame"


def a_status(**changes: Any) -> RunStatus:
    lane = LaneStatus(
        name="free",
        model=HOSTILE,
        state="used up",
        reason=f"free says {HOSTILE}",
        in_flight=3,
        waiting=4,
        limit=8,
        ceiling=64,
        calls=100,
        errors={HOSTILE: 7, "rate_limited": 2},
        tokens=5000,
        usd=0.25,
        budgets=[BudgetStatus("free", "calls_per_day", 100, 100, "2026-11-25T16:00:00+00:00")],
    )
    fields: dict[str, Any] = {
        "corpus": HOSTILE,
        "phase": "idle",
        "note": HOSTILE,
        "started_at": "2026-11-24T00:00:00+00:00",
        "at": "2026-11-24T01:00:00+00:00",
        "elapsed_seconds": 3600.0,
        "total": 50,
        "done": 20,
        "kept": 15,
        "rejected": 5,
        "verdicts": {"correct": 15, HOSTILE: 5},
        "in_flight": 3,
        "asking": 7,
        "grading": 1,
        "tokens": 5000,
        "tokens_per_second": 90.0,
        "errors": {HOSTILE: 7},
        "usd": 0.25,
        "eta_seconds": 60.0,
        "lanes": [lane],
    }
    return RunStatus(**{**fields, **changes})


def a_trace(number: int, text: str) -> Trace:
    return Trace(
        id=f"{number:016x}:0",
        problem_id=f"{number:016x}",
        sample=0,
        source=text,
        problem=text,
        gold=text,
        messages=[],
        reasoning=text,
        response=text,
        final_answer=text,
        verdict="correct",
        reason=text,
        checked_by="exact",
        finish_reason="stop",
        lane="free",
        model=text,
        model_returned=text,
        params={},
        usage=Usage(10, 20),
        cost_usd=None,
        timing={"first_token_seconds": 0.1, "total_seconds": 2.0},
        attempts=1,
        started_at="2026-11-24T00:00:00+00:00",
        finished_at="2026-11-24T00:00:02+00:00",
    )


class RecordedControls:
    """A run's controls that write down what they were asked."""

    def __init__(self) -> None:
        self.requests: list[str] = []

    def pause(self, lane: str = "") -> None:
        if lane not in ("", "free"):
            raise KeyError(lane)
        self.requests.append(f"pause {lane}".strip())

    def resume(self, lane: str = "") -> None:
        self.requests.append(f"resume {lane}".strip())

    def drain(self, why: str) -> None:
        self.requests.append("drain")

    def reload(self) -> list[str]:
        raise InputError("config.toml:3: lane.0.concurrency: must be a number")


TRACES = [
    a_trace(0, HOSTILE),
    a_trace(1, f"Solve $\\text{{{HOSTILE}}} + \\frac{{1}}{{2}}$ and \\boxed{{{HOSTILE}}}"),
]


@asynccontextmanager
async def served(token: str = TOKEN, **changes: Any) -> AsyncIterator[tuple[str, RecordedControls]]:
    controls = RecordedControls()
    access = Access("127.0.0.1", token, "GENERATOR_TOKEN")
    async with dashboard_server(
        "127.0.0.1", free_port(), access, lambda: a_status(**changes), lambda: TRACES, controls
    ) as url:
        yield url.rstrip("/"), controls


async def ask(method: str, url: str, **headers: str) -> tuple[int, str]:
    header_fields = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, headers=header_fields) as reply,
    ):
        return reply.status, await reply.text()


POSTS = ["/pause", "/resume", "/drain", "/reload", "/lanes/free/pause", "/lanes/free/resume"]


@pytest.mark.parametrize("path", POSTS)
async def test_a_post_without_the_token_is_401_and_does_nothing(path: str) -> None:
    async with served() as (url, controls):
        for headers in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": "Basic b3BlbiBzZXNhbWU6b3BlbiBzZXNhbWU="},
        ):
            assert (await ask("POST", url + path, **headers))[0] == 401
        assert controls.requests == []


@pytest.mark.parametrize("path", POSTS)
async def test_where_no_token_is_set_no_post_works_at_all(path: str) -> None:
    async with served(token="") as (url, controls):
        for bearer in ("Bearer ", "Bearer x", "Bearer None"):
            status, text = await ask("POST", url + path, Authorization=bearer)
            assert status == 401
            assert "GENERATOR_TOKEN" in text
        assert controls.requests == []


@pytest.mark.parametrize("path", [*POSTS, "/status"])
async def test_a_foreign_origin_or_host_is_403_even_with_the_token(path: str) -> None:
    method = "GET" if path == "/status" else "POST"
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    async with served() as (url, controls):
        foreign: list[dict[str, str]] = [
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Host": "evil.example"},
            {"Host": "evil.example:8700"},
            {"Host": "127.0.0.1.evil.example"},
            {"Host": "192.168.1.20"},
            {"Sec-Fetch-Site": "cross-site"},
        ]
        for headers in foreign:
            assert (await ask(method, url + path, **bearer, **headers))[0] == 403, headers
        assert controls.requests == []


async def test_posts_with_the_token_steer_the_run() -> None:
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    async with served() as (url, controls):
        for path in ("/pause", "/resume", "/lanes/free/pause", "/lanes/free/resume", "/drain"):
            assert (await ask("POST", url + path, **bearer, Origin=url))[0] == 200
        assert controls.requests == ["pause", "resume", "pause free", "resume free", "drain"]
        assert (await ask("POST", url + "/lanes/other/pause", **bearer))[0] == 404
        status, text = await ask("POST", url + "/reload", **bearer)
        assert status == 400
        assert "config.toml:3" in text


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.20", "::", "example.org"])
def test_it_refuses_to_listen_elsewhere_without_a_token(host: str) -> None:
    with pytest.raises(InputError, match=r"only with a token: export GENERATOR_TOKEN"):
        Access(host, "", "GENERATOR_TOKEN")


def test_elsewhere_than_on_loopback_reading_needs_the_token_too() -> None:
    access = Access("0.0.0.0", TOKEN, "GENERATOR_TOKEN")
    host = {"Host": "192.168.1.20:8700"}
    refusal = access.check("GET", "/", host)
    assert refusal is not None
    assert refusal.status == 401
    assert access.check("GET", "/healthz", host) is None
    assert access.check("GET", "/", {**host, "Authorization": f"Bearer {TOKEN}"}) is None
    rebound = access.check("GET", "/", {"Host": "evil.example", "Authorization": f"Bearer {TOKEN}"})
    assert rebound is not None
    assert rebound.status == 403


async def test_status_history_traces_and_metrics_say_what_the_run_does() -> None:
    async with served() as (url, _), aiohttp.ClientSession() as session:
        assert (await (await session.get(url + "/status")).json())["done"] == 20
        assert (await (await session.get(url + "/history")).json())["samples"][0][1:] == [
            90.0,
            3,
            8,
            20,
        ]
        assert [each["id"] for each in await (await session.get(url + "/traces")).json()] == [
            t.id for t in TRACES
        ]
        metrics = await (await session.get(url + "/metrics")).text()
        assert any(line.startswith("stillhouse_tasks ") for line in metrics.splitlines())
        assert 'stillhouse_samples_total{pile="kept"} 15.0' in metrics
        assert 'stillhouse_lane_budget_limit{budget="calls_per_day",lane="free"} 100.0' in metrics
        assert (await session.get(url + "/healthz")).status == 200
        assert (await session.get(url + "/readyz")).status == 200
        assert (await session.get(url + "/nothing")).status == 404


async def test_metrics_tell_how_late_the_event_loop_is() -> None:
    async with served() as (url, _), aiohttp.ClientSession() as session:
        await asyncio.sleep(0.2)
        # the loop hangs: a timer that was due meanwhile is late
        asyncio.get_running_loop().call_soon(time.sleep, 0.4)
        await asyncio.sleep(0.1)
        metrics = await (await session.get(url + "/metrics")).text()
    lags = {
        share: float(line.split()[-1])
        for line in metrics.splitlines()
        for share in ("0.5", "0.99", "1")
        if line.startswith(f'stillhouse_loop_lag_seconds{{quantile="{share}"}}')
    }
    assert list(lags) == ["0.5", "0.99", "1"]
    assert 0 <= lags["0.5"] <= lags["0.99"] <= lags["1"]
    assert lags["1"] > 0.3


@pytest.mark.parametrize("state", get_args(LaneState))
async def test_metrics_tell_every_state_that_a_lane_can_be_in(state: LaneState) -> None:
    lane = replace(a_status().lanes[0], state=state)
    async with served(lanes=[lane]) as (url, _), aiohttp.ClientSession() as session:
        metrics = await (await session.get(url + "/metrics")).text()
    assert [
        line
        for line in metrics.splitlines()
        if line.startswith("stillhouse_lane_state{") and line.endswith(" 1.0")
    ] == [f'stillhouse_lane_state{{lane="free",state="{state}"}} 1.0']


async def test_a_run_that_drains_is_alive_and_not_ready() -> None:
    async with served(phase="draining") as (url, _):
        assert (await ask("GET", url + "/healthz"))[0] == 200
        assert (await ask("GET", url + "/readyz"))[0] == 503


async def test_a_taken_port_gives_the_next_one_on_loopback() -> None:
    async with served() as (url, _):
        port = int(url.rpartition(":")[2])
        access = Access("127.0.0.1", "", "GENERATOR_TOKEN")
        async with dashboard_server(
            "127.0.0.1", port, access, a_status, lambda: [], RecordedControls()
        ) as next_url:
            assert int(next_url.rstrip("/").rpartition(":")[2]) > port


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
    chromium()
    async with served() as (url, _), browser() as page:
        await page.open(url)
        await page.until("document.querySelectorAll('.trace').length === 2")
        await page.evaluate(
            "document.querySelectorAll('.trace').forEach((each) => { each.open = true; })"
        )
        await page.until("document.querySelectorAll('.inside details').length === 2")
        await page.evaluate(
            "document.querySelectorAll('.inside details').forEach((each) => { each.open = true; })"
        )
        await page.until("document.querySelectorAll('.inside details .prose').length === 2")
        await asyncio.sleep(1.0)
        assert await page.evaluate("typeof window.pwned") == "undefined"
        assert page.dialogs == []
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
    chromium()
    async with served() as (url, _), browser() as page:
        await page.open(url)
        await page.until("document.querySelector('#lanes .meter') !== null")
        text = await page.evaluate("document.querySelector('#lanes .meter').innerText")
    assert "100 of 100, resets in 39 h 00 min" in text


async def test_the_dashboard_gives_no_time_below_zero_for_a_reset_that_has_passed() -> None:
    chromium()
    async with served(at="2026-11-27T18:45:32+00:00") as (url, _), browser() as page:
        await page.open(url)
        await page.until("document.querySelector('#lanes .meter') !== null")
        text = await page.evaluate("document.querySelector('#lanes .meter').innerText")
    assert "100 of 100, reset is due" in text


async def test_time_labels_of_the_chart_differ_and_fit_for_any_span_and_width() -> None:
    chromium()
    begin = 1_795_800_003.7
    async with served() as (url, _), browser() as page:
        await page.open(url)
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
    chromium()
    async with served() as (url, _), browser() as page:
        await page.open(url)
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


MALFORMED = [
    b"POST /%ff HTTP/\r\n\r\n",
    b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    b"GET /status HTTP/1.1\r\nHost: localhost\r\nOrigin: http://[\r\n\r\n",
    b"POST /pause HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \xff\xfe\r\n\r\n",
    b"GET /status HTTP/1.1\r\nHost: http://[\r\n\r\n",
]


@pytest.mark.parametrize(
    "request_bytes", MALFORMED, ids=[str(number) for number in range(len(MALFORMED))]
)
async def test_a_malformed_request_is_refused_and_leaves_no_traceback(
    request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with served() as (url, controls):
        reader, writer = await asyncio.open_connection("127.0.0.1", URL(url).port)
        writer.write(request_bytes)
        writer.write_eof()
        status_line = (await asyncio.wait_for(reader.read(), 10)).split(b"\r\n")[0]
        writer.close()
    assert not status_line or status_line.split()[1] in (b"400", b"401", b"403", b"404")
    assert controls.requests == []
    assert "Traceback" not in caplog.text
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("path", ["/status", "/pause", "/nowhere", "/lanes/x/y"])
async def test_an_expectation_that_is_no_text_is_no_fault_of_the_server(path: str) -> None:
    async with served() as (url, _):
        host, port = url.removeprefix("http://").split(":")
        for method in ("GET", "POST", "PUT"):
            reader, writer = await asyncio.open_connection(host, int(port))
            request = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nExpect: \udcff\r\n\r\n"
            writer.write(request.encode(errors="surrogateescape"))
            status_line = await reader.readline()
            assert status_line.split()[1] in (b"200", b"401", b"404", b"405"), status_line
            writer.close()


async def test_a_path_that_only_another_method_serves_is_405() -> None:
    async with served() as (url, _):
        assert (await ask("GET", url + "/pause"))[0] == 405
        assert (await ask("GET", url + "/nowhere"))[0] == 404
