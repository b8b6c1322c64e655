"""What a lane's budgets and windows still allow of samples. Pure: the time is a parameter."""

from generator.lanes.budgets import Budget
from generator.lanes.forecast import Expected, Quota, lane_pace
from generator.lanes.gate import Gate


def quota_left(gate: Gate, run_budget: Budget, today: float) -> Quota:
    """Of the gate's account and the whole run's budget. `today`: what the wall clock shows."""
    means = gate.expected
    answers = gate.counts.answers
    calls_each = gate.counts.calls / answers if answers else 1.0
    expectation = Expected(
        prompt_tokens=means.prompt_tokens,
        completion_tokens=means.completion_tokens,
        seconds=means.seconds_p95,
        calls=calls_each,
        cached_tokens=means.cached_tokens,
    )
    usd = gate.expected_usd(means.tokens)
    budget = gate.account.budget
    calls_left = min(each.calls_left(today, means.tokens, usd) for each in (budget, run_budget))
    return Quota(
        today=calls_left / calls_each,
        per_day=lane_pace(gate.lane, expectation, today).samples_per_day,
        seconds_to_turn=budget.day_ends(today) - today,
    )
