"""One call to a client, against real servers: clocks, breaks, what is left of a failed call,
and what surrounds it.
"""

import asyncio
import os
import resource
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from generator.config import LaneConfig, TimeoutsConfig
from generator.keys import key_of
from generator.record import verdict_without_grading
from shared.chat_api import ChatClient, Clocks
from shared.chat_api.errors import (
    Cut,
    OutOfFiles,
    Overran,
    Oversized,
    Stalled,
    UnknownModel,
    Unreachable,
)
from shared.chat_api.request import Request
from shared.errors import InputError
from tests.fake_server import floods, refuses, says, scripted
from tests.shared.chat_api.calls import COMMENT, KEY, PATIENT, REQUEST, WHOLE, failure, failure_of
from tests.shared.chat_api.dialect_streams import ANSWERS
from tests.shared.chat_api.stream_events import SAID, STOP, THOUGHT, chunk, sayings, sse, thoughts


async def test_the_request_is_what_the_sample_asks_for() -> None:
    async with (
        scripted(WHOLE) as server,
        ChatClient(server.url, KEY, PATIENT) as client,
    ):
        completion = await client.call(replace(REQUEST, extra={"enable_thinking": True}))
    assert server.bodies == [
        {
            "model": "r1",
            "messages": REQUEST.messages,
            "temperature": 0.6,
            "top_p": 0.95,
            "max_tokens": 1000,
            "stream": True,
            "stream_options": {"include_usage": True},
            "enable_thinking": True,
        }
    ]
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert (completion.reasoning, completion.response, completion.model_returned) == (
        THOUGHT,
        SAID,
        "r1",
    )
    assert completion.usage.reasoning_tokens == 6
    assert completion.usage.cached_tokens == 3
    assert completion.first_token_seconds is not None
    assert 0 < completion.first_token_seconds <= completion.total_seconds


@pytest.mark.parametrize("finish", ["length", "max_tokens", "MAX_TOKENS"])
@pytest.mark.parametrize(
    "events",
    [
        thoughts(),
        sayings("<think>\nperhaps \\boxed{4}, wait"),
        sayings(
            "perhaps \\boxed{4}, wait"
        ),  # the template opened the thinking: no tag, and none that closes it
    ],
)
async def test_a_thought_that_was_cut_is_truncated_however_it_is_sent(
    events: list[dict[str, Any]], finish: str
) -> None:
    body = sse(*events, chunk({}, finish))
    async with scripted(says([body])) as server, ChatClient(server.url, KEY, PATIENT) as client:
        verdict = verdict_without_grading(await client.call(REQUEST))
    assert verdict is not None
    assert (verdict.verdict, verdict.final_answer) == ("truncated", None)


# Clocks


async def test_comments_and_blank_lines_do_not_reset_the_first_token_clock() -> None:
    error = await failure_of(floods(COMMENT, 0.05), Clocks(5, first_token=0.6, stall=30, total=60))
    assert isinstance(error, Stalled)
    assert "no token within 0.6 s" in error.message
    assert error.partial is not None
    assert error.partial.finish_reason == "stalled"


async def test_comments_and_blank_lines_do_not_reset_the_stall_clock() -> None:
    script = [sse(*thoughts(), done=False)]
    error = await failure_of(
        floods(COMMENT, 0.05, script), Clocks(5, first_token=30, stall=0.6, total=60)
    )
    assert isinstance(error, Stalled)
    assert "no token for 0.6 s" in error.message
    assert error.partial is not None
    assert error.partial.reasoning == THOUGHT
    assert error.partial.usage.estimated
    assert error.partial.usage.completion_tokens >= len(thoughts())


async def test_a_silent_server_is_left_when_the_first_token_is_late() -> None:
    async def never(request: object) -> None:  # type: ignore[misc]
        await asyncio.Event().wait()

    error = await failure_of(never, Clocks(5, first_token=0.3, stall=30, total=60))  # type: ignore[arg-type]
    assert isinstance(error, Stalled)
    assert error.partial is None


@pytest.mark.slow
async def test_tokens_that_keep_coming_are_stopped_by_the_total_clock_and_not_asked_for_again() -> (
    None
):
    drip = sse(*sayings("so "), done=False)
    error = await failure_of(floods(drip, 0.02), Clocks(5, first_token=30, stall=30, total=0.8))
    assert isinstance(error, Overran)
    assert not error.retryable
    assert error.partial is not None
    assert error.partial.response.startswith("so so so ")


