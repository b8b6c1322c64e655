"""What the keys of one account share: calls in flight, pace, budget. Pure: the time is a
parameter.
"""

from collections.abc import Sequence
from math import inf

from generator.config import LaneConfig
from generator.lanes.budgets import Budget
from generator.lanes.concurrency import Concurrency
from generator.lanes.limits import strictest
from generator.lanes.pace import Pace
from generator.lanes.token_bucket import TokenBucket
from generator.lanes.waits import Wait

THAW_SECONDS = 0.5  # between two looks whether calls after a pause were taken up


class Account:
    """One account, under the strictest limits that its lanes name."""

    def __init__(self, lanes: Sequence[LaneConfig]) -> None:
        self.name = account_name(lanes[0])
        self.concurrency = Concurrency(_ceiling(lanes))
        self.pace = Pace()
        self.bucket = TokenBucket()
        self.day_over_until = -inf  # the server says that the day's calls are used up
        self.budget = Budget(strictest(lanes), lanes[0].day_timezone)
        self.reload(lanes)

    def reload(self, lanes: Sequence[LaneConfig]) -> None:
        """Take up changed limits; what is in flight and what was spent stay."""
        self.concurrency.set_ceiling(_ceiling(lanes))
        self.pace.configured = _least([lane.requests_per_minute for lane in lanes])
        tokens_per_minute = _least([lane.tokens_per_minute for lane in lanes])
        if tokens_per_minute != self.bucket.per_minute:
            self.bucket = TokenBucket(tokens_per_minute)
        self.budget.limits = strictest(lanes)

    def wait(self, now: float, lane_name: str, tokens: int) -> Wait | None:
        """Why the lane may start no call of about `tokens` now; None: it may."""
        concurrency = self.concurrency
        pace = self.pace
        if self.day_over_until > now:
            reason = f"{lane_name} has no calls left today, says its server"
            return Wait("used up", reason, self.day_over_until)
        if pace.cool_until > now:
            return Wait("cooling", f"{lane_name} cools after a 429", pace.cool_until)
        if concurrency.full:
            return Wait("full", f"{lane_name} has {concurrency.in_flight} calls in flight")
        if pace.thawing and concurrency.unsettled(now) >= pace.thawing:
            return Wait("full", f"{lane_name} begins again after a pause", now + THAW_SECONDS)
        ready_at = max(pace.ready_at(), concurrency.ready_at(), self.bucket.ready_at(now, tokens))
        if ready_at > now:
            return Wait("pacing", f"{lane_name} keeps to its limits a minute", ready_at)
        return None


def account_name(lane: LaneConfig) -> str:
    """The account of a lane; without one it is its own."""
    return lane.account or lane.name


def by_account(lanes: Sequence[LaneConfig]) -> dict[str, list[LaneConfig]]:
    """The lanes of each account, by its name."""
    lanes_of_account: dict[str, list[LaneConfig]] = {}
    for lane in lanes:
        lanes_of_account.setdefault(account_name(lane), []).append(lane)
    return lanes_of_account


def _ceiling(lanes: Sequence[LaneConfig]) -> int:
    return _least([lane.concurrency for lane in lanes])


def _least(limits: Sequence[int]) -> int:
    """The strictest of limits, of which 0 is none."""
    return min((limit for limit in limits if limit), default=0)
