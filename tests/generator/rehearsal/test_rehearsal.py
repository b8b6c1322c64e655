"""The rehearsal teacher as a process: its dialect, its faults, its limits, its recordings, its
end.
"""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from generator.problems import synthetic
from generator.rehearsal.faults import AccountLimits, Faults
from generator.rehearsal.stream import tokens
from shared.chat_api import ChatClient, Clocks
from shared.chat_api.errors import CallError
from shared.chat_api.request import Request
from shared.errors import InputError
from shared.prompts import PRESETS, messages_for
from shared.records import Completion
from tests.generator.process_runs import environment, rehearsal

CLOCKS = Clocks(connect=10, first_token=60, stall=60, total=120)
Outcome = Completion | CallError


def request_for(text: str, max_tokens: int = 4000) -> Request:
    return Request(
        messages_for(text, "", PRESETS["r1"].prompt), "rehearsal-r1", 0.6, 0.95, max_tokens
    )


def problems(count: int) -> list[tuple[str, str]]:
    return list(itertools.islice(synthetic.problems(3), count))


async def ask_all(
    url: str, texts: list[str], key: str = "", clocks: Clocks = CLOCKS
) -> list[Outcome]:
    async def ask(teacher: ChatClient, text: str) -> Outcome:
        try:
            return await teacher.call(request_for(text))
        except CallError as error:
            return error

    async with ChatClient(url, key, clocks) as teacher, asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(teacher, text)) for text in texts]
    return [task.result() for task in tasks]


def kinds(outcomes: list[Outcome]) -> Counter[str]:
    return Counter(
        outcome.kind if isinstance(outcome, CallError) else outcome.finish_reason
        for outcome in outcomes
    )