@pytest.mark.slow
async def test_a_slow_stream_may_take_longer_than_the_stall_clock_as_a_whole() -> None:
    pieces = [event + b"\n\n" for event in ANSWERS[0].body.split(b"\n\n")[:-1]]
    clocks = Clocks(5, first_token=5, stall=5, total=0)  # ratios are what is meant; 0 is no limit
    async with (
        scripted(says(pieces, gap_seconds=0.05)) as server,
        ChatClient(server.url, clocks=clocks) as client,
    ):
        assert (await client.call(REQUEST)).response == SAID


@pytest.mark.slow
async def test_a_clock_of_0_is_no_limit() -> None:
    clocks = Clocks(**TimeoutsConfig(connect=0, first_token=0, stall=0, total=0).model_dump())
    body = ANSWERS[0].body
    async with (
        scripted(says([COMMENT, body[:40], body[40:]], gap_seconds=0.3)) as server,
        ChatClient(server.url, clocks=clocks) as client,
    ):
        assert (await client.call(REQUEST)).response == SAID


async def test_an_address_where_nobody_listens_is_unreachable() -> None:
    with socket.socket() as free_socket:
        free_socket.bind(("127.0.0.1", 0))
        async with ChatClient(
            f"http://127.0.0.1:{free_socket.getsockname()[1]}/v1", clocks=PATIENT
        ) as client:
            error = await failure(client)
    assert isinstance(error, Unreachable)
    assert ": Connection refused" in error.message
    assert error.partial is None


async def test_a_reply_that_is_no_http_does_not_read_like_a_refused_request() -> None:
    async def gibberish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(gibberish, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with ChatClient(f"http://127.0.0.1:{port}/v1", clocks=PATIENT) as client:
            error = await failure(client)
    assert isinstance(error, Unreachable)
    assert error.message.startswith("the reply cannot be read: Bad status line")


async def test_a_server_that_does_not_accept_is_unreachable_once_the_connect_clock_is_up() -> None:
    with socket.socket() as full:  # a full queue of connections that nobody accepts
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        holders = [socket.socket() for _ in range(4)]
        for holder in holders:
            holder.setblocking(False)
            holder.connect_ex(full.getsockname())
        async with ChatClient(
            f"http://127.0.0.1:{full.getsockname()[1]}/v1", clocks=Clocks(0.5, 30, 30, 60)
        ) as client:
            error = await failure(client)
        for holder in holders:
            holder.close()
    assert isinstance(error, Unreachable)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/v1", "http://no-such-host.invalid/v1"])
async def test_an_address_that_cannot_be_one_is_unreachable(url: str) -> None:
    async with ChatClient(url, clocks=PATIENT) as client:
        assert isinstance(await failure(client), Unreachable)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_and_the_key_goes_nowhere_else(status: int) -> None:
    async with scripted(WHOLE) as elsewhere:
        redirect = refuses(status, b"", {"Location": f"{elsewhere.url}/chat/completions"})
        async with scripted(redirect) as server, ChatClient(server.url, KEY, PATIENT) as client:
            error = await failure(client)
    assert isinstance(error, UnknownModel)
    assert elsewhere.bodies == []


@pytest.mark.parametrize(
    "host",
    ["", "xn--", "xn--a", "a..b", "ä..b", "a" * 64 + ".invalid", "a." * 200 + "b", "a b", "%00"],
)
def test_a_host_that_no_resolver_takes_is_refused_before_the_first_call(host: str) -> None:
    with pytest.raises(InputError, match="no host that can be looked up"):
        ChatClient(f"http://{host}/v1")


@pytest.mark.parametrize("host", ["[::1]:8000", "127.1", "a_b", "☃.net", "xn--n3h.net", "x.com."])
def test_a_host_that_a_resolver_takes_is_taken(host: str) -> None:
    ChatClient(f"http://{host}/v1")


async def test_where_no_descriptor_is_left_the_call_waits_and_the_server_is_not_blamed() -> None:
    async with scripted(WHOLE) as server, ChatClient(server.url, clocks=PATIENT) as client:
        soft_limit, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        lowest_free = os.open(os.devnull, os.O_RDONLY)
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard_limit))
        try:
            error = await failure(client)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft_limit, hard_limit))
        assert isinstance(error, OutOfFiles)
        assert error.retry_after_seconds
        assert (await client.call(REQUEST)).response


@pytest.mark.timing
async def test_a_finished_answer_does_not_wait_for_the_next_block() -> None:
    """Ends within a fraction of the 0.25 s pause, over and over: 20 calls would take 5 s
    otherwise.
    """
    async with scripted(WHOLE) as server, ChatClient(server.url, clocks=PATIENT) as client:
        await client.call(REQUEST)
        start = time.monotonic()
        for _ in range(20):
            await client.call(REQUEST)
        assert time.monotonic() - start < 4
    assert len(server.peers) == 1  # and the connection is used again


# Breaks


