"""Lanes with real teachers against real servers: retry, and what happens when a lane dies."""

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from generator.lanes import LOOK_AGAIN_SECONDS, Answer, Drained, NoLane, OutOfBudget
from shared.errors import InputError
from tests.fake_server import Reply, refuses, says, scripted
from tests.generator.lanes.lanes_on_servers import (
    ANSWER,
    END,
    LENGTH,
    PARAMS,
    PARTIAL,
    after,
    ask,
    ask_all,
    black_hole,
    calls_at,
    delta,
    lanes_on,
)


async def test_an_answer_says_who_gave_it_with_what_and_at_what_cost(tmp_path: Path) -> None:
    async with (
        scripted(ANSWER) as server,
        lanes_on(tmp_path, [server], {"max_tokens": 50}) as lanes,
    ):
        answer = await ask(lanes)
    assert (answer.lane, answer.model, answer.attempts) == ("a", "m", 1)
    assert answer.params == {
        "temperature": 0.6,
        "top_p": 0.95,
        "max_tokens": 50,
    }  # the lane's own ceiling
    assert answer.completion.response == "\\boxed{4}"
    assert answer.cost_usd is not None
    assert answer.cost_usd > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "death",
    [
        refuses(402, {"error": {"message": "Insufficient Balance"}}),
        refuses(401, {"error": "bad key"}),
        black_hole,
    ],
    ids=["balance gone", "key refused", "black hole"],
)
async def test_when_one_of_two_lanes_dies_half_way_the_other_finishes_all_the_work(
    tmp_path: Path, death: Reply
) -> None:
    async with AsyncExitStack() as parts:
        dying = await parts.enter_async_context(scripted(*after(15, ANSWER, death)))
        living = await parts.enter_async_context(scripted(ANSWER))
        lanes = await parts.enter_async_context(
            lanes_on(tmp_path, [dying, living], {"concurrency": 4})
        )
        answers = await ask_all(lanes, 60)
    assert [answer.completion.response for answer in answers] == ["\\boxed{4}"] * 60
    by_lane = Counter(answer.lane for answer in answers)
    assert by_lane["a"] <= 15
    assert by_lane["b"] == 60 - by_lane["a"]
    assert len(dying.bodies) < 45  # a dead lane is left alone


async def test_a_refused_key_on_the_only_lane_ends_with_exit_4(tmp_path: Path) -> None:
    async with (
        scripted(refuses(401, {"error": "bad key"})) as server,
        lanes_on(tmp_path, [server]) as lanes,
    ):
        with pytest.raises(NoLane, match=r"a is stopped: .*bad key") as stopped:
            await ask(lanes)
    assert stopped.value.exit_code == 4
    assert len(server.bodies) == 1


@pytest.mark.timing
async def test_lanes_that_are_out_are_given_up_when_that_time_is_over_and_not_at_the_next_look(
    tmp_path: Path,
) -> None:
    gone = refuses(402, {"error": {"message": "Insufficient Balance"}})
    daemon = {"give_up_minutes": 0.01}
    async with scripted(gone) as server, lanes_on(tmp_path, [server], daemon=daemon) as lanes:
        began = asyncio.get_running_loop().time()
        with pytest.raises(NoLane, match=r"no lane has worked for 0\.01 minutes"):
            await ask(lanes)
        assert asyncio.get_running_loop().time() - began < LOOK_AGAIN_SECONDS / 2


async def test_a_bad_request_fails_its_sample_at_once_and_says_why(tmp_path: Path) -> None:
    bad = refuses(400, {"error": {"message": "prompt is too long"}})
    async with scripted(bad, ANSWER) as server, lanes_on(tmp_path, [server]) as lanes:
        first, second = await ask(lanes, 1), await ask(lanes, 2)
    assert first.completion.finish_reason == "error"
    assert "prompt is too long" in first.completion.error
    assert first.attempts == 1
    assert second.completion.finish_reason == "stop"


async def test_an_answer_cut_by_its_length_is_not_asked_again(tmp_path: Path) -> None:
    cut = says([delta(reasoning_content="and on"), LENGTH])
    async with scripted(cut) as server, lanes_on(tmp_path, [server]) as lanes:
        answer = await ask(lanes)
    assert answer.completion.finish_reason == "length"
    assert len(server.bodies) == 1


