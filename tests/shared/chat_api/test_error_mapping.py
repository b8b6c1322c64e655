"""What a client refuses with: statuses, Retry-After, limits told by the way, fields left out;
no key in any of it.
"""

import time
from collections.abc import Callable
from email.utils import formatdate

import pytest

from shared.chat_api import ChatClient, wire
from shared.chat_api.errors import (
    BadRequest,
    BalanceGone,
    CallError,
    FieldRefused,
    KeyRefused,
    RateLimited,
    ServerFault,
    UnknownModel,
)
from shared.chat_api.limits import LimitNews, news, retry_after
from shared.chat_api.redaction import Redactor
from tests.fake_server import Reply, refuses, says, scripted
from tests.shared.chat_api.calls import KEY, PATIENT, REQUEST, WHOLE, failure, failure_of
from tests.shared.chat_api.dialect_streams import ANSWERS
from tests.shared.chat_api.stream_events import sse


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
        (
            403,
            {"code": 30001, "message": "Sorry, your account balance is insufficient"},
            BalanceGone,
        ),
        (400, {"code": "Arrearage", "message": "Access denied"}, BalanceGone),
        (
            429,
            {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}},
            RateLimited,
        ),
        (
            403,
            {"code": "AllocationQuota.FreeTierOnly", "message": "The free tier is exhausted"},
            BalanceGone,
        ),
        (404, {"error": {"message": "The model `r1` does not exist"}}, UnknownModel),
        (400, {"error": {"message": "Model Not Exist"}}, UnknownModel),
        (301, b"", UnknownModel),
        (429, {"error": {"message": "slow down"}}, RateLimited),
        (408, b"", ServerFault),
        (500, b"<html><title>oops</title></html>", ServerFault),
        (502, b"", ServerFault),
        (503, {"message": "warming up"}, ServerFault),
        (529, {"error": {"message": "overloaded"}}, ServerFault),
        (403, b"<html><title>Checking your browser</title></html>", ServerFault),
        (400, b"  <!DOCTYPE html><h1>Bad Request</h1>", ServerFault),
        (404, b"<html><title>404 Not Found</title></html>", UnknownModel),
        (400, {"error": {"message": "The service is busy, please try again later"}}, ServerFault),
        (403, {"message": "temporarily unavailable"}, ServerFault),
        (400, {"message": "系统繁忙，请稍后再试"}, ServerFault),
        (
            400,
            {"error": {"message": "API key not valid. Please pass a valid API key."}},
            KeyRefused,
        ),
    ],
)
async def test_a_status_becomes_the_error_that_it_means(
    status: int, body: object, kind: type[CallError]
) -> None:
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
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "99999999999"}, 86400.0),
        ({"retry-after": "Fri, 31 Dec 2999 23:59:59 GMT"}, 86400.0),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_seconds(given: dict[str, str], seconds: float | None) -> None:
    assert retry_after(given) == seconds