async def test_a_socket_that_breaks_in_the_middle_leaves_the_text_that_came() -> None:
    error = await failure_of(says([sse(*thoughts(), *sayings("The ans"), done=False)], aborts=True))
    assert isinstance(error, Cut)
    assert error.partial is not None
    assert (error.partial.reasoning, error.partial.response) == (THOUGHT, "The ans")
    assert error.partial.finish_reason == "cut"


async def test_a_socket_that_breaks_after_the_finish_reason_costs_nothing() -> None:
    reply = says([sse(*thoughts(), *sayings(), STOP, done=False)], aborts=True)
    async with scripted(reply) as server, ChatClient(server.url, clocks=PATIENT) as client:
        assert (await client.call(REQUEST)).response == SAID


async def test_a_cancelled_call_closes_its_connection() -> None:
    is_gone = asyncio.Event()

    async def reply(request):  # type: ignore[no-untyped-def]
        try:
            return await floods(sse(*sayings("so "), done=False), 0.01)(request)
        finally:
            is_gone.set()

    async with scripted(reply) as server, ChatClient(server.url, clocks=PATIENT) as client:
        has_begun = asyncio.Event()
        task = asyncio.create_task(client.call(REQUEST, lambda count: has_begun.set()))
        await asyncio.wait_for(has_begun.wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(is_gone.wait(), 30)


@pytest.mark.parametrize(
    "flood",
    [
        sse(*sayings("so " * 20000), done=False),
        b"data: " + b"x" * 60000,
        b":" * 60000,
        b" " * 60000,
    ],
    ids=["text", "one endless event", "comments", "blanks"],
)
async def test_a_server_that_never_stops_is_stopped_by_size(flood: bytes) -> None:
    small = Request(REQUEST.messages, "r1", 0.6, 0.95, max_tokens=10)
    async with (
        scripted(floods(flood, 0)) as server,
        ChatClient(server.url, clocks=PATIENT) as client,
    ):
        error = await failure(client, small)
    assert isinstance(error, Oversized)
    assert not error.retryable


# Surroundings


async def test_a_proxy_of_the_environment_is_used_but_never_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with scripted(WHOLE) as server:
        proxy = server.url.removesuffix("/v1").replace("http://", "http://user:pass@")
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("no_proxy", "inside.invalid")
        async with ChatClient("http://outside.invalid/v1", KEY, PATIENT) as client:
            assert (await client.call(REQUEST)).response == SAID
        async with ChatClient("http://inside.invalid/v1", KEY, PATIENT) as client:
            assert isinstance(await failure(client), Unreachable)
        monkeypatch.setenv("http_proxy", "http://nowhere.invalid:1")
        async with ChatClient(server.url, KEY, PATIENT) as client:
            assert (await client.call(REQUEST)).response == SAID
    assert server.headers[0]["Host"] == "outside.invalid"
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert server.headers[0]["Proxy-Authorization"] == "Basic dXNlcjpwYXNz"
    assert "Proxy-Authorization" not in server.headers[1]


async def test_a_proxy_is_not_told_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    request_heads: list[bytes] = []

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request_heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        writer.close()

    proxy = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    monkeypatch.setenv(
        "https_proxy", f"http://user:pass@127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
    )
    async with proxy, ChatClient("https://outside.invalid/v1", KEY, PATIENT) as client:
        assert isinstance(await failure(client), Unreachable)
    assert request_heads[0].startswith(b"CONNECT outside.invalid:443")
    assert b"Proxy-Authorization: Basic dXNlcjpwYXNz" in request_heads[0]
    assert KEY.encode() not in request_heads[0]


async def test_a_netrc_that_names_the_server_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with scripted(WHOLE) as server, ChatClient(server.url, KEY, PATIENT) as client:
        await client.call(REQUEST)
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


async def test_a_proxy_for_everything_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted(WHOLE) as server:
        monkeypatch.setenv("all_proxy", server.url.removesuffix("/v1"))
        async with ChatClient("http://provider.invalid/v1", clocks=PATIENT) as client:
            assert (await client.call(REQUEST)).response == SAID
    monkeypatch.setenv("all_proxy", "socks5://user:secret@127.0.0.1:1080")
    with pytest.raises(InputError, match="all_proxy names a socks5 proxy") as refusal:
        await ChatClient("https://provider.invalid/v1").__aenter__()
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("value", ['"sk-0123456789"', "'sk-0123456789'", '"sk-0123456789'])
def test_a_key_in_quotes_is_told(value: str) -> None:
    lane = LaneConfig(
        name="a", base_url="https://provider.invalid/v1", model="m", api_key_env="KEY"
    )
    with pytest.raises(InputError, match="KEY has quotes around it"):
        key_of(lane, {"KEY": value})