@pytest.mark.slow
async def test_attempts_are_bounded_and_the_best_partial_text_is_kept(tmp_path: Path) -> None:
    retry = {"retry": {"attempts": 3}}
    async with scripted(PARTIAL) as server, lanes_on(tmp_path, [server], **retry) as lanes:
        answer = await ask(lanes)
    assert answer.attempts == len(server.bodies) == 3
    assert answer.completion.reasoning == "half a thought"
    assert answer.completion.finish_reason == "cut"
    assert answer.completion.error


@pytest.mark.slow
async def test_429_and_an_outage_use_up_no_attempts(tmp_path: Path) -> None:
    busy = refuses(429, headers={"Retry-After": "0.05"})
    down = refuses(503)
    script = [*[busy] * 5, *[down] * 5, ANSWER]
    async with (
        scripted(*script) as server,
        lanes_on(tmp_path, [server], retry={"attempts": 5}) as lanes,
    ):
        answer = await ask(lanes)
    assert answer.completion.finish_reason == "stop"
    assert answer.attempts == len(server.bodies) == 11


@pytest.mark.slow
async def test_retry_after_cools_the_whole_lane(tmp_path: Path) -> None:
    busy = refuses(429, headers={"Retry-After": "0.7"})
    async with scripted(busy, ANSWER) as server, lanes_on(tmp_path, [server]) as lanes:
        first = asyncio.create_task(ask(lanes, 1))
        await calls_at(server, 1)
        await asyncio.sleep(0.1)
        others = [asyncio.create_task(ask(lanes, number)) for number in range(2, 6)]
        await asyncio.sleep(0.2)
        assert len(server.bodies) == 1
        assert {
            answer.completion.finish_reason for answer in await asyncio.gather(first, *others)
        } == {"stop"}


async def test_a_poisonous_sample_that_always_draws_500_does_not_hold_up_the_run_for_ever(
    tmp_path: Path,
) -> None:
    fault = refuses(500)
    async with (
        scripted(fault) as server,
        lanes_on(tmp_path, [server], retry={"attempts": 2}) as lanes,
    ):
        answer = await ask(lanes)
    assert answer.completion.finish_reason == "error"
    assert answer.attempts == 2


@pytest.mark.slow
async def test_a_server_that_fails_each_samples_first_call_is_not_given_up(tmp_path: Path) -> None:
    """More samples wait in turn before those that failed: only a probe of one of these succeeds."""
    known_problems: set[str] = set()

    async def fails_first(request: web.Request) -> web.StreamResponse:
        (message,) = orjson.loads(await request.read())["messages"]
        if message["content"] in known_problems:
            return await ANSWER(request)
        known_problems.add(message["content"])
        return web.Response(status=500)

    async with (
        scripted(fails_first) as server,
        lanes_on(tmp_path, [server], {"concurrency": 5}, daemon={"give_up_minutes": 0.2}) as lanes,
        asyncio.TaskGroup() as group,
    ):
        samples = [
            group.create_task(
                lanes.ask(f"{number:016x}:0", [{"role": "user", "content": f"{number}"}], PARAMS)
            )
            for number in range(9)
        ]
    assert {each.result().completion.response for each in samples} == {"\\boxed{4}"}


OUTAGE = [refuses(503, {"error": "down"})] * 5


@pytest.mark.slow
@pytest.mark.parametrize(
    "trouble",
    [[refuses(429, {"error": "slow down"}, {"Retry-After": "1"})], OUTAGE],
    ids=["a lane that cools", "an open circuit"],
)
@pytest.mark.parametrize("back", [86_400.0, -86_400.0], ids=["back", "forward"])
async def test_a_clock_that_is_set_shifts_no_pause(
    tmp_path: Path, trouble: list[Reply], back: float
) -> None:
    shift = 0.0
    windows = {"windows": ["mon-sun 00:00-24:00"]}
    async with (
        scripted(*trouble, ANSWER) as server,
        lanes_on(tmp_path, [server], windows, lambda: time.time() + shift) as lanes,
        asyncio.timeout(20),
        asyncio.TaskGroup() as group,
    ):
        asking = group.create_task(ask(lanes))
        await calls_at(server, len(trouble))
        await asyncio.sleep(0.1)  # until the lane has heard of the last one
        began = time.monotonic()
        shift = -back
        answer = await asking
    assert answer.completion.response == "\\boxed{4}"
    assert time.monotonic() - began > 0.5  # nor does a pause end early


