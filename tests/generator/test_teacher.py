"""One call to a teacher, against real servers: clocks, refusals, limits, secrets and what is left of a failed call."""

import asyncio
import socket
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from generator.teacher import Clocks, Teacher
from generator.teacher.refusals import Redactor, news, retry_after
from generator.terms import (
    BadRequest,
    BalanceGone,
    CallError,
    Cut,
    FieldRefused,
    KeyRefused,
    LimitNews,
    Overran,
    Oversized,
    RateLimited,
    Request,
    ServerFault,
    Stalled,
    UnknownModel,
    Unreachable,
)
from tests.generator.dialect_streams import ANSWERS, SAID, STOP, THOUGHT, sayings, sse, thoughts
from tests.generator.scripted_server import Reply, floods, refuses, says, scripted

REQUEST = Request([{"role": "user", "content": "2 + 2?"}], "r1", 0.6, 0.95, 1000)
PATIENT = Clocks(connect=5, first_token=30, stall=30, total=60)
WHOLE = says([ANSWERS[0].body])
COMMENT = b": keep-alive\n\n\n"
KEY = "sk-5f2c9e81a7b34d60b1d9"


async def failure(teacher: Teacher, request: Request = REQUEST) -> CallError:
    with pytest.raises(CallError) as caught:
        await teacher.call(request)
    return caught.value


async def failure_of(reply: Reply, clocks: Clocks = PATIENT, key: str = "") -> CallError:
    async with scripted(reply) as server, Teacher(server.url, key, clocks) as teacher:
        return await failure(teacher)


async def test_the_request_is_what_the_sample_asks_for() -> None:
    async with scripted(WHOLE) as server, Teacher(server.url, KEY, PATIENT, extra={"enable_thinking": True}) as teacher:
        completion = await teacher.call(REQUEST)
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
    assert (completion.reasoning, completion.response, completion.model_returned) == (THOUGHT, SAID, "r1")
    assert completion.usage.reasoning_tokens == 6
    assert completion.usage.cached_tokens == 3
    assert completion.first_token_seconds is not None
    assert 0 < completion.first_token_seconds <= completion.total_seconds


# Clocks


async def test_comments_and_blank_lines_do_not_reset_the_first_token_clock() -> None:
    error = await failure_of(floods(COMMENT, 0.05), Clocks(5, first_token=0.6, stall=30, total=60))
    assert isinstance(error, Stalled)
    assert "no token within 0.6 s" in error.message
    assert error.partial is not None
    assert error.partial.finish_reason == "stalled"


async def test_comments_and_blank_lines_do_not_reset_the_stall_clock() -> None:
    begun = [sse(*thoughts(), done=False)]
    error = await failure_of(floods(COMMENT, 0.05, begun), Clocks(5, first_token=30, stall=0.6, total=60))
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


async def test_tokens_that_keep_coming_are_stopped_by_the_total_clock_and_not_asked_for_again() -> None:
    drip = sse(*sayings("so "), done=False)
    error = await failure_of(floods(drip, 0.02), Clocks(5, first_token=30, stall=30, total=0.8))
    assert isinstance(error, Overran)
    assert not error.retryable
    assert error.partial is not None
    assert error.partial.response.startswith("so so so ")


async def test_a_slow_stream_may_take_longer_than_the_stall_clock_as_a_whole() -> None:
    pieces = [event + b"\n\n" for event in ANSWERS[0].body.split(b"\n\n")[:-1]]
    clocks = Clocks(5, first_token=5, stall=5, total=0)  # ratios are what is meant; 0 is no limit
    async with scripted(says(pieces, gap_seconds=0.05)) as server, Teacher(server.url, clocks=clocks) as teacher:
        assert (await teacher.call(REQUEST)).response == SAID


async def test_an_address_where_nobody_listens_is_unreachable() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        async with Teacher(f"http://127.0.0.1:{reserved.getsockname()[1]}/v1", clocks=PATIENT) as teacher:
            error = await failure(teacher)
    assert isinstance(error, Unreachable)
    assert error.partial is None


