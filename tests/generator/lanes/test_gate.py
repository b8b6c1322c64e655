"""One lane's leave to call, and whole days of it on a fake clock."""

from collections import Counter
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from generator.config import BudgetConfig
from generator.lanes.describe import sentence
from generator.lanes.gate import Gate, gates, run_budget
from shared.chat_api.errors import BadRequest, BalanceGone, KeyRefused, RateLimited, ServerFault
from shared.chat_api.limits import LimitNews
from shared.errors import InputError
from shared.records import Usage
from tests.generator.lanes.lane_simulation import (
    USAGE,
    Allows,
    Down,
    lane_config,
    one_gate,
    simulate,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")
HOUR = 3600.0


def shanghai(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).timestamp()


def test_24_hours_with_windows_two_day_turns_and_an_outage_go_as_the_configuration_says() -> None:
    """From Thursday 18:00 in Shanghai: the paid lane works 00:30 to 08:30, the free one has 2,000
    calls a Shanghai day (turns at 00:00) and the third 300 a UTC day (turns at 08:00 there); every
    server is down from 02:00 to 05:00.
    """
    begin = shanghai("2026-11-26T18:00")
    lanes = [
        lane_config(
            "paid",
            windows=("mon-fri 00:30-08:30 Asia/Shanghai",),
            concurrency=20,
            requests_per_minute=30,
        ),
        lane_config("free", calls_per_day=2000, day_timezone="Asia/Shanghai", concurrency=40),
        lane_config("utc", calls_per_day=300, concurrency=5),
    ]
    made = gates(lanes, run_budget(BudgetConfig()))
    outage = begin + 8 * HOUR, begin + 11 * HOUR
    pairs = [(gate, Down(Allows(seconds=60), *outage)) for gate in made.values()]
    log = simulate(pairs, 24 * HOUR, begin)
    by_hour = {name: Counter[int]() for name in made}
    for at, name in log.started:
        by_hour[name][int((at - begin) // HOUR)] += 1

    free, utc, paid = by_hour["free"], by_hour["utc"], by_hour["paid"]
    assert sum(free[hour] for hour in range(6)) == 2000  # until 00:00, then a new day's
    assert sum(free[hour] for hour in range(6, 24)) == 2000
    assert free[0] > 1500  # used as fast as it may, not spread
    assert sum(utc[hour] for hour in range(14)) == 300  # its day turns at 08:00 in Shanghai
    assert sum(utc[hour] for hour in range(14, 24)) == 300
    assert all(paid[hour] == 0 for hour in [*range(6), *range(15, 24)])
    assert 550 < paid[6] <= 620  # half an hour of 20 calls a minute
    assert 1150 < paid[13] <= 1250
    down = sum(outage[0] + 60 <= at < outage[1] for at, _ in log.started)
    assert down <= 3 * (60 * 3)  # one probe a lane and minute
    assert (
        min(at for at, name in log.started if name == "paid" and at >= outage[1]) < outage[1] + 61
    )
    closes = shanghai("2026-11-27T08:30")
    last = max(at for at, name in log.started if name == "paid")
    assert closes - 90 < last < closes - 30  # calls take up to 90 s


def test_a_weekend_without_a_window_is_slept_through() -> None:
    begin = shanghai("2026-11-27T08:00")  # a Friday
    gate = one_gate(windows=("mon-fri 00:30-08:30 Asia/Shanghai",), concurrency=4)
    log = simulate([(gate, Allows(seconds=30))], 72 * HOUR, begin)
    days = {(datetime.fromtimestamp(at, SHANGHAI)).strftime("%a") for at, _ in log.started}
    assert days == {"Fri", "Mon"}
    assert min(at for at, _ in log.started if at > begin + HOUR) == shanghai("2026-11-30T00:30")


def test_no_call_starts_that_would_run_far_past_the_windows_end() -> None:
    gate = one_gate(windows=("00:00-02:00",))
    for _ in range(20):
        entered = gate.enter(0.0)
        gate.succeed(600.0, entered, USAGE)  # they take ten minutes
    assert gate.wait(2 * HOUR - 460) is None
    refused = gate.wait(2 * HOUR - 440)
    assert refused is not None
    assert refused.state == "closed window"


def test_a_window_shorter_than_the_calls_is_still_used_at_its_beginning() -> None:
    gate = one_gate(windows=("00:00-00:30",))
    for _ in range(20):
        gate.succeed(3000.0, gate.enter(0.0), USAGE)
    assert gate.wait(86400.0 + 60) is None
    assert gate.wait(86400.0 + 600) is not None


def test_keys_of_one_account_share_its_limits_and_another_account_has_its_own() -> None:
    lanes = [
        lane_config("a", account="one", calls_per_day=3),
        lane_config("b", account="one", calls_per_day=3),
        lane_config("c", calls_per_day=3),
    ]
    made = gates(lanes, run_budget(BudgetConfig()))
    made["a"].enter(0.0)
    made["b"].enter(0.0)
    made["a"].enter(0.0)
    assert [made[name].wait(0.1) is None for name in "abc"] == [False, False, True]


def test_a_429_cools_the_keys_of_the_account_and_a_refused_key_stops_only_itself() -> None:
    lanes = [lane_config(name, account="one") for name in "ab"]
    made = gates(lanes, run_budget(BudgetConfig()))
    made["a"].fail(
        0.1, made["a"].enter(0.0), RateLimited("429", status=429, retry_after_seconds=20.0)
    )
    assert [state(made[name], 10.0) for name in "ab"] == ["cooling", "cooling"]
    made["a"].fail(30.0, made["a"].enter(30.0), KeyRefused("401", status=401))
    assert [state(made[name], 31.0) for name in "ab"] == ["stopped", "ready"]


def state(gate: Gate, now: float) -> str:
    wait = gate.wait(now)
    return wait.state if wait else "ready"


def test_a_balance_that_is_gone_is_probed_every_hour_until_it_is_back() -> None:
    gate = one_gate()
    gate.fail(0.0, gate.enter(0.0), BalanceGone("402: top up", status=402))
    assert state(gate, 3599.0) == "balance gone"
    probe = gate.enter(3600.0)
    assert state(gate, 3600.1) == "probing"
    gate.fail(3601.0, probe, BalanceGone("402: top up", status=402))
    assert state(gate, 3602.0) == "balance gone"
    gate.first_token(7202.0, gate.enter(7201.0))
    assert state(gate, 7202.0) == "ready"


def test_a_sample_refused_for_its_own_sake_says_nothing_about_the_lane() -> None:
    gate = one_gate()
    for _ in range(50):
        gate.fail(0.0, gate.enter(0.0), BadRequest("too long", status=400))
    assert gate.circuit.closed


def test_a_probe_that_says_nothing_about_the_lane_leaves_the_place_to_another() -> None:
    gate = one_gate()
    for _ in range(5):
        gate.fail(0.0, gate.enter(0.0), ServerFault("503", status=503))
    probe = gate.enter(10.0)
    gate.fail(10.1, probe, BadRequest("too long", status=400))
    assert state(gate, 10.2) != "probing"


def test_remaining_counts_in_headers_stop_the_lane_before_it_is_refused() -> None:
    gate = one_gate(day_timezone="Asia/Shanghai")
    entered = gate.enter(shanghai("2026-11-26T18:48"))
    gate.news(
        1.0, entered, LimitNews(requests_remaining=500, model_requests_remaining=0, per="day")
    )
    wait = gate.wait(shanghai("2026-11-26T18:48"))
    assert wait is not None
    assert wait.until == shanghai("2026-11-27T00:00")


def test_limits_that_a_429_names_are_taken_up() -> None:
    gate = one_gate(concurrency=0)
    entered = gate.enter(0.0)
    gate.news(0.0, entered, LimitNews(max_in_flight=5))
    assert gate.account.concurrency.limit == 5
    gate.news(0.0, entered, LimitNews(requests_limit=100, per="minute"))
    assert gate.account.pace.per_minute == pytest.approx(95)


def test_a_run_wide_budget_binds_every_lane() -> None:
    made = gates([lane_config("a"), lane_config("b")], run_budget(BudgetConfig(calls_per_day=2)))
    made["a"].enter(0.0)
    made["b"].enter(0.0)
    for gate in made.values():
        wait = gate.wait(1.0)
        assert wait is not None
        assert wait.reason == "the run has used 2 of 2 calls today"


def test_cost_is_by_the_lanes_prices_and_cached_tokens_by_theirs() -> None:
    gate = one_gate(price_in=0.5, price_cached=0.1, price_out=2.0)
    usage = Usage(prompt_tokens=1_000_000, completion_tokens=500_000, cached_tokens=400_000)
    assert gate.usd(usage) == pytest.approx(0.3 + 0.04 + 1.0)


def test_an_idle_lane_says_why_and_until_when() -> None:
    gate = one_gate(calls_per_day=2000, day_timezone="Asia/Shanghai")
    now = shanghai("2026-11-26T18:48")
    for _ in range(2000):
        entered = gate.enter(now)
    gate.succeed(now, entered, USAGE)
    wait = gate.wait(now)
    assert wait is not None
    assert (
        sentence(wait, now, gate.clock)
        == "lane has used 2,000 of 2,000 calls today, next at 00:00 Asia/Shanghai, in 5 h 12 min"
    )


def test_a_wait_of_days_names_the_weekday() -> None:
    gate = one_gate(windows=("mon 00:30-08:30 Asia/Shanghai",), day_timezone="Asia/Shanghai")
    now = shanghai("2026-11-27T12:00")
    wait = gate.wait(now)
    assert wait is not None
    assert (
        sentence(wait, now, gate.clock)
        == "lane is outside its windows, next at Mon 00:30 Asia/Shanghai, in 2.5 days"
    )


def test_a_window_that_cannot_be_read_names_the_lane() -> None:
    with pytest.raises(InputError, match="lane lane: window 'mon-fry'"):
        one_gate(windows=("mon-fry",))


def test_tomorrow_is_a_whole_day_away_at_most() -> None:
    gate = one_gate(calls_per_day=1, day_timezone="Asia/Shanghai")
    now = shanghai("2026-11-26T00:00")
    gate.enter(now)
    wait = gate.wait(now)
    assert wait is not None
    assert wait.until == now + timedelta(days=1).total_seconds()