def post(url: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(
        f"{url}/chat/completions", json.dumps(body).encode(), method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


async def test_every_problem_is_answered_and_counted() -> None:
    rows = problems(60)
    with rehearsal() as server:
        outcomes = await ask_all(server.url, [text for text, _ in rows])
        stats = server.stats()
    for (_, gold), completion in zip(rows, outcomes, strict=True):
        assert isinstance(completion, Completion)
        assert f"\\boxed{{{gold}}}" in completion.response
        assert completion.usage.completion_tokens == len(tokens(completion.reasoning)) + len(
            tokens(completion.response)
        )
    assert (stats["calls"], stats["delivered"], stats["in_flight"], stats["by_status"]) == (
        60,
        60,
        0,
        {"200": 60},
    )
    assert stats["delivered_more_than_once"] == 0


def test_a_call_that_does_not_stream_gets_the_same_answer_at_once() -> None:
    text, gold = problems(1)[0]
    with rehearsal() as server:
        body = {"model": "m", "messages": [{"role": "user", "content": text}]}
        status, answer = post(server.url, body)
        with urllib.request.urlopen(f"{server.url}/models", timeout=60) as reply:
            models = json.load(reply)
        refusal_status, refusal = post(server.url, {"model": "m"})
    message = answer["choices"][0]["message"]
    assert status == 200
    assert f"\\boxed{{{gold}}}" in message["content"]
    assert message["reasoning_content"]
    assert models["data"][0]["id"] == "rehearsal-r1"
    assert refusal_status == 400
    assert "messages" in refusal["error"]["message"]


async def test_an_unknown_problem_gets_no_box() -> None:
    with rehearsal() as server:
        (completion,) = await ask_all(server.url, ["What is the meaning of life?"])
    assert isinstance(completion, Completion)
    assert "boxed" not in completion.response


async def test_faults_come_at_their_rates_and_again_at_the_same_calls() -> None:
    spec = "429=0.1,503=0.1,cut=0.1,empty=0.1,length=0.1,error_event=0.1,keepalive=0.5,wrong=0.2,retry_after=3"
    texts = [text for text, _ in problems(200)]
    runs = []
    for _ in range(2):
        with rehearsal("--faults", spec, "--seed", "5") as server:
            runs.append(await ask_all(server.url, texts))
            stats = server.stats()
    assert [repr(outcome) for outcome in map(_gist, runs[0])] == [
        repr(outcome) for outcome in map(_gist, runs[1])
    ]
    counts = kinds(runs[0])
    for kind in ("rate_limited", "server_fault", "cut", "empty", "length", "error_event"):
        assert 5 <= counts[kind] <= 45, counts  # 20 expected, standard deviation 4.2
    assert {
        outcome.retry_after_seconds
        for outcome in runs[0]
        if isinstance(outcome, CallError) and outcome.status == 429
    } == {3.0}
    assert 70 <= stats["by_fault"]["keepalive"] <= 130


def _gist(outcome: Outcome) -> tuple[object, ...]:
    partial = outcome.partial if isinstance(outcome, CallError) else outcome
    kind = outcome.kind if isinstance(outcome, CallError) else outcome.finish_reason
    # An aborted socket may take what was under way with it; everything else is the same to the
    # byte.
    return (kind,) if kind == "cut" else (kind, partial and (partial.reasoning, partial.response))


async def test_a_stall_is_silence_with_comments() -> None:
    clocks = Clocks(connect=10, first_token=3, stall=3, total=60)
    with rehearsal("--faults", "stall=1") as server:
        outcomes = await ask_all(server.url, [text for text, _ in problems(5)], clocks=clocks)
        in_flight = [server.stats()["in_flight"]]
        while in_flight[-1] and len(in_flight) < 200:
            await asyncio.sleep(0.05)
            in_flight.append(server.stats()["in_flight"])
    assert kinds(outcomes) == {"stalled": 5}
    assert in_flight[-1] == 0  # a client that is gone leaves nothing behind


async def test_samples_of_one_problem_differ() -> None:
    text, gold = problems(1)[0]
    with rehearsal() as server:
        answers = [(await ask_all(server.url, [text]))[0] for _ in range(6)]
    reasonings = {
        completion.reasoning for completion in answers if isinstance(completion, Completion)
    }
    assert len(reasonings) > 3
    assert all(
        isinstance(completion, Completion) and f"\\boxed{{{gold}}}" in completion.response
        for completion in answers
    )


@pytest.mark.timing
async def test_the_pace_of_a_stream_is_the_one_asked_for() -> None:
    with rehearsal("--tokens-per-second", "100", "--latency", "0.3") as server:
        (completion,) = await ask_all(server.url, [problems(1)[0][0]])
    assert isinstance(completion, Completion)
    assert completion.first_token_seconds is not None
    assert completion.first_token_seconds >= 0.3
    assert completion.total_seconds >= 0.3 + 0.8 * completion.usage.completion_tokens / 100


async def test_accounts_are_refused_as_they_would_be() -> None:
    texts = [text for text, _ in problems(3)]
    with rehearsal("--key", "right", "--balance", "2", "--model", "rehearsal-r1") as server:
        assert kinds(await ask_all(server.url, texts, key="sk-wrong-key-1234")) == {
            "key_refused": 3
        }
        assert kinds(await ask_all(server.url, texts, key="right")) == {
            "stop": 2,
            "balance_gone": 1,
        }
        assert post(server.url, {"model": "other", "messages": []})[0] == 401


async def test_limits_are_enforced_and_say_how_long_to_wait() -> None:
    texts = [text for text, _ in problems(10)]
    with rehearsal("--max-in-flight", "4", "--tokens-per-second", "200") as server:
        outcomes = await ask_all(server.url, texts)
        assert server.stats()["peak_in_flight"] <= 10
    assert kinds(outcomes) == {"stop": 4, "rate_limited": 6}
    with rehearsal("--requests-per-minute", "7") as server:
        outcomes = await ask_all(server.url, texts)
    assert kinds(outcomes) == {"stop": 7, "rate_limited": 3}
    waits = [outcome.retry_after_seconds for outcome in outcomes if isinstance(outcome, CallError)]
    assert all(wait and 30 < wait <= 61 for wait in waits)


async def test_a_daily_limit_is_announced_in_headers_and_turns() -> None:
    heard: list[int | None] = []
    text = problems(1)[0][0]
    with rehearsal("--calls-per-day", "2", "--no-retry-after") as server:
        async with ChatClient(server.url, "", CLOCKS) as teacher:

            async def call() -> None:
                await teacher.call(
                    request_for(text),
                    on_limits=lambda news: heard.append(news.requests_remaining),
                )

            await call()
            await call()
            with pytest.raises(CallError) as caught:
                await call()
    assert heard == [1, 0, 0]
    assert caught.value.retry_after_seconds is None
    limits = AccountLimits(calls_per_day=1, day_seconds=100)
    assert limits.admit(50, 0) is None
    refusal = limits.admit(60, 0)
    assert refusal is not None
    assert refusal.retry_after_seconds == 40
    assert limits.admit(100, 0) is None


async def test_an_outage_drops_connections_until_it_is_over() -> None:
    text = problems(1)[0][0]
    with rehearsal("--outage", "0-4") as server:
        outcomes = []
        deadline = time.monotonic() + 60
        while "stop" not in outcomes and time.monotonic() < deadline:
            outcomes += kinds(await ask_all(server.url, [text]))
            await asyncio.sleep(0.2)
    assert outcomes[0] == "unreachable"
    assert outcomes[-1] == "stop"


async def test_recorded_answers_are_found_by_the_problem_in_the_prompt(tmp_path: Path) -> None:
    rows = [
        {"question": "What is 1+1?", "reasoning": "Okay…\n\n 两", "response": "\n\n\\boxed{2}"},
        {
            "problem": "What is 1+1? And 2+2?",
            "reasoning": "",
            "response": "2, 4",
            "finish_reason": "length",
        },
        {"problem": "Who  are\nyou?", "status": 422, "response": "no such question"},
    ]
    recording = tmp_path / "answers.jsonl"
    recording.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with rehearsal("--replay", str(recording)) as server:
        short, long, refusal = await ask_all(
            server.url, ["What is 1+1?", "What is 1+1? And 2+2?", "Who are you?"]
        )
    assert isinstance(short, Completion)
    assert (short.reasoning, short.response, short.finish_reason) == (
        "Okay…\n\n 两",
        "\n\n\\boxed{2}",
        "stop",
    )
    assert isinstance(long, Completion)
    assert (long.response, long.finish_reason) == ("2, 4", "length")
    assert isinstance(refusal, CallError)
    assert "no such question" in refusal.message


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--faults", "explode=0.1"], "unknown kind; known are stall"),
        (["--faults", "cut"], "cut=RATE"),
        (["--faults", "cut=0.7,stall=0.7"], "add up to 1.4"),
        (["--faults", "cut=-1"], "negative"),
        (["--outage", "soon"], "START-END"),
        (["--replay", "missing.jsonl"], "missing.jsonl"),
        (["--port", "99999"], "--port 99999"),
        (["--port", "-1"], "--port -1"),
    ],
)
def test_a_flag_that_cannot_be_used_is_one_line_and_exit_2(flags: list[str], message: str) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "generator.rehearsal", *flags],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 2
    assert message in process.stderr
    assert process.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_one_line_and_exit_2() -> None:
    with rehearsal() as server:
        port = server.url.split(":")[2].removesuffix("/v1")
        command = [sys.executable, "-m", "generator.rehearsal", "--port", port]
        process = subprocess.run(
            command, env=environment(), capture_output=True, text=True, timeout=60
        )
    assert process.returncode == 2
    assert f"--port {port}" in process.stderr