async def test_remaining_counts_that_the_server_names_are_obeyed(tmp_path: Path) -> None:
    told = says([delta(content="4"), END], headers={"modelscope-ratelimit-requests-remaining": "0"})
    async with (
        scripted(told) as server,
        lanes_on(tmp_path, [server], daemon={"wait": False}) as lanes,
    ):
        await ask(lanes)
        with pytest.raises(OutOfBudget, match="all calls that its server allows today"):
            await ask(lanes, 2)
        assert len(server.bodies) == 1


async def test_drain_gives_waiting_samples_back_and_lets_calls_in_flight_finish(
    tmp_path: Path,
) -> None:
    slow = says([delta(content="4"), END], gap_seconds=0.3)
    async with scripted(slow) as server, lanes_on(tmp_path, [server], {"concurrency": 2}) as lanes:
        asked = [asyncio.create_task(ask(lanes, number)) for number in range(6)]
        await calls_at(server, 2)
        lanes.drain()
        results = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(result, Answer) for result in results] == [
        True,
        True,
        False,
        False,
        False,
        False,
    ]
    assert all(isinstance(result, Drained) for result in results[2:])


async def test_a_paused_lane_starts_no_call_and_a_resumed_one_goes_on(tmp_path: Path) -> None:
    async with scripted(ANSWER) as server, lanes_on(tmp_path, [server]) as lanes:
        lanes.pause("a")
        asked = asyncio.create_task(ask(lanes))
        await asyncio.sleep(0.2)
        assert not server.bodies
        assert lanes.status()[0].state == "paused"
        lanes.resume("a")
        assert (await asked).completion.finish_reason == "stop"


async def test_a_stopped_lane_that_is_resumed_by_hand_is_tried_again(tmp_path: Path) -> None:
    async with AsyncExitStack() as parts:
        a = await parts.enter_async_context(scripted(refuses(401), ANSWER))
        b = await parts.enter_async_context(scripted(ANSWER))
        lanes = await parts.enter_async_context(lanes_on(tmp_path, [a, b]))
        assert (await ask(lanes, 1)).lane == "b"
        lanes.resume("a")
        assert (await ask(lanes, 2)).lane == "a"


async def test_a_reload_raises_a_budget_for_samples_that_wait(tmp_path: Path) -> None:
    async with (
        scripted(ANSWER) as server,
        lanes_on(tmp_path, [server], {"calls_per_day": 1}) as lanes,
    ):
        await ask(lanes, 1)
        waiting = asyncio.create_task(ask(lanes, 2))
        await asyncio.sleep(0.1)
        assert len(server.bodies) == 1
        old = lanes.config
        more = old.lane[0].model_copy(update={"calls_per_day": 5, "model": "another"})
        notes = lanes.reload(old.model_copy(update={"lane": (more,)}))
        assert notes == ["lane a: model needs a restart"]
        assert (await waiting).model == "m"


async def test_a_reload_with_a_window_that_cannot_be_read_changes_nothing(tmp_path: Path) -> None:
    async with (
        scripted(ANSWER) as server,
        lanes_on(tmp_path, [server], {"calls_per_day": 1}) as lanes,
    ):
        bad = lanes.config.lane[0].model_copy(update={"calls_per_day": 5, "windows": ("mon-fry",)})
        with pytest.raises(InputError, match="mon-fry"):
            lanes.reload(lanes.config.model_copy(update={"lane": (bad,)}))
        assert lanes.status()[0].budgets[0].limit == 1


async def test_a_lane_named_for_judging_takes_no_samples(tmp_path: Path) -> None:
    async with AsyncExitStack() as parts:
        a = await parts.enter_async_context(scripted(ANSWER))
        b = await parts.enter_async_context(scripted(ANSWER))
        lanes = await parts.enter_async_context(lanes_on(tmp_path, [a, b], judge={"lane": "a"}))
        assert (await ask(lanes, 1)).lane == "b"
        assert (await lanes.ask("x:0", [], PARAMS, lane="a")).lane == "a"
