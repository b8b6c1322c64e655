"""Errors inside a stream or a body under HTTP 200: read by their code, as a reply of that
status would be.
"""

from typing import Any

import pytest

from shared.chat_api import ChatClient
from shared.chat_api.errors import (
    BadRequest,
    BalanceGone,
    CallError,
    ErrorEvent,
    KeyRefused,
    RateLimited,
    ServerFault,
    UnknownModel,
)
from shared.chat_api.limits import LimitNews
from tests.fake_server import refuses, says, scripted
from tests.shared.chat_api.calls import PATIENT, REQUEST, failure, failure_of
from tests.shared.chat_api.stream_events import sse, thoughts

CASES: list[tuple[dict[str, Any], type[CallError]]] = [
    (
        {"error": {"message": "32868 tokens wanted", "type": "BadRequestError", "code": 400}},
        BadRequest,
    ),
    (
        {
            "object": "error",
            "message": "32868 tokens wanted",
            "type": "BadRequestError",
            "code": 400,
        },
        BadRequest,
    ),
    ({"error": {"message": "no", "type": "invalid_request_error", "code": None}}, BadRequest),
    (
        {
            "code": "InternalError.Algo.InvalidParameter",
            "message": "Range of max_tokens",
            "request_id": "7",
        },
        BadRequest,
    ),
    ({"code": "DataInspectionFailed", "message": "Input may contain"}, BadRequest),
    ({"error": {"message": "no", "code": "401"}}, KeyRefused),
    (
        {"error": {"message": "no", "type": "invalid_request_error", "code": "invalid_api_key"}},
        KeyRefused,
    ),
    ({"error": {"type": "authentication_error", "message": "no"}}, KeyRefused),
    ({"error": {"message": "Insufficient Balance", "code": 402}}, BalanceGone),
    ({"code": "Arrearage", "message": "Access denied"}, BalanceGone),
    ({"error": {"message": "account balance is insufficient"}}, BalanceGone),
    ({"error": {"message": "The model does not exist", "code": "model_not_found"}}, UnknownModel),
    ({"error": {"message": "The model `r1` does not exist", "code": 400}}, UnknownModel),
    ({"error": {"message": "over the limit", "code": 429}}, RateLimited),
    ({"error": {"message": "slow", "code": "rate_limit_exceeded"}}, RateLimited),
    ({"code": "Throttling.RateQuota", "message": "slow"}, RateLimited),
    (
        {"error_code": 18, "error_msg": "Open api qps request limit reached: rate limit"},
        RateLimited,
    ),
    ({"base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, RateLimited),
    ({"error": {"code": 502, "message": "Provider disconnected"}}, ErrorEvent),
    ({"error": {"type": "overloaded_error", "message": "Overloaded"}}, ErrorEvent),
    ({"error": "something odd"}, ErrorEvent),
    ({"error": {"message": "unheard of", "code": 77}}, ErrorEvent),
]


@pytest.mark.parametrize(("body", "kind"), CASES, ids=str)
async def test_an_error_is_read_by_its_code_in_a_stream_and_in_a_body(
    body: dict[str, Any], kind: type[CallError]
) -> None:
    for reply in (says([b": PROCESSING\n\n", sse(body)]), refuses(200, body)):
        error = await failure_of(reply)
        assert type(error) is kind
        assert error.partial is not None
        assert "error in the stream" in error.message


async def test_an_error_in_a_choice_counts_and_what_came_before_it_is_kept() -> None:
    broken = {
        "choices": [
            {
                "delta": {"content": ""},
                "finish_reason": "error",
                "error": {"code": 429, "message": "x"},
            }
        ]
    }
    error = await failure_of(says([sse(*thoughts(), broken)]))
    assert type(error) is RateLimited
    assert error.partial is not None
    assert error.partial.reasoning


async def test_a_code_of_success_beside_usage_is_no_error() -> None:
    closing = {"code": 0, "message": "Success", "usage": {"completion_tokens": 3}}
    whole = {"choices": [{"delta": {"content": "4"}, "finish_reason": "stop"}]}
    async with (
        scripted(says([sse(whole, closing)])) as server,
        ChatClient(server.url, "", PATIENT) as client,
    ):
        answer = await client.call(REQUEST)
    assert answer.usage.completion_tokens == 3


async def test_an_error_body_in_a_list_is_read_as_the_error_in_it() -> None:
    error = await failure_of(
        says([b'[{"error": {"code": 401, "message": "no"}}]'], "application/json")
    )
    assert type(error) is KeyRefused


async def test_an_error_line_of_llama_cpp_is_an_error_with_its_message() -> None:
    line = b'error: {"code": 500, "message": "slot is gone", "type": "server_error"}\n\n'
    error = await failure_of(says([line]))
    assert type(error) is ErrorEvent
    assert "slot is gone" in error.message


async def test_limits_and_waiting_times_of_a_429_inside_a_stream_are_heard() -> None:
    heard: list[LimitNews] = []
    event = sse({"error": {"code": 429, "message": "at most 60 requests per minute"}})
    reply = says([event], headers={"Retry-After": "7"})
    async with scripted(reply) as server, ChatClient(server.url, "", PATIENT) as client:
        error = await failure(client, on_limits=heard.append)
    assert error.retry_after_seconds == 7
    assert heard == [LimitNews(requests_limit=60, per="minute")]


async def test_a_web_page_under_200_hints_at_base_url() -> None:
    error = await failure_of(says([b"<!doctype html><title>Gateway</title>"], "text/html"))
    assert type(error) is ServerFault
    assert "base_url" in error.message


@pytest.mark.parametrize(
    ("body", "setting"),
    [
        (
            {
                "error": {
                    "code": "InvalidParameter",
                    "param": "max_tokens",
                    "message": "may be 16384",
                }
            },
            "lane.max_tokens",
        ),
        ({"error": {"message": "max_tokens (32768) is too large"}}, "lane.max_tokens"),
        (
            {
                "object": "error",
                "message": "32868 tokens wanted, the context has 8192",
                "code": 400,
            },
            "lane.max_tokens",
        ),
        (
            {"message": "the maximum context length is 8192, you requested 32868 tokens"},
            "lane.max_tokens",
        ),
        ({"detail": [{"loc": ["body", "top_p"], "msg": "Extra inputs"}]}, "sampling.top_p"),
        (
            {"error": {"message": "Unsupported value: temperature does not support 0.6"}},
            "sampling.temperature",
        ),
        ({"error": {"param": "model", "message": "choose another"}}, "lane.model"),
        ({"error": {"message": "prompt is too long"}}, ""),
        ({"error": {"message": "the prompt is too strange"}}, ""),
    ],
    ids=str,
)
async def test_a_refusal_names_the_setting_that_it_complains_of(
    body: dict[str, Any], setting: str
) -> None:
    error = await failure_of(refuses(400, body))
    assert (type(error), error.setting) == (BadRequest, setting)
