"""The HTTP server: who may ask what, and what it says."""

import asyncio
import time
from dataclasses import replace
from typing import get_args

import aiohttp
import pytest
from yarl import URL

from generator.monitor.server import Access, dashboard_server
from generator.monitor.status import LaneState
from shared.errors import InputError
from tests.generator.monitor.served_run import (
    TOKEN,
    TRACES,
    RecordedControls,
    a_status,
    ask,
    served,
)

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
