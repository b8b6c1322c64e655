"""What a run will be, told before it: the arithmetic, and the command against a real server."""

from math import inf
from pathlib import Path

import pytest

from generator.config import BudgetConfig
from generator.lanes.begun_day import BegunDay
from generator.lanes.forecast import (
    Expected,
    Quota,
    forecast,
    lane_pace,
    open_share,
    quota_seconds,
)
from generator.lanes.windows import Windows
from generator.spending import Spent
from shared.records import Usage
from tests.generator.corpora import trace, write_corpus
from tests.generator.lanes.lane_simulation import lane_config
from tests.generator.process_runs import configure, generator, rehearsal

ONE = Expected(prompt_tokens=100, completion_tokens=900, seconds=30)
MONDAY = 1_763_942_400.0  # 2025-11-24 00:00 UTC


def test_a_quota_of_calls_binds_where_it_is_the_smallest_limit() -> None:
    outlook = forecast(4000, ONE, [lane_config(calls_per_day=2000)], BudgetConfig(), MONDAY)
    assert outlook.days == pytest.approx(2.0)
    assert outlook.binding == "lane lane: calls_per_day"


def test_failed_calls_cost_calls() -> None:
    twice = Expected(100, 900, 30, calls=2.0)
    assert forecast(
        4000, twice, [lane_config(calls_per_day=2000)], BudgetConfig(), MONDAY
    ).days == pytest.approx(4.0)


def test_without_quotas_it_is_concurrency_and_duration() -> None:
    pace = lane_pace(lane_config(concurrency=10), ONE, MONDAY)
    assert pace.samples_per_day == pytest.approx(10 * 86400 / 30)
    assert pace.binding == "concurrency"


def test_what_one_days_quotas_allow_is_not_slowed_down_by_them() -> None:
    lane = lane_config(concurrency=10, calls_per_day=20_000, price_out=1.0, usd_per_day=5.0)
    outlook = forecast(960, ONE, [lane], BudgetConfig(), MONDAY)
    assert outlook.days * 86400 == pytest.approx(960 * 30 / 10)
    assert outlook.binding == "lane lane: concurrency"
    assert outlook.usd == pytest.approx(960 * 900 / 1e6)


def test_a_lane_that_has_used_its_day_leaves_the_rest_to_the_others() -> None:
    lanes = [
        lane_config("free", concurrency=10, calls_per_day=100),
        lane_config("paid", concurrency=10),
    ]
    outlook = forecast(1000, ONE, lanes, BudgetConfig(), MONDAY)
    assert [lane.samples for lane in outlook.lanes] == [pytest.approx(100), pytest.approx(900)]
    assert outlook.days * 86400 == pytest.approx(900 * 30 / 10)
    assert outlook.binding == "lane paid: concurrency"


def test_windows_take_their_share_and_a_closed_lane_takes_for_ever() -> None:
    assert open_share(Windows(["mon-fri 00:00-12:00"]), MONDAY) == pytest.approx(5 * 12 / (7 * 24))
    assert open_share(Windows([]), MONDAY) == 1.0
    never = lane_config(
        windows=("mon 00:00-00:01",), holidays=("2025-12-01",)
    )  # its only minute is a holiday's
    assert forecast(10, ONE, [never], BudgetConfig(), MONDAY + 60).days == inf


def test_lanes_work_side_by_side_and_cost_by_their_own_prices() -> None:
    lanes = [
        lane_config("free", calls_per_day=1000),
        lane_config("paid", calls_per_day=3000, price_out=2.0),
    ]
    outlook = forecast(8000, ONE, lanes, BudgetConfig(), MONDAY)
    assert outlook.days == pytest.approx(2.0)
    assert outlook.usd == pytest.approx(6000 * 900 * 2 / 1e6)
    assert [lane.samples for lane in outlook.lanes] == [pytest.approx(2000), pytest.approx(6000)]


def test_cached_prompt_tokens_cost_their_own_price() -> None:
    cached_prompts = Expected(
        prompt_tokens=1000, completion_tokens=100, seconds=30, cached_tokens=900
    )
    lane = lane_config(price_in=1.0, price_cached=0.1, price_out=2.0, usd_per_day=0.39)
    outlook = forecast(2000, cached_prompts, [lane], BudgetConfig(), MONDAY)
    assert outlook.usd == pytest.approx(2000 * (100 * 1.0 + 900 * 0.1 + 100 * 2.0) / 1e6)
    assert outlook.days == pytest.approx(2.0)


def test_cached_prompt_tokens_without_a_price_cost_as_the_others() -> None:
    cached_prompts = Expected(
        prompt_tokens=1000, completion_tokens=0, seconds=30, cached_tokens=900
    )
    outlook = forecast(10, cached_prompts, [lane_config(price_in=1.0)], BudgetConfig(), MONDAY)
    assert outlook.usd == pytest.approx(10 * 1000 / 1e6)


def test_keys_of_one_account_are_not_counted_twice() -> None:
    lanes = [lane_config(name, account="one", calls_per_day=1000) for name in "ab"]
    assert forecast(2000, ONE, lanes, BudgetConfig(), MONDAY).days == pytest.approx(2.0)


def test_dollars_in_total_leave_samples_undone_and_say_so() -> None:
    outlook = forecast(
        10_000, ONE, [lane_config(price_out=10.0, usd_total=9.0)], BudgetConfig(), MONDAY
    )
    assert outlook.left_over == pytest.approx(9000)
    assert outlook.binding == "usd_total"


