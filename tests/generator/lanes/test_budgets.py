"""Calls, tokens and dollars a day and in total: never overspent, turned by the provider's clock."""

from datetime import datetime
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from generator.lanes.budgets import Budget
from generator.lanes.high_water_marks import BLOCK_SHARE
from generator.lanes.limits import Limits, strictest
from generator.spending import HighWater, Spent

SHANGHAI = "Asia/Shanghai"
NOON = datetime(2026, 11, 25, 12, tzinfo=ZoneInfo(SHANGHAI)).timestamp()
MIDNIGHT = datetime(2026, 11, 26, tzinfo=ZoneInfo(SHANGHAI)).timestamp()


def test_calls_are_counted_when_they_start_whatever_becomes_of_them() -> None:
    budget = Budget(Limits(calls_per_day=2), SHANGHAI)
    first = budget.reserve(NOON, 0, 0.0)
    budget.reserve(NOON, 0, 0.0)
    budget.settle(NOON, first, 0, 0.0)
    used = budget.used_up(NOON)
    assert used is not None
    assert used.what == "2 of 2 calls today"
    assert used.until == MIDNIGHT


def test_the_day_turns_in_the_providers_time_zone() -> None:
    budget = Budget(Limits(calls_per_day=1), SHANGHAI)
    budget.reserve(MIDNIGHT - 1, 0, 0.0)
    assert budget.used_up(MIDNIGHT - 1) is not None
    assert budget.used_up(MIDNIGHT) is None


def test_a_call_counts_on_the_day_it_started() -> None:
    budget = Budget(Limits(tokens_per_day=1000), SHANGHAI)
    late = budget.reserve(MIDNIGHT - 1, 500, 0.0)
    budget.settle(MIDNIGHT + 600, late, 5000, 0.0)
    assert budget.today(MIDNIGHT + 600) == Spent(0, 0, 0.0)


def test_tokens_are_reserved_by_estimate_and_put_right_when_the_call_ends() -> None:
    budget = Budget(Limits(tokens_per_day=1000))
    call = budget.reserve(NOON, 1000, 0.0)
    assert budget.used_up(NOON) is not None
    budget.settle(NOON, call, 400, 0.0)
    assert budget.used_up(NOON) is None
    assert budget.today(NOON).tokens == 400


def test_dollars_in_total_do_not_come_back_with_the_day() -> None:
    budget = Budget(Limits(usd_total=1.0))
    budget.settle(NOON, budget.reserve(NOON, 0, 0.5), 0, 1.25)
    used = budget.used_up(NOON + 10 * 86400)
    assert used is not None
    assert used.until is None
    assert used.what == "1.25 of 1.00 dollars in total"


def test_a_late_settlement_of_yesterdays_call_still_counts_in_total() -> None:
    budget = Budget(Limits(usd_total=1.0), SHANGHAI)
    call = budget.reserve(MIDNIGHT - 1, 0, 0.1)
    budget.settle(MIDNIGHT + 1, call, 0, 2.0)
    assert budget.total_usd == 2.0


def test_what_the_ledger_remembers_counts_after_a_restart() -> None:
    budget = Budget(Limits(calls_per_day=100, usd_total=5.0), SHANGHAI)
    budget.resume(NOON, Spent(99, 0, 0.0), 4.0)
    assert budget.used_up(NOON) is None
    budget.reserve(NOON, 0, 0.0)
    assert budget.used_up(NOON) is not None


def test_a_remaining_count_that_the_server_names_binds_until_the_day_turns() -> None:
    budget = Budget(Limits(), SHANGHAI)
    call = budget.reserve(NOON, 0, 0.0)
    budget.announce(NOON, 1, call)
    assert budget.used_up(NOON) is None
    budget.reserve(NOON, 0, 0.0)
    used = budget.used_up(NOON)
    assert used is not None
    assert used.until == MIDNIGHT
    assert budget.used_up(MIDNIGHT) is None


def test_calls_started_after_the_one_that_brought_the_news_are_taken_off_it() -> None:
    budget = Budget(Limits())
    first = budget.reserve(NOON, 0, 0.0)
    later = budget.reserve(NOON, 0, 0.0)
    budget.announce(NOON, 1, first)
    assert budget.used_up(NOON) is not None
    budget.announce(NOON, 3, later)
    assert budget.used_up(NOON) is None
    budget.announce(NOON, 0, first)  # an older call that ends later has older news
    assert budget.used_up(NOON) is None


def test_days_of_23_and_25_hours_turn_at_midnight() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    budget = Budget(Limits(calls_per_day=1), "Europe/Berlin")
    for day, hours in (
        (datetime(2026, 3, 29, tzinfo=berlin), 23),
        (datetime(2026, 10, 25, tzinfo=berlin), 25),
    ):
        budget.reserve(day.timestamp(), 0, 0.0)
        used = budget.used_up(day.timestamp())
        assert used is not None
        assert used.until == day.timestamp() + hours * 3600


def test_keys_of_one_account_are_held_to_the_strictest_of_what_they_say() -> None:
    assert strictest([Limits(100, 0, 2.0, 0.0), Limits(0, 50, 1.0, 0.0)]) == Limits(
        100, 50, 1.0, 0.0
    )


def test_a_clock_that_is_set_back_does_not_forget_what_was_spent() -> None:
    budget = Budget(Limits(calls_per_day=1))
    budget.reserve(NOON, 0, 0.0)
    assert budget.used_up(NOON - 30) is not None