async def test_a_server_that_does_not_accept_is_unreachable_once_the_connect_clock_is_up() -> None:
    with socket.socket() as full:  # a full queue of connections that nobody accepts
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        holders = [socket.socket() for _ in range(4)]
        for holder in holders:
            holder.setblocking(False)
            holder.connect_ex(full.getsockname())
        async with Teacher(f"http://127.0.0.1:{full.getsockname()[1]}/v1", clocks=Clocks(0.5, 30, 30, 60)) as teacher:
            error = await failure(teacher)
        for holder in holders:
            holder.close()
    assert isinstance(error, Unreachable)


@pytest.mark.parametrize("url", ["http://", "ftp://127.0.0.1/v1", "http://no-such-host.invalid/v1"])
async def test_an_address_that_cannot_be_one_is_unreachable(url: str) -> None:
    async with Teacher(url, clocks=PATIENT) as teacher:
        assert isinstance(await failure(teacher), Unreachable)


async def test_a_finished_answer_does_not_wait_for_the_next_block() -> None:
    """Ends within a fraction of the 0.25 s pause, over and over: 20 calls would take 5 s otherwise."""
    async with scripted(WHOLE) as server, Teacher(server.url, clocks=PATIENT) as teacher:
        await teacher.call(REQUEST)
        start = time.monotonic()
        for _ in range(20):
            await teacher.call(REQUEST)
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
    async with scripted(reply) as server, Teacher(server.url, clocks=PATIENT) as teacher:
        assert (await teacher.call(REQUEST)).response == SAID


async def test_a_cancelled_call_closes_its_connection() -> None:
    gone = asyncio.Event()

    async def reply(request):  # type: ignore[no-untyped-def]
        try:
            return await floods(sse(*sayings("so "), done=False), 0.01)(request)
        finally:
            gone.set()

    async with scripted(reply) as server, Teacher(server.url, clocks=PATIENT) as teacher:
        begun = asyncio.Event()
        task = asyncio.create_task(teacher.call(REQUEST, lambda count: begun.set()))
        await asyncio.wait_for(begun.wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(gone.wait(), 30)


@pytest.mark.parametrize(
    "flood",
    [sse(*sayings("so " * 20000), done=False), b"data: " + b"x" * 60000, b":" * 60000, b" " * 60000],
    ids=["text", "one endless event", "comments", "blanks"],
)
async def test_a_server_that_never_stops_is_stopped_by_size(flood: bytes) -> None:
    small = Request(REQUEST.messages, "r1", 0.6, 0.95, max_tokens=10)
    async with scripted(floods(flood, 0)) as server, Teacher(server.url, clocks=PATIENT) as teacher:
        error = await failure(teacher, small)
    assert isinstance(error, Oversized)
    assert not error.retryable


# Refusals


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"error": {"message": "max_tokens too large"}}, BadRequest),
        (413, b"", BadRequest),
        (422, {"detail": [{"loc": ["body"], "msg": "wrong"}]}, BadRequest),
        (401, {"error": {"message": "no such key"}}, KeyRefused),
        (403, {"error": "forbidden"}, KeyRefused),
        (403, {"error": {"message": "Your input was flagged by moderation"}}, BadRequest),
        (402, {"error": {"message": "Insufficient Balance"}}, BalanceGone),
        (403, {"code": 30001, "message": "Sorry, your account balance is insufficient"}, BalanceGone),
        (400, {"code": "Arrearage", "message": "Access denied"}, BalanceGone),
        (429, {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}, RateLimited),
        (403, {"code": "AllocationQuota.FreeTierOnly", "message": "The free tier is exhausted"}, BalanceGone),
        (404, {"error": {"message": "The model `r1` does not exist"}}, UnknownModel),
        (400, {"error": {"message": "Model Not Exist"}}, UnknownModel),
        (301, b"", UnknownModel),
        (429, {"error": {"message": "slow down"}}, RateLimited),
        (408, b"", ServerFault),
        (500, b"<html><title>oops</title></html>", ServerFault),
        (502, b"", ServerFault),
        (503, {"message": "warming up"}, ServerFault),
        (529, {"error": {"message": "overloaded"}}, ServerFault),
    ],
)
async def test_a_status_becomes_the_error_that_it_means(status: int, body: object, kind: type[CallError]) -> None:
    error = await failure_of(refuses(status, body))  # type: ignore[arg-type]
    assert type(error) is kind
    assert error.status == status
    assert "\n" not in error.message
    if kind is UnknownModel and status != 301:
        assert "'r1'" in error.message


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_seconds(given: dict[str, str], seconds: float | None) -> None:
    assert retry_after(given) == seconds