def test_retry_after_is_read_as_a_date() -> None:
    seconds = retry_after({"retry-after": formatdate(time.time() + 100, usegmt=True)})
    assert seconds is not None
    assert 90 < seconds <= 101
    assert retry_after({"retry-after": formatdate(time.time() - 100, usegmt=True)}) == 0.0


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        (
            {
                "modelscope-ratelimit-requests-remaining": "41",
                "modelscope-ratelimit-model-requests-remaining": "9",
            },
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
        (
            {},
            b'{"message": "over your limit of 50000 TPM"}',
            LimitNews(tokens_limit=50000, per="minute"),
        ),
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


@pytest.mark.parametrize(
    "nonsense",
    ["inf", "-Infinity", "nan", "1e300", "9" * 400, "1.2.3s", "..s", "unlimited", "0x10"],
)
async def test_a_limit_that_is_no_number_is_taken_for_not_said(nonsense: str) -> None:
    names = (
        "x-ratelimit-remaining",
        "x-ratelimit-limit-tokens",
        "x-ratelimit-reset",
        "modelscope-ratelimit-requests-limit",
    )
    heard: list[LimitNews] = []
    reply = says([ANSWERS[0].body], headers=dict.fromkeys(names, nonsense))
    async with scripted(reply) as server, ChatClient(server.url, "", PATIENT) as client:
        await client.call(REQUEST, on_limits=heard.append)
    assert heard == []
    assert news({}, f"at most {'9' * 350} requests per minute".encode()) is None


async def test_news_about_limits_come_with_good_and_bad_replies() -> None:
    heard: list[LimitNews] = []
    headers = {"modelscope-ratelimit-requests-remaining": "1"}
    none = {"modelscope-ratelimit-requests-remaining": "0", "Retry-After": "3"}
    replies = says([ANSWERS[0].body], headers=headers), refuses(429, b"", none)
    async with (
        scripted(*replies) as server,
        ChatClient(server.url, "", PATIENT) as client,
    ):
        await client.call(REQUEST, on_limits=heard.append)
        error = await failure(client, on_limits=heard.append)
    assert [each.requests_remaining for each in heard] == [1, 0]
    assert error.retry_after_seconds == 3
    assert error.headers_news == heard[1]


@pytest.mark.parametrize(
    ("message", "gone", "instead"),
    [
        ("Unknown field: stream_options", "stream_options", None),
        (
            "Unsupported parameter: use 'max_completion_tokens' instead",
            "max_tokens",
            "max_completion_tokens",
        ),
    ],
)
async def test_a_field_that_a_server_refuses_is_left_out_from_then_on(
    message: str, gone: str, instead: str | None
) -> None:
    replies = refuses(400, {"error": {"message": message}}), WHOLE
    async with scripted(*replies) as server, ChatClient(server.url, clocks=PATIENT) as client:
        error = await failure(client)
        assert isinstance(error, FieldRefused)
        assert error.retryable
        await client.call(REQUEST)
        await client.call(REQUEST)
    assert [gone in body for body in server.bodies] == [True, False, False]
    if instead:
        assert server.bodies[1][instead] == server.bodies[0][gone]


@pytest.mark.parametrize(
    "reply",
    [
        refuses(422, {"detail": [{"loc": ["body", "stream_options"], "msg": "not permitted"}]}),
        refuses(400, {"error": {"message": "unknown parameter", "param": "stream_options"}}),
        says([sse({"error": {"code": 400, "message": "unknown", "param": "stream_options"}})]),
        says([b'{"error": {"code": "400", "message": "unknown field stream_options"}}']),
    ],
)
async def test_a_field_that_is_refused_beside_the_sentence_or_under_http_200_is_left_out(
    reply: Reply,
) -> None:
    async with (
        scripted(reply, WHOLE) as server,
        ChatClient(server.url, clocks=PATIENT) as client,
    ):
        assert isinstance(await failure(client), FieldRefused)
        await client.call(REQUEST)
    assert ["stream_options" in body for body in server.bodies] == [True, False]


async def test_a_request_that_a_refusal_repeats_names_no_field() -> None:
    echo = {"loc": ["body", "messages"], "msg": "bad role", "input": {"stream_options": {}}}
    async with (
        scripted(refuses(422, {"detail": [echo]})) as server,
        ChatClient(server.url, clocks=PATIENT) as client,
    ):
        assert isinstance(await failure(client), BadRequest)


async def test_a_server_that_has_taken_max_tokens_is_not_asked_by_its_newer_name() -> None:
    message = "'max_tokens' or 'max_completion_tokens' is too large: 1000"
    replies = WHOLE, refuses(400, {"error": {"message": message}}), WHOLE
    async with scripted(*replies) as server, ChatClient(server.url, clocks=PATIENT) as client:
        await client.call(REQUEST)
        error = await failure(client)
        await client.call(REQUEST)
    assert isinstance(error, BadRequest)
    assert error.setting == "lane.max_tokens"
    assert all("max_tokens" in body for body in server.bodies)


async def test_a_message_cannot_steer_the_terminal() -> None:
    error = await failure_of(
        refuses(400, {"error": {"message": "bad\x1b[2J\x1b]0;title\x07\x9b31m\r\nrequest"}})
    )
    assert error.message == "HTTP 400: bad [2J ]0;title 31m request"


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
    error = await failure_of(
        refuses(401, {"error": {"message": f"Incorrect API key: {echo}, sorry."}}), key=KEY
    )
    message = str(error)
    assert "[key]" in message
    assert KEY[-4:] not in message
    assert KEY[3:9] not in message
    assert "Incorrect API key" in message
    assert "sorry" in message


@pytest.mark.parametrize("room", range(3, len(KEY), 3))
@pytest.mark.parametrize(
    "reply",
    [
        lambda text: refuses(500, text.encode()),
        lambda text: refuses(401, {"error": {"message": text}}),
        lambda text: says([sse({"error": {"message": text}})]),
        lambda text: says([f"data: {text}\n\n".encode()]),
    ],
)
async def test_a_key_that_the_end_of_a_long_message_would_cut_in_two_is_taken_out(
    reply: Callable[[str], Reply], room: int
) -> None:
    text = "x" * (wire.LINE_CHARACTERS - room - 1) + KEY
    for prefix in (0, len("error in the stream: "), len("an event that is not JSON: ")):
        error = await failure_of(reply(text[prefix:]), key=KEY)
        assert KEY[:3] not in str(error)


async def test_a_key_in_an_error_event_or_a_page_is_taken_out() -> None:
    event = await failure_of(says([sse({"error": {"message": f"key {KEY} expired"}})]), key=KEY)
    page = await failure_of(says([f"<html>{KEY}</html>".encode()], "text/html"), key=KEY)
    for error in (event, page):
        assert KEY not in str(error)
        assert error.partial is None or KEY not in error.partial.error


async def test_a_key_in_the_names_that_a_stream_gives_is_taken_out() -> None:
    body = sse({"model": KEY, "choices": [{"delta": {"content": "4"}, "finish_reason": KEY}]})
    async with scripted(says([body])) as server, ChatClient(server.url, KEY, PATIENT) as client:
        answer = await client.call(REQUEST)
    assert (answer.model_returned, answer.finish_reason) == ("[key]", "[key]")


async def test_a_key_that_is_cut_in_a_name_too_long_is_taken_out() -> None:
    name = "m" * (wire.LINE_CHARACTERS - 12) + " " + KEY
    body = sse({"model": name, "choices": [{"delta": {"content": "4"}, "finish_reason": "stop"}]})
    async with scripted(says([body])) as server, ChatClient(server.url, KEY, PATIENT) as client:
        answer = await client.call(REQUEST)
    assert KEY[:8] not in answer.model_returned
    assert len(answer.model_returned) <= wire.LINE_CHARACTERS


@pytest.mark.parametrize("stand_in", ["0", "EMPTY", "none"])
def test_a_word_that_stands_in_for_a_key_is_no_secret(stand_in: str) -> None:
    text = f"HTTP 400: {stand_in} of 4000 tokens"
    assert Redactor(stand_in).clean(text) == text


def test_ordinary_words_are_not_taken_for_the_key() -> None:
    text = "Rate limit reached for deepseek-reasoner in organization org-12345678 ... try again"
    assert Redactor(KEY).clean(text) == text
