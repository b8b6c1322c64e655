"""Refusals before a lane has answered: its samples' fault or its own. And with `daemon.wait =
false` every run ends.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from math import inf
from pathlib import Path

import pytest
from aiohttp import web

from generator.lanes import Answer, Drained, Lanes, NoLane, OutOfBudget
from generator.lanes.circuit import KEY_SECONDS
from generator.lanes.concurrency import START
from generator.lanes.gate import Gate
from generator.lanes.refusal_streak import SAMPLES, Trial
from generator.lanes.stop_conditions import BUSY_SECONDS, OUT_SECONDS, look_again_at, stop_reason
from shared.chat_api.errors import KeyRefused, RateLimited, ServerFault
from shared.chat_api.limits import LimitNews
from shared.errors import Stopped
from tests.fake_server import Reply, Script, refuses, says, scripted
from tests.generator.lanes.lane_simulation import one_gate
from tests.generator.lanes.lanes_on_servers import ANSWER, ask, lanes_on
from tests.generator.process_runs import generator, rows
from tests.shared.chat_api.stream_events import sse

CEILING = refuses(
    400,
    {"error": {"param": "max_tokens", "message": "max_tokens may be 16384 here, request 0a1b2c"}},
)
STRANGE = refuses(400, {"error": {"message": "the prompt is too strange"}})
NO_WAIT = {"wait": False}


async def ends_of(lanes: Lanes, count: int) -> list[Answer | BaseException]:
    return await asyncio.gather(
        *(ask(lanes, number) for number in range(count)), return_exceptions=True
    )


def by_question(replies: Sequence[Reply]) -> Reply:
    """The nth request that comes gets the nth reply, the last one for ever."""
    count = 0

    async def reply(request: web.Request) -> web.StreamResponse:
        nonlocal count
        count += 1
        return await replies[min(count, len(replies)) - 1](request)

    return reply


def slowly(reply: Reply, seconds: float) -> Reply:
    async def later(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await reply(request)

    return later


@pytest.mark.slow
@pytest.mark.parametrize(
    ("refusal", "named"),
    [
        (CEILING, r"`lane\.max_tokens`"),
        (
            refuses(
                422,
                {"detail": [{"loc": ["body", "top_p"], "msg": "Extra inputs are not permitted"}]},
            ),
            "sampling.top_p",
        ),
        (refuses(400, {"error": {"message": "invalid model: r1"}}), r"`lane\.model`"),
        (
            refuses(400, {"error": {"message": "this account may not do that"}}),
            r"`lane\.model`, `lane\.max_tokens`",
        ),
        (refuses(405, b"<h1>Method Not Allowed</h1>"), "HTTP 405"),
        (
            says(
                [
                    sse(
                        {
                            "error": {
                                "code": 400,
                                "message": "32868 tokens wanted, the context has 8192",
                            }
                        }
                    )
                ]
            ),
            "lane.max_tokens",
        ),
    ],
    ids=["ceiling", "field", "model", "account", "method", "in the stream"],
)
async def test_the_same_refusal_of_every_first_request_stops_the_lane_and_blames_no_sample(
    tmp_path: Path, refusal: Reply, named: str
) -> None:
    async with scripted(refusal) as server, lanes_on(tmp_path, [server]) as lanes:
        ends = await ends_of(lanes, 40)
        assert len(server.bodies) < START + SAMPLES
    assert all(isinstance(end, NoLane) for end in ends), ends
    with pytest.raises(NoLane, match=named) as stopped:
        raise ends[0]  # type: ignore[misc]
    assert "refuses every request in the same words" in str(stopped.value)


@pytest.mark.slow
@pytest.mark.parametrize("concurrency", [1, 4])
async def test_it_stops_also_where_few_calls_may_be_in_flight(
    tmp_path: Path, concurrency: int
) -> None:
    async with (
        scripted(STRANGE) as server,
        lanes_on(tmp_path, [server], {"concurrency": concurrency}) as lanes,
    ):
        ends = await ends_of(lanes, 10)
        assert len(server.bodies) < concurrency + SAMPLES
    assert all(isinstance(end, NoLane) for end in ends)


async def test_a_single_sample_is_not_blamed_either_where_the_refusal_names_a_setting(
    tmp_path: Path,
) -> None:
    async with scripted(CEILING) as server, lanes_on(tmp_path, [server]) as lanes:
        with pytest.raises(NoLane, match=r"lane\.max_tokens"):
            await ask(lanes)
        assert len(server.bodies) == 1


async def test_another_lane_is_asked_for_what_the_first_refuses_altogether(tmp_path: Path) -> None:
    async with AsyncExitStack() as parts:
        refusing = await parts.enter_async_context(scripted(CEILING))
        working = await parts.enter_async_context(scripted(ANSWER))
        lanes = await parts.enter_async_context(
            lanes_on(tmp_path, [refusing, working], retry={"attempts": 1})
        )
        answers = [end for end in await ends_of(lanes, 40) if isinstance(end, Answer)]
        states = [lane.state for lane in lanes.status()]
    assert [answer.completion.response for answer in answers] == ["\\boxed{4}"] * 40
    assert len(refusing.bodies) < START + SAMPLES
    assert states == ["stopped", "ready"]


async def test_an_answer_that_is_slower_than_the_refusals_acquits_the_lane(tmp_path: Path) -> None:
    first_ones = [STRANGE] * 7 + [slowly(ANSWER, 0.3)]
    server = scripted(by_question([*first_ones, ANSWER]))
    async with server as script, lanes_on(tmp_path, [script]) as lanes:
        ends = await ends_of(lanes, 30)
        assert len(script.bodies) == 30
    errors = [
        end.completion.error for end in ends if isinstance(end, Answer) and end.completion.error
    ]
    assert len(ends) == 30
    assert len(errors) == 7
    assert all("too strange" in error for error in errors)
    assert all(end.attempts == 1 for end in ends if isinstance(end, Answer))


async def test_samples_that_are_refused_each_for_another_reason_are_to_blame_themselves(
    tmp_path: Path,
) -> None:
    replies = [
        refuses(400, {"message": f"{word} is not allowed"})
        for word in ("alpha", "beta", "gamma", "delta")
    ]
    async with scripted(*replies) as server, lanes_on(tmp_path, [server]) as lanes:
        ends = await ends_of(lanes, 4)
    assert all(isinstance(end, Answer) and "is not allowed" in end.completion.error for end in ends)


async def test_after_an_answer_a_refusal_is_its_samples_own_at_once(tmp_path: Path) -> None:
    async with scripted(ANSWER, CEILING) as server, lanes_on(tmp_path, [server]) as lanes:
        assert (await ask(lanes)).completion.finish_reason == "stop"
        began = asyncio.get_running_loop().time()
        ends = await ends_of(lanes, 10)
        assert asyncio.get_running_loop().time() - began < 5
    assert all(isinstance(end, Answer) and end.completion.error for end in ends)


async def test_a_drain_leaves_the_samples_unasked_whose_refusal_is_not_understood_yet(
    tmp_path: Path,
) -> None:
    server = scripted(by_question([STRANGE, slowly(ANSWER, 0.4)]))
    async with server as script, lanes_on(tmp_path, [script]) as lanes:
        asked = [asyncio.create_task(ask(lanes, number)) for number in range(2)]
        await asyncio.sleep(0.1)
        lanes.drain()
        with pytest.raises(Drained):
            await asked[0]
        asked[1].cancel()
        await asyncio.gather(*asked, return_exceptions=True)


async def test_a_lane_that_was_resumed_by_hand_stops_again_unless_it_answers(
    tmp_path: Path,
) -> None:
    async with scripted(*[CEILING] * 2, ANSWER) as server, lanes_on(tmp_path, [server]) as lanes:
        with pytest.raises(NoLane):
            await ask(lanes)
        lanes.resume("a")
        with pytest.raises(NoLane):
            await ask(lanes)
        lanes.resume("a")
        assert (await ask(lanes)).completion.finish_reason == "stop"
        assert len(server.bodies) == 3


def test_words_are_the_same_whatever_numbers_ids_and_quotations_stand_in_them() -> None:
    trial = Trial()
    for number in range(SAMPLES):
        assert not trial.suspect
        text = f"{number} of '{'x y' * number}' (id 7f{number}a)"
        trial.refuse(text, f"sample {number}")
        trial.refuse(text, f"sample {number}")  # asked again: no other sample
    assert trial.suspect


async def test_few_samples_refused_in_the_same_words_that_name_no_setting_are_rejected(
    tmp_path: Path,
) -> None:
    async with scripted(STRANGE) as server, lanes_on(tmp_path, [server]) as lanes:
        ends = await ends_of(lanes, SAMPLES - 1)
        assert len(server.bodies) == SAMPLES - 1
    assert all(isinstance(end, Answer) and "too strange" in end.completion.error for end in ends)


# A run that does not want to wait


@pytest.mark.slow
async def test_where_no_lane_works_a_run_that_does_not_wait_ends_after_two_probes(
    tmp_path: Path,
) -> None:
    async with AsyncExitStack() as parts:
        faulty = await parts.enter_async_context(scripted(refuses(503)))
        page = await parts.enter_async_context(scripted(says([b"<html>Hello</html>"], "text/html")))
        lanes = await parts.enter_async_context(lanes_on(tmp_path, [faulty, page], daemon=NO_WAIT))
        began = asyncio.get_running_loop().time()
        ends = await ends_of(lanes, 30)
        assert asyncio.get_running_loop().time() - began < OUT_SECONDS
    ended = [end for end in ends if isinstance(end, NoLane)]
    assert ended
    assert "base_url" in str(ended[0])
    assert "daemon.wait = false" in str(ended[0])


def open_circuit(gate: Gate, now: float) -> None:
    for _ in range(5):
        gate.fail(now, gate.enter(now), ServerFault("503", status=503))


def test_without_a_probe_it_ends_after_thirty_seconds_and_with_waiting_not_at_all() -> None:
    gate = one_gate()
    open_circuit(gate, 0.0)
    assert stop_reason([gate], 1.0, False, 0.0) is None
    assert look_again_at([gate], 1.0, False) == OUT_SECONDS
    gate.circuit.retry_at = 1e9
    assert isinstance(stop_reason([gate], OUT_SECONDS, False, 0.0), NoLane)
    assert stop_reason([gate], OUT_SECONDS, True, 0.0) is None


def test_one_lane_that_may_work_again_is_waited_for() -> None:
    out, fresh = one_gate(), one_gate()
    open_circuit(out, 0.0)
    open_circuit(fresh, 29.0)
    assert stop_reason([out, fresh], 30.0, False, 0.0) is None
    fresh.paused = True
    assert stop_reason([out, fresh], 90.0, False, 0.0) is None


def refused_until(gate: Gate, end: float, now: float = 0.0) -> Stopped | None:
    """A lane whose every call draws a 429 that names a second, until `end`."""
    while now < end:
        wait = gate.wait(now)
        if wait is None:
            gate.fail(now, gate.enter(now), RateLimited("429", status=429, retry_after_seconds=1.0))
        elif ended := stop_reason([gate], now, False, 0.0):
            return ended
        now += 0.25
    return None


def test_a_lane_that_says_429_for_ever_ends_a_run_that_does_not_wait() -> None:
    assert refused_until(one_gate(), OUT_SECONDS - 1) is None
    assert isinstance(refused_until(one_gate(), OUT_SECONDS + 10), NoLane)


def test_a_lane_that_has_answered_has_a_minute_for_its_429() -> None:
    gate = one_gate()
    gate.first_token(0.0, gate.enter(0.0))
    assert refused_until(gate, BUSY_SECONDS - 5) is None
    assert isinstance(refused_until(gate, BUSY_SECONDS + 10, BUSY_SECONDS - 5), NoLane)


def test_a_day_that_the_server_calls_used_up_is_a_budget_that_is_over() -> None:
    gate = one_gate()
    entered = gate.enter(0.0)
    gate.news(0.0, entered, LimitNews(requests_limit=200, per="day"))
    gate.fail(0.0, entered, RateLimited("Daily limit of 200 calls reached", status=429))
    assert isinstance(stop_reason([gate], 1.0, False, 0.0), OutOfBudget)
    assert stop_reason([gate], 1.0, True, 0.0) is None


def test_a_key_that_worked_before_is_tried_again_and_one_that_never_did_is_not() -> None:
    gate, never = one_gate(), one_gate()
    gate.first_token(0.0, gate.enter(0.0))
    for each in (gate, never):
        each.fail(1.0, each.enter(1.0), KeyRefused("HTTP 401: no", status=401))
    wait = gate.wait(2.0)
    assert wait is not None
    assert (wait.state, wait.until) == ("circuit open", 1.0 + KEY_SECONDS)
    assert never.circuit.retry_at == inf
    probe = gate.enter(1.0 + KEY_SECONDS)
    gate.first_token(62.0, probe)
    assert gate.circuit.closed


# The whole command


def ceiling_of(allowed: int) -> Reply:
    async def reply(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        return await (ANSWER if body["max_tokens"] <= allowed else CEILING)(request)

    return reply


def configuration(folder: Path, server: Script, count: int = 12) -> list[str]:
    problems = folder / "problems.jsonl"
    problems.write_text(
        "".join(f'{{"problem": "What is {n} + {4 - n}?", "answer": "4"}}\n' for n in range(count))
    )
    path = folder / "config.toml"
    path.write_text(
        f'corpus = "{folder / "corpus"}"\n[problems]\nsource = "{problems}"\nanswer_field ='
        ' "answer"\n[screening]\nnear_duplicates = 0\n[[lane]]\nname = "a"\nmodel = "m"\nbase_url'
        f' = "{server.url}"\n[daemon]\nport = 0\nwait = false\n[grading]\nworkers = 1\n'
    )
    return [str(path)]


async def test_a_run_whose_every_request_is_refused_exits_with_4_and_the_next_one_does_all_the_work(
    tmp_path: Path,
) -> None:
    async with scripted(ceiling_of(16384)) as server:
        config = configuration(tmp_path, server)
        refused = await asyncio.to_thread(generator, "run", *config)
        assert refused.returncode == 4, refused.stderr
        assert "`lane.max_tokens`" in refused.stderr
        assert rows(tmp_path / "corpus") == []
        corrected = await asyncio.to_thread(
            generator, "run", *config, "--set", "lane.0.max_tokens=16384"
        )
    assert corrected.returncode == 0, corrected.stderr
    assert len(rows(tmp_path / "corpus", "traces")) == 12


async def test_a_probe_sends_what_a_run_sends_and_names_the_setting(tmp_path: Path) -> None:
    async with scripted(ceiling_of(16384)) as server:
        config = configuration(tmp_path, server, count=1)
        probed = await asyncio.to_thread(generator, "plan", *config, "--probe")
        await asyncio.to_thread(generator, "run", *config)
    assert probed.returncode == 4
    assert "`lane.max_tokens`" in probed.stdout
    probe, run = (
        body | {"messages": [each["role"] for each in body["messages"]]} for body in server.bodies
    )
    assert probe == run


@pytest.mark.parametrize("status", [200, 500])
async def test_a_probe_survives_what_no_parser_follows(tmp_path: Path, status: int) -> None:
    deep = b'{"error":' * 600 + b'"\\ud800"' + b"}" * 600
    async with scripted(refuses(status, deep)) as server:
        probed = await asyncio.to_thread(
            generator, "plan", *configuration(tmp_path, server), "--probe"
        )
    assert probed.returncode == 4, probed.stderr
    assert "Traceback" not in probed.stderr