def test_retry_after_is_read_as_a_date() -> None:
    found = retry_after({"retry-after": formatdate(time.time() + 100, usegmt=True)})
    assert found is not None
    assert 90 < found <= 101
    assert retry_after({"retry-after": formatdate(time.time() - 100, usegmt=True)}) == 0.0


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        (
            {"modelscope-ratelimit-requests-remaining": "41", "modelscope-ratelimit-model-requests-remaining": "9"},
            b"",
            LimitNews(requests_remaining=41, model_requests_remaining=9, per="day"),
        ),
        (
            {
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "6m1s",
            },
            b"",
            LimitNews(requests_remaining=0, requests_limit=60, resets_in_seconds=361.0),
        ),
        (
            {"x-ratelimit-limit-requests-day": "12000", "x-ratelimit-remaining-requests-day": "7"},
            b"",
            LimitNews(requests_remaining=7, requests_limit=12000, per="day"),
        ),
        (
            {},
            b'{"error": {"message": "Limited to 1,000 requests per minute"}}',
            LimitNews(requests_limit=1000, per="minute"),
        ),
        ({}, b'{"message": "RPM limit reached: 100"}', LimitNews(requests_limit=100, per="minute")),
        ({}, b'{"message": "over your limit of 50000 TPM"}', LimitNews(tokens_limit=50000, per="minute")),
        ({}, b'{"message": "at most 20 concurrent requests"}', LimitNews(max_in_flight=20)),
        ({}, b'{"message": "Concurrency limit: 500"}', LimitNews(max_in_flight=500)),
        ({}, b"Daily limit of 200 calls reached", LimitNews(requests_limit=200, per="day")),
        ({"content-type": "x"}, b'{"message": "slow down"}', None),
    ],
)
def test_limits_are_read_from_headers_and_refusals(
    headers: dict[str, str], body: bytes, expected: LimitNews | None
) -> None:
    assert news(headers, body) == expected


async def test_news_about_limits_come_with_good_and_bad_replies() -> None:
    heard: list[LimitNews] = []
    left = {"modelscope-ratelimit-requests-remaining": "1"}
    none = {"modelscope-ratelimit-requests-remaining": "0", "Retry-After": "3"}
    replies = says([ANSWERS[0].body], headers=left), refuses(429, b"", none)
    async with scripted(*replies) as server, Teacher(server.url, "", PATIENT, heard.append) as teacher:
        await teacher.call(REQUEST)
        error = await failure(teacher)
    assert [each.requests_remaining for each in heard] == [1, 0]
    assert error.retry_after_seconds == 3
    assert error.headers_news == heard[1]


@pytest.mark.parametrize(
    ("message", "gone", "instead"),
    [
        ("Unknown field: stream_options", "stream_options", None),
        ("Unsupported parameter: use 'max_completion_tokens' instead", "max_tokens", "max_completion_tokens"),
    ],
)
async def test_a_field_that_a_server_refuses_is_left_out_from_then_on(
    message: str, gone: str, instead: str | None
) -> None:
    replies = refuses(400, {"error": {"message": message}}), WHOLE
    async with scripted(*replies) as server, Teacher(server.url, clocks=PATIENT) as teacher:
        error = await failure(teacher)
        assert isinstance(error, FieldRefused)
        assert error.retryable
        await teacher.call(REQUEST)
        await teacher.call(REQUEST)
    assert [gone in body for body in server.bodies] == [True, False, False]
    if instead:
        assert server.bodies[1][instead] == server.bodies[0][gone]


# Secrets