@given(st.lists(st.tuples(st.integers(0, 2000), st.booleans()), max_size=60), st.integers(1, 20))
def test_calls_are_never_overspent_on_any_day(steps: list[tuple[int, bool]], limit: int) -> None:
    budget = Budget(Limits(calls_per_day=limit), SHANGHAI)
    now, started = NOON, dict[float, int]()
    for minutes, settles in steps:
        now += minutes * 60
        if budget.used_up(now):
            continue
        call = budget.reserve(now, 10, 0.1)
        started[budget.day_began(now)] = started.get(budget.day_began(now), 0) + 1
        if settles:
            budget.settle(now, call, 20, 0.3)
    assert all(calls <= limit for calls in started.values())


def restarted(limits: Limits, now: float, mark: HighWater | None, zone: str = SHANGHAI) -> Budget:
    """After a crash that took the ledger: only the mark is left."""
    budget = Budget(limits, zone)
    budget.resume(now, Spent(), 0.0, mark=mark)
    return budget


def start(budget: Budget, now: float, tokens: int = 0, usd: float = 0.0) -> None:
    """Start a call as the dispatcher does: never beyond the mark on the disk."""
    if not budget.is_marked(now, tokens, usd):
        budget.marked(budget.next_mark(now, 1, tokens, usd))
    assert budget.is_marked(now, tokens, usd)
    budget.reserve(now, tokens, usd)


@given(
    st.lists(st.tuples(st.integers(0, 400), st.booleans(), st.integers(0, 50)), max_size=80),
    st.sampled_from(
        [
            Limits(calls_per_day=12),
            Limits(calls_per_day=2000),
            Limits(tokens_per_day=400, usd_total=9.0),
        ]
    ),
)
def test_after_a_crash_without_a_ledger_nothing_is_given_out_again(
    steps: list[tuple[int, bool, int]], limits: Limits
) -> None:
    budget, now, calls = Budget(limits, SHANGHAI), NOON, dict[float, int]()
    tokens, dollars = dict[float, int](), 0.0
    for minutes, crashes, size in steps:
        now += minutes * 60
        if crashes:
            budget = restarted(limits, now, budget.mark)
        if budget.used_up(now):
            continue
        start(budget, now, size, size / 100)
        day = budget.day_began(now)
        calls[day] = calls.get(day, 0) + 1
        tokens[day] = tokens.get(day, 0) + size
        dollars += size / 100
    assert not limits.calls_per_day or all(
        count <= limits.calls_per_day for count in calls.values()
    )
    assert not limits.tokens_per_day or all(
        count < limits.tokens_per_day + 50 for count in tokens.values()
    )
    assert not limits.usd_total or dollars < limits.usd_total + 0.5


def test_a_crash_costs_no_more_than_a_block_of_each_allowance() -> None:
    limits = Limits(calls_per_day=2000, tokens_per_day=1_000_000, usd_per_day=5.0, usd_total=100.0)
    budget = Budget(limits, SHANGHAI)
    for _ in range(101):
        start(budget, NOON, 400, 0.001)
    after = restarted(limits, NOON, budget.mark)
    today = after.today(NOON)
    assert 101 <= today.calls <= 101 + BLOCK_SHARE * 2000
    assert 40_400 <= today.tokens <= 40_400 + BLOCK_SHARE * 1_000_000
    assert 0.101 <= today.usd <= 0.101 + BLOCK_SHARE * 5.0 + 1e-9
    assert 0.101 <= after.total_usd <= 0.101 + BLOCK_SHARE * 100.0 + 1e-9


def test_a_mark_that_early_guesses_drove_up_is_brought_down_again() -> None:
    limits = Limits(tokens_per_day=1_000_000)
    budget = Budget(limits, SHANGHAI)
    budget.marked(budget.next_mark(NOON, 1, 4000, 0.0))
    calls = []
    for _ in range(100):
        budget.marked(budget.next_mark(NOON, 1, 4000, 0.0))
        calls.append(budget.reserve(NOON, 4000, 0.0))
    for call in calls:
        budget.settle(NOON, call, 300, 0.0)
    start(budget, NOON, 300)
    assert budget.mark is not None
    assert budget.mark.tokens <= 30_300 + BLOCK_SHARE * 1_000_000


def test_a_mark_of_yesterday_counts_in_total_only() -> None:
    budget = Budget(Limits(calls_per_day=10, usd_total=5.0), SHANGHAI)
    start(budget, MIDNIGHT - 60, 0, 1.0)
    after = restarted(budget.limits, MIDNIGHT + 60, budget.mark)
    assert after.today(MIDNIGHT + 60) == Spent()
    assert after.total_usd >= 1.0


def test_a_day_that_the_mark_knows_and_the_clock_does_not_yet_is_not_given_twice() -> None:
    budget = Budget(Limits(calls_per_day=1), SHANGHAI)
    start(budget, NOON)
    after = restarted(budget.limits, NOON - 86_400, budget.mark)
    used = after.used_up(NOON - 86_400)
    assert used is not None
    assert used.until == MIDNIGHT


def test_a_mark_made_in_another_time_zone_still_counts() -> None:
    budget = Budget(Limits(calls_per_day=1), SHANGHAI)
    start(budget, NOON)
    assert restarted(budget.limits, NOON, budget.mark, "UTC").used_up(NOON) is not None
