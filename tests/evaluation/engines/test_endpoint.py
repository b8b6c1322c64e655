"""Every dialect, and every way of failing, of the servers that an evaluation asks."""

import gc
import json
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from evaluation.__main__ import main
from evaluation.config import EngineConfig, GenerationConfig
from evaluation.engines.endpoint import EndpointEngine
from evaluation.engines.protocol import EndpointDead
from evaluation.records import Question, SampleRequest
from shared.errors import InputError
from tests.evaluation.conftest import (
    Endpoint,
    Reply,
    Script,
    number_of,
    rows_of,
    write_config,
    write_problems,
)
from tests.shared.chat_api.dialect_streams import ANSWERS
from tests.shared.chat_api.stream_events import Stream, chunk, sse, whole_message

Serve = Callable[[Script], Endpoint]

TEXT = "So it is \\boxed{{{}}}."
THOUGHT = "It may be \\boxed{{99}}, or not."


def raw(body: dict[str, Any] | str | bytes, status: int = 200, **headers: str) -> Reply:
    """A reply with these bytes."""
    text = body.decode() if isinstance(body, bytes) else body
    if isinstance(text, dict):
        text = json.dumps(text)
    return {"status": status, "text": text, "headers": headers}


def run_on(serve: Serve, folder: Path, script: Script, **settings: Any) -> Path:
    problems = write_problems(folder / "p.jsonl", 2)
    config = write_config(
        folder / "c.toml", serve(script), ["m"], str(problems), max_new_tokens=64, **settings
    )
    assert main(["run", str(config), "--set", "engine.attempts=1"]) == 0
    return folder / "out"


def right(problem: str, *_: Any) -> Reply:
    return {"text": TEXT.format(number_of(problem))}


def correct_in(out: Path) -> int:
    comparison = json.loads((out / "comparison.json").read_text())
    correct: int = comparison["benchmarks"]["p"]["base"]["correct"]
    return correct


@pytest.mark.slow
@pytest.mark.parametrize(
    "message",
    [
        {"content": [{"type": "text", "text": TEXT}]},
        {"content": [{"type": "text", "text": TEXT[:9]}, {"type": "text", "text": TEXT[9:]}]},
        {"content": [TEXT]},
        {"content": [{"type": "thinking", "thinking": THOUGHT}, {"type": "text", "text": TEXT}]},
        {"content": [{"type": "reasoning", "text": THOUGHT}, {"type": "text", "text": TEXT}]},
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]},
                {"type": "text", "text": TEXT},
            ]
        },
        {"content": TEXT, "reasoning_details": [{"type": "reasoning.text", "text": THOUGHT}]},
        {"content": TEXT, "reasoning_details": [{"type": "reasoning.summary", "summary": THOUGHT}]},
        {"content": TEXT, "reasoning_content": THOUGHT, "reasoning": THOUGHT},
        {"content": f"{THOUGHT}\n</think>\n\n{TEXT}", "reasoning_content": THOUGHT},
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
def test_an_answer_counts_and_its_thinking_is_kept_in_whichever_fields_they_come(
    serve: Serve, tmp_path: Path, message: dict[str, Any], streamed: bool
) -> None:
    def script(problem: str, *_: Any) -> Reply:
        fields = json.loads(
            json.dumps(message)
            .replace("{{99}}", "{99}")
            .replace("{{{}}}", f"{{{number_of(problem)}}}")
        )
        if streamed:
            return raw(sse(chunk(fields), chunk({}, "stop")))
        return raw(whole_message(**fields))

    out = run_on(serve, tmp_path, script)
    assert correct_in(out) == 2
    has_thought = "may be" in json.dumps(message)
    for row in rows_of(out / "m/p/answers.jsonl"):
        assert row["text"].count("may be") == has_thought
        assert ("</think>" in row["text"]) == has_thought


DIALECTS = [stream for stream in ANSWERS if stream.finish_reason == "stop" and stream.closes]