@pytest.mark.parametrize(
    "echo",
    [
        KEY,
        f"Bearer {KEY}",
        f"key={KEY}&x",
        KEY[:12],
        KEY[4:],
        f"sk-5f2c***{KEY[-4:]}",
        f"****{KEY[-4:]}",
        f"sk-5…{KEY[-4:]}",
        f"sk-5f2c....{KEY[-4:]}",
    ],
)
async def test_a_key_that_an_error_body_repeats_is_taken_out(echo: str) -> None:
    error = await failure_of(refuses(401, {"error": {"message": f"Incorrect API key: {echo}, sorry."}}), key=KEY)
    said = str(error)
    assert "[key]" in said
    assert KEY[-4:] not in said
    assert KEY[3:9] not in said
    assert "Incorrect API key" in said
    assert "sorry" in said


async def test_a_key_in_an_error_event_or_a_page_is_taken_out() -> None:
    event = await failure_of(says([sse({"error": {"message": f"key {KEY} expired"}})]), key=KEY)
    page = await failure_of(says([f"<html>{KEY}</html>".encode()], "text/html"), key=KEY)
    for error in (event, page):
        assert KEY not in str(error)
        assert error.partial is None or KEY not in error.partial.error


def test_ordinary_words_are_not_taken_for_the_key() -> None:
    text = "Rate limit reached for deepseek-reasoner in organization org-12345678 ... try again"
    assert Redactor(KEY).clean(text) == text


# Surroundings


async def test_a_proxy_of_the_environment_is_used_but_never_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted(WHOLE) as server:
        proxy = server.url.removesuffix("/v1").replace("http://", "http://user:pass@")
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("no_proxy", "inside.invalid")
        async with Teacher("http://outside.invalid/v1", KEY, PATIENT) as teacher:
            assert (await teacher.call(REQUEST)).response == SAID
        async with Teacher("http://inside.invalid/v1", KEY, PATIENT) as teacher:
            assert isinstance(await failure(teacher), Unreachable)
        monkeypatch.setenv("http_proxy", "http://nowhere.invalid:1")
        async with Teacher(server.url, KEY, PATIENT) as teacher:
            assert (await teacher.call(REQUEST)).response == SAID
    assert server.headers[0]["Host"] == "outside.invalid"
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert server.headers[0]["Proxy-Authorization"] == "Basic dXNlcjpwYXNz"
    assert "Proxy-Authorization" not in server.headers[1]


async def test_a_proxy_is_not_told_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        writer.close()

    proxy = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    monkeypatch.setenv("https_proxy", f"http://user:pass@127.0.0.1:{proxy.sockets[0].getsockname()[1]}")
    async with proxy, Teacher("https://outside.invalid/v1", KEY, PATIENT) as teacher:
        assert isinstance(await failure(teacher), Unreachable)
    assert asked[0].startswith(b"CONNECT outside.invalid:443")
    assert b"Proxy-Authorization: Basic dXNlcjpwYXNz" in asked[0]
    assert KEY.encode() not in asked[0]


async def test_a_netrc_that_names_the_server_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with scripted(WHOLE) as server, Teacher(server.url, KEY, PATIENT) as teacher:
        await teacher.call(REQUEST)
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


async def test_a_probe_names_the_model_that_answered() -> None:
    body = b'{"id": "1", "object": "chat.completion", "created": 1, "model": "r1-0528", "choices": [], "usage": null}'
    async with scripted(says([body], "application/json")) as server, Teacher(server.url, KEY, PATIENT) as teacher:
        assert await teacher.probe("r1") == "r1-0528"
    assert server.bodies[0]["max_tokens"] == 1


async def test_a_probe_fails_with_the_same_errors_as_a_call_and_is_not_repeated() -> None:
    refusal = refuses(401, {"error": {"message": f"bad key {KEY}"}})
    async with scripted(refusal) as server, Teacher(server.url, KEY, PATIENT) as teacher:
        with pytest.raises(KeyRefused) as caught:
            await teacher.probe("r1")
    assert KEY not in str(caught.value)
    assert len(server.bodies) == 1
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        async with Teacher(f"http://127.0.0.1:{reserved.getsockname()[1]}/v1", clocks=PATIENT) as teacher:
            with pytest.raises(Unreachable):
                await teacher.probe("r1")
