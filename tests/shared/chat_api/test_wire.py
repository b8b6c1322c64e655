"""Whatever a server sends ends as a Completion or a CallError that every log, ledger and shard
can take.
"""

import asyncio
import json
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from generator.record import verdict_without_grading
from shared.chat_api import ChatClient, wire
from shared.chat_api.error_mapping import refusal
from shared.chat_api.errors import CallError
from shared.chat_api.limits import news, retry_after
from shared.chat_api.redaction import Redactor
from shared.records import Completion
from tests.fake_server import Reply, Script, refuses, says, scripted
from tests.shared.chat_api.calls import PATIENT, REQUEST
from tests.shared.chat_api.stream_events import sse

HALF = "\ud83c"
KEYS = [
    *(
        "choices",
        "delta",
        "message",
        "content",
        "reasoning_content",
        "reasoning",
        "reasoning_details",
        "text",
    ),
    *(
        "thinking",
        "finish_reason",
        "usage",
        "model",
        "error",
        "errors",
        "code",
        "type",
        "param",
        "status",
    ),
    *("status_code", "detail", "msg", "loc", "base_resp", "completion_tokens", "prompt_tokens"),
]
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
TEXTS = st.text(st.characters(exclude_categories=()), max_size=8) | st.sampled_from(
    [HALF, "stop", "\x00\x1b[2J", "4"]
)
NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, -(2**64), 400, 429, 1e308])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | TEXTS, inner, max_size=5)
    ),
    max_leaves=20,
)
CHOICES = st.fixed_dictionaries(
    {"choices": st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4))}
)
DOCUMENTS = VALUES | CHOICES | st.fixed_dictionaries({"error": VALUES})
DEEP = b"[" * 300 + b"]" * 300
NESTED_ERROR = b'{"error":' * 600 + b'"deep"' + b"}" * 600


def assert_storable(outcome: Completion | CallError) -> None:
    """By the strictest of those that take it."""
    completion = outcome if isinstance(outcome, Completion) else outcome.partial
    texts = [outcome.message] if isinstance(outcome, CallError) else []
    if completion is not None:
        row = asdict(completion)
        orjson.dumps(row)
        texts += [completion.finish_reason, completion.model_returned, completion.error]
        assert completion.usage.completion_tokens >= 0
    with sqlite3.connect(":memory:") as ledger:
        for text in texts:
            ledger.execute("select ?", (text,)).fetchone()
            assert CONTROL.search(text) is None
            assert len(text) < 1000
    ledger.close()


