"""What was spent survives restarts, lost ledgers, power cuts and clocks that are set."""

import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from generator.corpus import HighWaterFile
from generator.lanes import OutOfBudget
from shared.errors import InputError
from tests.fake_server import says, scripted
from tests.generator.lanes.lanes_on_servers import ANSWER, END, USAGE, ask, ask_all, delta, lanes_on


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


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_a_damaged_file_of_budgets_is_named_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "budgets.json").write_text('{"accounts": {"a": {"calls": 3}}}')
    with pytest.raises(InputError, match=r"budgets.json: damaged .* delete it"):
        HighWaterFile(tmp_path, 0)
