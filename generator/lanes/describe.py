"""What a lane says about itself: state, numbers, and the sentence that tells why it is idle and
until when.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from generator.lanes.budgets import Budget
from generator.lanes.clock import Clock
from generator.lanes.gate import Gate
from generator.lanes.waits import Wait
from generator.monitor.status import BudgetStatus, LaneStatus
from shared.durations import duration

AT_WORK = ("full", "pacing")  # waiting of this kind is what a busy lane does
DAY_SECONDS = 86_400


def lane_status(gate: Gate, waiting: int, now: float, paused: bool = False) -> LaneStatus:
    """`waiting`: samples that want in. `paused`: the whole run is."""
    wait = Wait("paused", "") if paused else gate.wait(now)
    is_idle = wait is not None and wait.state not in AT_WORK
    concurrency = gate.account.concurrency
    counts = gate.counts
    today = gate.clock.calendar(now)
    return LaneStatus(
        name=gate.name,
        model=gate.lane.model,
        state=wait.state if wait else "ready",
        reason=sentence(wait, now, gate.clock) if wait and is_idle else "",
        in_flight=gate.in_flight,
        waiting=waiting,
        limit=concurrency.limit,
        ceiling=gate.lane.concurrency,
        calls=counts.calls,
        errors=dict(counts.errors),
        tokens=counts.tokens,
        usd=counts.usd,
        budgets=budget_status(gate.name, gate.account.budget, today),
        first_token_seconds=round(concurrency.delays.recent, 3),
        per_minute=round(gate.account.pace.per_minute, 1),
        pace_source=gate.account.pace.source,
        warning=gate.reasoning.warning or gate.allowance.warning,
        seconds_p95=round(gate.expected.seconds_p95, 1) if gate.expected.calls else 0.0,
    )


def budget_status(lane: str, budget: Budget, today: float) -> list[BudgetStatus]:
    """Every limit that is set, for the eye: how much of it is used and when it turns. `lane`: ""
    is the run.
    """
    limits = budget.limits
    spent = budget.spent_by_all(today)
    turns = datetime.fromtimestamp(spent.day_ends, UTC).isoformat(timespec="seconds")
    rows: list[tuple[str, float, float, str]] = [
        ("calls_per_day", spent.calls, limits.calls_per_day, turns),
        ("tokens_per_day", spent.tokens, limits.tokens_per_day, turns),
        ("usd_per_day", spent.usd, limits.usd_per_day, turns),
        ("usd_total", spent.total_usd, limits.usd_total, ""),
    ]
    announced_calls = budget.announced_calls
    if announced_calls is not None:
        rows.append(("calls_announced", spent.calls, spent.calls + announced_calls, turns))
    return [
        BudgetStatus(lane, name, round(used, 6), round(limit, 6), resets)
        for name, used, limit, resets in rows
        if limit
    ]


def sentence(wait: Wait, now: float, clock: Clock) -> str:
    """modelscope has used 2,000 of 2,000 calls today, next at 00:00 Asia/Shanghai, in 5 h 12 min"""
    if wait.until is None or wait.until <= now:
        return wait.reason
    remaining_seconds = wait.until - now
    pause = duration(max(1.0, remaining_seconds))
    if not wait.zone:
        return f"{wait.reason}, again in {pause}"
    then = datetime.fromtimestamp(clock.calendar(wait.until), ZoneInfo(wait.zone))
    weekday = "" if remaining_seconds < DAY_SECONDS else f"{then:%a} "
    return f"{wait.reason}, next at {weekday}{then:%H:%M} {wait.zone}, in {pause}"