def test_it_ends_without_a_word_where_nobody_reads_its_address_any_more() -> None:
    """A run that was interrupted while its teacher started."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "generator.rehearsal", "--port", "0", "--with-parent"]
    process = subprocess.run(
        command,
        env=environment(),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
    )
    os.close(writing)
    assert process.stderr == ""


def test_it_ends_with_the_process_that_started_it() -> None:
    starter = (
        "import subprocess, sys\np = subprocess.Popen([sys.executable, '-m', 'generator.rehearsal',"
        " '--port', '0', '--with-parent'], stdout=subprocess.PIPE, text=True)\np.stdout.readline();"
        " print(p.pid, flush=True); sys.stdin.readline()\n"
    )
    command = [sys.executable, "-c", starter]
    with subprocess.Popen(
        command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while _lives(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _lives(child)


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
    finally:
        os.sched_yield()


def test_faults_that_exclude_each_other_never_meet() -> None:
    import random

    faults = Faults.parse("cut=0.5,stall=0.5,wrong=1")
    drawn = [faults.draw(random.Random(number)) for number in range(500)]
    assert {fate.kind for fate in drawn} == {"cut", "stall"}
    assert all(fate.wrong for fate in drawn)
    with pytest.raises(InputError):
        Faults.parse("99=0.1")


def test_tokens_put_together_are_the_text() -> None:
    for text, _ in problems(50):
        assert "".join(tokens(text + " ½ 好的 🍎\t\n x_1 ")) == text + " ½ 好的 🍎\t\n x_1 "
