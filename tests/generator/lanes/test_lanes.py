"""Lanes with real teachers against real servers: retry, and what happens when a lane dies."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from generator.config import GeneratorConfig, LaneConfig
from generator.corpus import HighWaterFile, Ledger
from generator.lanes import LOOK_AGAIN_SECONDS, Answer, Drained, Lanes, NoLane, OutOfBudget
from shared.chat_api import ChatClient, Clocks
from shared.errors import InputError
from tests.generator.fake_server import Reply, Script, refuses, says, scripted

PARAMS = {"temperature": 0.6, "top_p": 0.95, "max_tokens": 100}


def event(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def delta(**fields: str) -> bytes:
    return event({"model": "m", "choices": [{"index": 0, "delta": fields, "finish_reason": None}]})


END = (
    event({"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    + b"data: [DONE]\n\n"
)
USAGE = event({"model": "m", "choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 3}})
LENGTH = (
    event({"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]})
    + b"data: [DONE]\n\n"
)
ANSWER = says([delta(reasoning_content="thinking"), delta(content="\\boxed{4}"), END])
PARTIAL = says([delta(reasoning_content="half a thought")], aborts=True)


async def black_hole(request: web.Request) -> web.StreamResponse:
    """Accepts and never answers."""
    await asyncio.Event().wait()
    raise AssertionError


def after(calls: int, before: Reply, then: Reply) -> list[Reply]:
    return [before] * calls + [then]


@asynccontextmanager
async def lanes_on(
    folder: Path,
    servers: Sequence[Script],
    lane: dict[str, Any] | None = None,
    now: Callable[[], float] = time.time,
    **tables: Any,
) -> AsyncIterator[Lanes]:
    """Lanes a, b, … on these servers; a is the cheapest."""
    config = GeneratorConfig.model_validate(
        {
            "corpus": str(folder),
            "problems": {"source": "synthetic:arithmetic"},
            "lane": [
                {
                    "name": "abc"[n],
                    "base_url": server.url,
                    "model": "m",
                    "price_out": n + 1.0,
                    **(lane or {}),
                }
                for n, server in enumerate(servers)
            ],
        }
        | tables
    )
    clocks = Clocks(connect=5, first_token=0.5, stall=0.5, total=20)

    def teacher_for(lane: LaneConfig) -> ChatClient:
        return ChatClient(lane.base_url, "", clocks)

    ledger = Ledger(folder / "ledger.sqlite")
    marks = HighWaterFile(folder, ledger.last_call())
    try:
        lanes = Lanes(config, teacher_for, ledger, marks, now)
        async with lanes, asyncio.TaskGroup() as group:
            dispatching = group.create_task(lanes.dispatch())
            yield lanes
            dispatching.cancel()
        await lanes.give_back()
    finally:
        marks.close()
        ledger.close()


async def ask_all(lanes: Lanes, count: int) -> list[Answer]:
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ask(lanes, number)) for number in range(count)]
    return [each.result() for each in asked]


async def ask(lanes: Lanes, number: int = 0) -> Answer:
    return await lanes.ask(f"{number:016x}:0", [{"role": "user", "content": "2 + 2?"}], PARAMS)


async def calls_at(server: Script, count: int) -> None:
    for _ in range(3000):
        if len(server.bodies) >= count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{len(server.bodies)} calls, not {count}")


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


async def test_attempts_are_bounded_and_the_best_partial_text_is_kept(tmp_path: Path) -> None:
    retry = {"retry": {"attempts": 3}}
    async with scripted(PARTIAL) as server, lanes_on(tmp_path, [server], **retry) as lanes:
        answer = await ask(lanes)
    assert answer.attempts == len(server.bodies) == 3
    assert answer.completion.reasoning == "half a thought"
    assert answer.completion.finish_reason == "cut"
    assert answer.completion.error


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


async def test_a_budget_is_kept_over_a_restart_and_ends_with_exit_3(tmp_path: Path) -> None:
    limits = {"calls_per_day": 10}
    async with scripted(ANSWER) as server:
        for _ in range(2):
            async with lanes_on(tmp_path, [server], limits, daemon={"wait": False}) as lanes:
                with pytest.raises(ExceptionGroup) as group:
                    await ask_all(lanes, 15)
                assert all(isinstance(error, OutOfBudget) for error in group.value.exceptions)
        assert len(server.bodies) == 10


def lose_the_ledger(folder: Path) -> None:
    for path in folder.glob("ledger.sqlite*"):
        path.unlink()


@pytest.mark.parametrize(
    "limit",
    [{"calls_per_day": 3}, {"tokens_per_day": 9}, {"usd_per_day": 8e-6}, {"usd_total": 8e-6}],
    ids=lambda limit: next(iter(limit)),
)
@pytest.mark.parametrize("table", ["lane", "budget"])
async def test_a_lost_ledger_gives_nothing_out_again(
    tmp_path: Path, table: str, limit: dict[str, Any]
) -> None:
    lane, tables = (limit, {}) if table == "lane" else ({}, {"budget": limit})
    answer = says([delta(content="4"), USAGE, END])  # 3 tokens, 3e-6 dollars
    async with scripted(answer) as server:
        async with lanes_on(tmp_path, [server], lane, daemon={"wait": False}, **tables) as lanes:
            for number in range(3):
                await ask(lanes, number)
        calls = len(server.bodies)
        lose_the_ledger(tmp_path)
        async with lanes_on(tmp_path, [server], lane, daemon={"wait": False}, **tables) as lanes:
            with pytest.raises(OutOfBudget, match="has used"):
                await ask(lanes, 3)
        assert len(server.bodies) == calls


@pytest.mark.parametrize("the_power_was_cut", [False, True])
async def test_what_was_reserved_ahead_counts_as_spent_where_nobody_can_prove_that_it_was_not(
    tmp_path: Path, the_power_was_cut: bool
) -> None:
    async with scripted(ANSWER) as server:
        async with lanes_on(tmp_path, [server], {"calls_per_day": 2000}) as lanes:
            await ask(lanes)
            reserved = (tmp_path / "budgets.json").read_bytes()
        assert orjson.loads(reserved)["accounts"]["a"]["calls"] == 4
        assert orjson.loads((tmp_path / "budgets.json").read_bytes())["accounts"]["a"]["calls"] == 1
        (tmp_path / "budgets.json").write_bytes(
            reserved
        )  # as a crash within the run would have left it
        if the_power_was_cut:
            last_call = (tmp_path / ".calls").read_text()
            (tmp_path / ".calls").write_text("another-start-of-the-machine" + last_call[28:])
        async with lanes_on(tmp_path, [server], {"calls_per_day": 2000}) as lanes:
            assert [budget.used for budget in lanes.status()[0].budgets] == [
                4 if the_power_was_cut else 1
            ]


async def test_a_restart_of_the_machine_after_an_orderly_end_costs_nothing(tmp_path: Path) -> None:
    limits = {
        "calls_per_day": 100,
        "tokens_per_day": 10_000,
        "usd_total": 5.0,
        "price_out": 0.7,
        "price_in": 0.3,
    }
    answer = says([delta(content="4"), USAGE, END])
    async with scripted(answer) as server:
        for _ in range(3):
            async with lanes_on(tmp_path, [server], limits) as lanes:
                await ask_all(lanes, 7)
            (tmp_path / ".calls").unlink()
        async with lanes_on(tmp_path, [server], limits) as lanes:
            used = {budget.name: budget.used for budget in lanes.status()[0].budgets}
    assert used["calls_per_day"] == 21
    assert used["tokens_per_day"] == 63


async def test_a_budget_is_written_to_the_disk_seldom(tmp_path: Path) -> None:
    """Each write waits for the disk: a block is a five-hundredth of an allowance."""
    async with (
        scripted(ANSWER) as server,
        lanes_on(tmp_path, [server], {"calls_per_day": 20_000}) as lanes,
    ):
        await ask(lanes)
        written = (tmp_path / "budgets.json").stat().st_mtime_ns
        await ask_all(lanes, 39)
        assert (tmp_path / "budgets.json").stat().st_mtime_ns == written
        await ask(lanes, 40)
        assert (tmp_path / "budgets.json").stat().st_mtime_ns > written


async def test_a_corpus_without_a_budget_gets_no_file_for_one(tmp_path: Path) -> None:
    async with scripted(ANSWER) as server, lanes_on(tmp_path, [server]) as lanes:
        await ask(lanes)
    assert not (tmp_path / "budgets.json").exists()


@pytest.mark.parametrize("back", [3600.0, 86_400.0, 864_000.0])
@pytest.mark.parametrize("loses_the_ledger", [False, True])
async def test_a_clock_that_is_set_back_gives_no_day_twice(
    tmp_path: Path, back: float, loses_the_ledger: bool
) -> None:
    clock = [time.time()]
    limits = {"calls_per_day": 4}
    async with scripted(ANSWER) as server:
        async with lanes_on(
            tmp_path, [server], limits, lambda: clock[0], daemon={"wait": False}
        ) as lanes:
            await ask(lanes, 0)
            clock[0] -= back
            await ask(lanes, 1)
        if loses_the_ledger:
            lose_the_ledger(tmp_path)
        for moves in (0.0, back):  # still wrong, then right again
            clock[0] += moves
            async with lanes_on(
                tmp_path, [server], limits, lambda: clock[0], daemon={"wait": False}
            ) as lanes:
                with pytest.raises(ExceptionGroup):
                    await ask_all(lanes, 6)
        assert len(server.bodies) == 4


OUTAGE = [refuses(503, {"error": "down"})] * 5


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


def test_a_damaged_file_of_budgets_is_named_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "budgets.json").write_text('{"accounts": {"a": {"calls": 3}}}')
    with pytest.raises(InputError, match=r"budgets.json: damaged .* delete it"):
        HighWaterFile(tmp_path, 0)


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