def test_every_dialect_of_the_teachers_is_understood_in_an_evaluation(
    serve: Serve, tmp_path: Path
) -> None:
    def script(problem: str, *_: Any) -> Reply:
        stream: Stream = DIALECTS[number_of(problem)]
        return raw(stream.body)

    problems = tmp_path / "p.jsonl"
    rows = [
        {"problem": f"Problem {number}: what is {number}?", "answer": "4"}
        for number in range(len(DIALECTS))
    ]
    problems.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = write_config(
        tmp_path / "c.toml", serve(script), ["m"], str(problems), max_new_tokens=64
    )
    assert main(["run", str(config)]) == 0
    assert correct_in(tmp_path / "out") == len(DIALECTS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "busy",
    [
        {"status": 429, "text": "", "headers": {"Retry-After": formatdate(time.time())}},
        raw({"error": {"code": 429, "message": "slow down"}}, **{"Retry-After": "0"}),
        raw(sse({"error": {"code": "rate_limit_exceeded"}}), **{"retry-after-ms": "10"}),
    ],
)
def test_a_full_server_costs_no_attempt_however_it_says_so(
    serve: Serve, tmp_path: Path, busy: Reply
) -> None:
    def script(problem: str, _: str, call: int) -> Reply:
        return busy if call <= 2 else right(problem)

    assert correct_in(run_on(serve, tmp_path, script)) == 2


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (raw({"error": {"code": 401, "message": "no such key"}}), "set OPENAI_API_KEY: .*such key"),
        (raw({"error": {"code": "insufficient_balance"}}), "status 402 "),
        (raw(sse({"error": {"code": 400, "message": "bad role"}})), "status 400 .*bad role"),
        (raw("", 308, Location="https://elsewhere/v1"), "has moved to https://elsewhere/v1"),
        (raw(sse(chunk({"content": "x" * 80_000}))), "ignores max_new_tokens = 64"),
    ],
)
def test_what_the_user_must_mend_ends_the_run_also_under_http_200(
    serve: Serve, tmp_path: Path, reply: Reply, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        run_on(serve, tmp_path, lambda *_: reply)


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (raw({"error": {"message": "overloaded"}}), "overloaded"),
        (raw(sse(chunk({"content": "\\boxed{0}"}), done=False)), "without a finish_reason"),
        (raw("<html><title>Just a moment</title></html>", 403), "status 403: Just a moment"),
        (raw({"error": {"message": "server busy, try again"}}, 400), "status 400: server busy"),
        (raw(whole_message("content_filter", content="")), "empty text: .*content_filter"),
    ],
)
def test_a_servers_own_fault_is_asked_again_and_is_no_wrong_answer(
    serve: Serve, tmp_path: Path, reply: Reply, says: str
) -> None:
    with pytest.raises(EndpointDead, match=says):
        run_on(serve, tmp_path, lambda *_: reply)


@pytest.mark.parametrize(
    "body",
    [
        {"detail": [{"loc": ["body", "min_p"], "msg": "Extra inputs are not permitted"}]},
        {"error": {"message": "unknown parameter", "param": "min_p"}},
    ],
)
@pytest.mark.parametrize("status", [200, 422])
def test_a_neutral_field_that_is_refused_beside_the_sentence_or_under_http_200_is_left_out(
    serve: Serve, tmp_path: Path, body: dict[str, Any], status: int
) -> None:
    if status == 200:
        body = {"error": body | {"code": 422}}
    problems = write_problems(tmp_path / "p.jsonl", 2)
    endpoint = serve(right)
    endpoint.refuse = lambda sent: raw(body, status) if "min_p" in sent else None
    config = write_config(tmp_path / "c.toml", endpoint, ["m"], str(problems), max_new_tokens=64)
    assert main(["run", str(config)]) == 0
    rows = rows_of(tmp_path / "out/m/p/answers.jsonl")
    assert [row["without"] for row in rows] == [["min_p"]] * 2


@pytest.mark.slow
def test_a_signal_inside_a_call_is_not_told_a_second_time_by_asyncio(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    config = EngineConfig(kind="endpoint", base_url=serve(right).base_url)
    engine = EndpointEngine("m", config, GenerationConfig(max_new_tokens=64), lambda _: None)
    text = "Problem 1: what is 1?"
    question = Question("x", text, "1", ({"role": "user", "content": text},))
    request = SampleRequest(question, 0)

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.answer([request], stopped, lambda _: None)
    gc.collect()
    assert caplog.messages == []