def test_the_runs_own_budget_binds_all_lanes_together() -> None:
    lanes = [lane_config(name, calls_per_day=1000) for name in "ab"]
    outlook = forecast(1000, ONE, lanes, BudgetConfig(calls_per_day=500), MONDAY)
    assert outlook.days == pytest.approx(2.0)
    assert outlook.binding == "budget.calls_per_day"


def test_what_is_spent_of_the_day_is_not_there_again() -> None:
    """60 of 100 calls at noon: 40 until midnight, then 100 a day."""
    lane = lane_config(calls_per_day=100)
    noon = {"lane": BegunDay(Spent(calls=60), days_to_turn=0.5)}
    outlook = forecast(240, ONE, [lane], BudgetConfig(), MONDAY, noon)
    assert outlook.days == pytest.approx(0.5 + 2.0, abs=1e-4)
    assert outlook.binding == "lane lane: calls_per_day"
    outlook = forecast(80, ONE, [lane], BudgetConfig(), MONDAY, noon)
    assert outlook.days == pytest.approx(0.5 + 0.4, abs=1e-4)
    outlook = forecast(40, ONE, [lane], BudgetConfig(), MONDAY, noon)
    assert outlook.days < 0.1


def test_what_a_run_has_spent_of_its_own_day_holds_all_lanes_back() -> None:
    lanes = [lane_config(name, calls_per_day=1000) for name in "ab"]
    spent = Spent(calls=600)
    noon = {None: BegunDay(spent, days_to_turn=0.5), "a": BegunDay(spent, days_to_turn=0.5)}
    outlook = forecast(1000, ONE, lanes, BudgetConfig(calls_per_day=500), MONDAY, noon)
    assert outlook.days == pytest.approx(0.5 + 2.0, abs=1e-4)
    assert outlook.binding == "budget.calls_per_day"


def test_the_time_left_by_quota_counts_the_turns_of_the_day() -> None:
    quota = Quota(today=100, per_day=100, seconds_to_turn=3600)
    assert quota_seconds(50, 600.0, [quota]) == (600.0, False)
    assert quota_seconds(150, 600.0, [quota]) == (3600.0, True)
    assert quota_seconds(300, 600.0, [quota]) == (3600.0 + 86400, True)
    assert quota_seconds(350, 600.0, [quota]) == (3600.0 + 2 * 86400, True)


def test_the_command_tells_problems_calls_cost_time_and_the_binding_limit(tmp_path: Path) -> None:
    config = configure(
        tmp_path,
        "http://127.0.0.1:9/v1",
        problems__limit=500,
        lane__calls_per_day=100,
        lane__price_out=2.0,
    )
    process = generator("plan", config)
    assert process.returncode == 0, process.stderr
    assert "problems   500 after screening: 500 samples to ask" in process.stdout
    assert "a guess" in process.stdout
    assert "time       5.0 days, bound by lane local: calls_per_day" in process.stdout
    assert "cost       $4.00" in process.stdout


def test_after_a_run_the_plan_is_measured_and_asks_only_what_is_left(tmp_path: Path) -> None:
    with rehearsal() as teacher:
        config = configure(tmp_path, teacher.url, problems__limit=30)
        assert generator("run", config).returncode == 0
        config = configure(tmp_path, teacher.url, problems__limit=50)
        process = generator("plan", config)
        calls = teacher.stats()["calls"]
    assert "30 samples finished: 20 samples to ask" in process.stdout
    assert "measured on 30 finished samples" in process.stdout
    assert calls == 30


def test_after_a_run_the_plan_counts_what_the_day_still_has(tmp_path: Path) -> None:
    """30 of 32 calls are spent, so 20 samples wait for the day's turn."""
    with rehearsal() as teacher:
        config = configure(tmp_path, teacher.url, problems__limit=30)
        assert generator("run", config).returncode == 0
        config = configure(tmp_path, teacher.url, problems__limit=50, lane__calls_per_day=32)
        process = generator("plan", config)
    assert "20 samples to ask" in process.stdout
    assert "bound by lane local: calls_per_day" in process.stdout


def test_the_plan_takes_the_cached_share_of_prompts_from_the_corpus(tmp_path: Path) -> None:
    usage = Usage(prompt_tokens=1000, completion_tokens=50, cached_tokens=800)
    samples = [trace(f"What is {n} + 2?", usage=usage) for n in range(10)]
    corpus = write_corpus(tmp_path / "corpus", samples)
    assert generator("reindex", corpus).returncode == 0
    config = configure(
        tmp_path,
        "http://127.0.0.1:9/v1",
        problems__limit=1010,
        lane__price_in=100.0,
        lane__price_cached=10.0,
    )
    plan = generator("plan", config)
    assert plan.returncode == 0, plan.stderr
    assert "50 completion and 1,000 prompt tokens a sample, 800 of them cached" in plan.stdout
    assert "cost       $28.00" in plan.stdout


def test_a_probe_makes_one_call_a_lane_and_says_what_came_back(tmp_path: Path) -> None:
    with rehearsal("--calls-per-day", "50") as teacher:
        process = generator("plan", configure(tmp_path, teacher.url), "--probe")
        calls = teacher.stats()["calls"]
    assert process.returncode == 0, process.stderr
    assert (
        "probe      local: rehearsal-r1 answered (stop), reasoning apart from the answer"
        in process.stdout
    )
    assert "requests remaining 49" in process.stdout
    assert calls == 1


def test_a_probe_that_no_lane_answers_says_why_tells_the_plan_all_the_same_and_exits_with_4(
    tmp_path: Path,
) -> None:
    with rehearsal("--model", "another") as teacher:
        process = generator("plan", configure(tmp_path, teacher.url), "--probe")
    assert process.returncode == 4, process.stderr
    assert "probe      local: unknown model" in process.stdout
    assert "samples to ask" in process.stdout