class Wire:
    """A server and a client of its own, for many short calls in one test."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._context = scripted()
        self._server: Script = self._runner.run(self._context.__aenter__())

    def outcome_of(self, reply: Reply) -> Completion | CallError:
        self._server.replies[:] = [reply]

        async def call() -> Completion | CallError:
            async with ChatClient(self._server.url, "", PATIENT) as client:
                try:
                    return await client.call(REQUEST)
                except CallError as error:
                    return error

        return self._runner.run(call())

    def close(self) -> None:
        self._runner.run(self._context.__aexit__(None, None, None))
        self._runner.close()


@pytest.fixture(scope="module")
def real_wire() -> Iterator[Wire]:
    wire = Wire()
    yield wire
    wire.close()


FUZZ = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FUZZ
@given(documents=st.lists(DOCUMENTS, min_size=1, max_size=3))
def test_any_json_as_events_ends_as_a_completion_or_a_call_error(
    real_wire: Wire, documents: list[object]
) -> None:
    assert_storable(real_wire.outcome_of(says([sse(*(json.dumps(each) for each in documents))])))


@FUZZ
@given(document=DOCUMENTS, status=st.sampled_from([200, 400, 401, 402, 404, 422, 429, 500, 503]))
def test_any_json_as_a_body_ends_as_a_completion_or_a_call_error(
    real_wire: Wire, document: object, status: int
) -> None:
    assert_storable(real_wire.outcome_of(refuses(status, json.dumps(document).encode())))


@FUZZ
@given(status=st.sampled_from([200, 400, 429, 500]), body=st.binary(max_size=200))
def test_any_bytes_as_a_body_end_as_a_completion_or_a_call_error(
    real_wire: Wire, status: int, body: bytes
) -> None:
    assert_storable(real_wire.outcome_of(refuses(status, body)))


@pytest.mark.parametrize("status", [200, 302, 400, 404, 429, 500])
@pytest.mark.parametrize(
    "body",
    [
        b'{"choices":' + b"[" * 200_000,
        b'{"error":' + DEEP + b"}",
        b'{"error": {"message": ' + DEEP + b"}}",
        NESTED_ERROR,
        b'{"error": {"x": "\\ud800", "\\udfff": 1}}',
        b'{"error": {"message": "half \\ud800", "code": "\\udc00", "type": "\\ud800"}}',
        b'{"error": {"message": 1' + b"0" * 5000 + b"}}",
        b'{"error": {"x": 1' + b"0" * 50 + b', "code": NaN}}',
        b'{"detail": [{"loc": ' + DEEP + b', "msg": 1e999}]}',
        (
            b'{"choices": [{"message": {"content": "4"}, "finish_reason": "st\\ud800op"}], "model":'
            b' "\\udfff"}'
        ),
        b'{"choices": [{"message": {"content": "\\ud800"}, "finish_reason": ' + DEEP + b"}]}",
        b'{"choices": [{"message": {"content": "4"}, "finish_reason": "' + b"f" * 100_000 + b'"}]}',
        b'{"choices": [{"message": {"content": "4"}, "finish_reason": "stop"}], "usage":'
        b' {"completion_tokens": ' + DEEP + b"}}",
        b"\xef\xbb\xbf" + b'{"error": {"message": "a mark before it"}}',
        '{"error": "sixteen"}'.encode("utf-16"),
    ],
    ids=str,
)
def test_nesting_halves_and_numbers_without_end_are_one_failed_call(
    real_wire: Wire, status: int, body: bytes
) -> None:
    as_body = refuses(status, body, {"Location": "http://\udcff/"} if status == 302 else None)
    assert_storable(real_wire.outcome_of(as_body))
    assert_storable(real_wire.outcome_of(says([b"data: " + body + b"\n\ndata: [DONE]\n\n"])))


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Type: text/event-stream; charset=no-such-thing",
        b"Content-Type: \xff/\xfe",
        b"Retry-After: Fri, 99 Foo 99999 99:99:99 GMT",
        b"Retry-After: \xb2\xb3",
        b"Retry-After: Mon, 01 Jan 0001 00:00:00 -9999",
        b"X-RateLimit-Remaining: \xd9\xa3",
        b"X-RateLimit-Reset: 9999999999999999999999d",
        b"Set-Cookie: a\xff=\x01b; Max-Age=" + b"9" * 400 + b"; Expires=\xff",
        b"Set-Cookie: =;;==; Domain=\xff; Path=\xff",
        b"Location: http://[\xff",
        b"Server: \xf0\x9f\x8d\x8e",
        b"Content-Encoding: no-such-coding",
    ],
)
@pytest.mark.parametrize("status", [b"200 OK", b"302 Found", b"429 \xff", b"500 no"])
async def test_no_header_ends_more_than_its_call(head: bytes, status: bytes) -> None:
    body = sse({"model": "r1", "choices": [{"delta": {"content": "4"}, "finish_reason": "stop"}]})

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 " + status + b"\r\n" + head + b"\r\nConnection: close\r\n\r\n" + body
        )
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with (
        server,
        ChatClient(
            f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", "", PATIENT
        ) as client,
    ):
        try:
            outcome: Completion | CallError = await client.call(REQUEST)
        except CallError as error:
            outcome = error
    assert_storable(outcome)


@given(
    name=st.sampled_from(
        ["retry-after", "retry-after-ms", "x-ratelimit-reset", "x-ratelimit-limit"]
    ),
    value=TEXTS,
)
def test_any_header_about_limits_is_read_or_taken_for_not_said(name: str, value: str) -> None:
    headers = wire.headers([(name, value)])
    retry_after(headers)
    news(headers, value.encode("utf-8", "surrogatepass"))


@pytest.mark.slow
@given(
    body=st.binary(max_size=100) | DOCUMENTS.map(lambda each: json.dumps(each).encode()),
    status=st.integers(300, 599),
)
def test_any_refusal_is_a_call_error(body: bytes, status: int) -> None:
    assert_storable(
        refusal(status, {}, body, url="u", model="m", redactor=Redactor("sk-1234567890"))
    )


def test_halves_that_two_events_share_are_put_together_in_texts_and_nowhere_else(
    real_wire: Wire,
) -> None:
    first_half = '{"model": "\\ud83c", "choices": [{"delta": {"content": "\\ud83c"}}]}'
    second_half = '{"choices": [{"delta": {"content": "\\udf4e"}, "finish_reason": "stop"}]}'
    outcome = real_wire.outcome_of(says([sse(first_half, second_half)]))
    assert isinstance(outcome, Completion)
    assert (outcome.response, outcome.model_returned) == ("🍎", "�")


@pytest.mark.parametrize("reason", [["stop"], {"stop": 1}, "STOP\n", True, 7])
def test_a_finish_reason_that_is_none_is_not_taken_for_an_orderly_end(
    real_wire: Wire, reason: object
) -> None:
    event = {
        "choices": [{"delta": {"content": "4"}, "finish_reason": reason}],
        "usage": {"completion_tokens": 3},
    }
    outcome = real_wire.outcome_of(says([sse(event)]))
    assert isinstance(outcome, Completion)
    verdict = verdict_without_grading(outcome)
    assert verdict is not None
    assert verdict.verdict == "failed"
