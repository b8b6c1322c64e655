"""One lane's gate: whether a call may start now, and if not, why and until when. Pure: the time is
a parameter, a moment of the run's `Clock`.

A gate has a lane's own circuit, windows and expectations; what an account's keys share (calls in
flight, pace, budget) is in `Account`. Every question is answered from here, so 24 hours of a lane
can be simulated in a second.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from generator.config import BudgetConfig, LaneConfig
from generator.lanes.account import Account, account_name, by_account
from generator.lanes.allowance import Allowance
from generator.lanes.budgets import Budget, Reservation
from generator.lanes.circuit import BALANCE_SECONDS, KEY_SECONDS, Circuit
from generator.lanes.clock import Clock
from generator.lanes.expectation import Expectation
from generator.lanes.flights import Flight
from generator.lanes.limits import Limits, strictest
from generator.lanes.pace import PAUSE_OF_A_LIMIT
from generator.lanes.prices import price, usual_price
from generator.lanes.reasoning_check import ReasoningCheck
from generator.lanes.refusal_streak import Trial
from generator.lanes.remedies import with_remedy
from generator.lanes.token_bucket import TokenBucket
from generator.lanes.waits import Wait
from shared.chat_api.errors import (
    BadRequest,
    BalanceGone,
    CallError,
    ErrorEvent,
    KeyRefused,
    OutOfFiles,
    RateLimited,
    ServerFault,
    Stalled,
    UnknownModel,
    Unreachable,
)
from shared.chat_api.limits import LimitNews
from shared.records import Usage

# a lane whose server says that the day's calls are used up is tried again so often
DAY_LIMIT_SECONDS = 3600.0
# what says something about the server and not about the sample
OUTAGES = (ServerFault, Unreachable, Stalled, ErrorEvent)


@dataclass(slots=True)
class Permit:
    """One call's leave to start, and what it holds until it ends."""

    flight: Flight
    account: Reservation
    run: Reservation
    tokens: int  # reserved
    usd: float  # reserved
    started_at: float
    probe: bool


@dataclass(slots=True)
class Counts:
    """Of this process' life."""

    calls: int = 0
    answers: int = 0
    tokens: int = 0  # completion tokens as they stream
    usd: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)


class Gate:
    """The gate of one lane."""

    def __init__(
        self, lane: LaneConfig, account: Account, run_budget: Budget, clock: Clock
    ) -> None:
        self.name = lane.name
        self.lane = lane
        self.account = account
        self.run_budget = run_budget
        self.clock = clock
        self.allowance = Allowance(lane, account.budget, run_budget, clock)
        self.circuit = Circuit()
        self.trial = Trial()
        self.reasoning = ReasoningCheck()
        self.expected = Expectation()
        self.counts = Counts()
        self.busy_since: float | None = None  # the first 429 after which no call was taken up
        self.in_flight = 0
        self.paused = False

    def reload(self, lane: LaneConfig) -> None:
        """Take up changed windows and prices."""
        self.lane = lane
        self.allowance.reload(lane)

    def wait(self, now: float) -> Wait | None:
        """None: a call may start now."""
        tokens = self.expected.tokens
        return (
            self._out_of_service(now)
            or self.allowance.wait(now, self.expected.seconds_p95)
            or self.account.wait(now, self.name, tokens)
            or self.allowance.wait_for_shares(now, tokens, self.expected_usd(tokens))
        )

    def _out_of_service(self, now: float) -> Wait | None:
        circuit = self.circuit
        if self.paused:
            return Wait("paused", f"{self.name} is paused")
        if self.trial.suspect:
            reason = f"{self.name} has refused its first requests, and others are still out"
            return Wait("probing", reason)
        if circuit.closed or circuit.may_probe(now):
            return None
        if circuit.probing:
            return Wait("probing", f"{self.name} is probed after: {circuit.why}")
        if circuit.retry_at == inf:
            return Wait("stopped", f"{self.name} is stopped: {circuit.why}")
        if circuit.stopped:
            return Wait("balance gone", f"{self.name} is stopped: {circuit.why}", circuit.retry_at)
        return Wait("circuit open", f"{self.name} does not work: {circuit.why}", circuit.retry_at)

    def is_marked(self, now: float) -> bool:
        """Whether what the next call may take is below the budgets' marks on the disk."""
        tokens = self.expected.tokens
        return self.allowance.is_marked(now, tokens, self.expected_usd(tokens))

    def enter(self, now: float) -> Permit:
        """Start a call, `wait` and `is_marked` having said that it may."""
        account = self.account
        tokens = self.expected.tokens
        usd = self.expected_usd(tokens)
        is_probe = not self.circuit.closed
        if is_probe:
            self.circuit.probing = True
        account.pace.start(now)
        account.bucket.take(now, tokens)
        self.in_flight += 1
        self.counts.calls += 1
        flight = account.concurrency.start(now)
        of_account, of_run = self.allowance.reserve(now, tokens, usd)
        return Permit(flight, of_account, of_run, tokens, usd, now, is_probe)

    def first_token(self, now: float, permit: Permit) -> None:
        """The teacher began to answer."""
        self.account.concurrency.first_token(now, permit.flight)
        self.account.pace.taken_up(now, permit.started_at)
        self.circuit.answered(permit.started_at)
        self.trial.answered()
        self.busy_since = None
        if permit.probe and not self.circuit.closed:
            self.circuit.succeed()
            self.account.concurrency.begin()

    def succeed(self, now: float, permit: Permit, usage: Usage) -> float:
        """The call brought a whole answer (also one cut by `length`). Returns its cost in
        dollars.
        """
        if not permit.flight.answered:
            self.first_token(now, permit)
        self.counts.answers += 1
        self.circuit.answered(permit.started_at)
        self.expected.add(usage, now - permit.started_at)
        return self._leave(now, permit, usage)

    def fail(self, now: float, permit: Permit, error: CallError, jitter: float = 1.0) -> float:
        """The call failed. Returns the cost of what it brought."""
        self.counts.errors[error.kind] += 1
        usage = error.partial.usage if error.partial else Usage()
        cost = self._leave(now, permit, usage)
        if isinstance(error, KeyRefused) and self.trial.proven:
            self.circuit.suspend(now, with_remedy(error, self.lane), KEY_SECONDS, permit.probe)
        elif isinstance(error, KeyRefused | UnknownModel):
            self.circuit.stop(now, with_remedy(error, self.lane))
        elif isinstance(error, BalanceGone):
            self.circuit.stop(now, error.message, BALANCE_SECONDS)
        elif isinstance(error, RateLimited):
            self._rate_limited(now, permit, error)
        elif isinstance(error, OUTAGES):
            self.account.concurrency.fault()
            self.circuit.fail(now, with_remedy(error, self.lane), permit.probe, jitter)
        elif permit.probe:
            self.circuit.give_up_probe()
        return cost

    def refuse(self, now: float, error: BadRequest, sample_id: str) -> None:
        """Note that a sample was refused, after `fail`: while the lane has answered nothing it
        may be its own fault.
        """
        self.trial.refuse(error.message, sample_id)
        if self.trial.lost:  # resumed by hand, and nothing was corrected
            self.lose(now, error)

    def lose(self, now: float, error: BadRequest) -> None:
        """It was: the lane stops."""
        self.trial.lose()
        self.circuit.stop(
            now, f"it refuses every request in the same words: {with_remedy(error, self.lane)}"
        )

    def cancel(self, permit: Permit) -> None:
        """The call was given up by us: what was reserved is taken as spent."""
        if permit.probe:
            self.circuit.give_up_probe()
        self.in_flight -= 1
        self.account.concurrency.end(permit.flight)

    def news(self, now: float, permit: Permit, news: LimitNews) -> None:
        """Take up what the server said about its limits."""
        account = self.account
        pace = account.pace
        remainders = (news.requests_remaining, news.model_requests_remaining)
        remaining_calls = min((calls for calls in remainders if calls is not None), default=None)
        if remaining_calls is not None and news.per == "day":
            self.allowance.announce(now, remaining_calls, permit.account)
        elif news.requests_limit and news.per == "day":
            # A 429 that names the day's limit: it is used up.
            day_ends = self.allowance.day_ends(now)
            account.day_over_until = min(now + DAY_LIMIT_SECONDS, day_ends)
            pace.cool(account.day_over_until)
        elif remaining_calls == 0 and news.resets_in_seconds is not None:
            pace.cool(now + news.resets_in_seconds)
        if news.requests_limit and news.per == "minute":
            pace.announce(news.requests_limit)
        if news.tokens_limit and news.per == "minute" and not account.bucket.per_minute:
            account.bucket = TokenBucket(news.tokens_limit)
        if news.max_in_flight:
            account.concurrency.announce(news.max_in_flight)

    def expected_usd(self, tokens: int) -> float:
        """Dollars for the next call, in which `tokens` are expected."""
        means = self.expected
        if not means.calls:
            return usual_price(self.lane, tokens)
        return price(self.lane, means.prompt_tokens, means.completion_tokens, means.cached_tokens)

    def usd(self, usage: Usage) -> float:
        """Dollars for a call that took so much."""
        return price(self.lane, usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)

    def _leave(self, now: float, permit: Permit, usage: Usage) -> float:
        account = self.account
        self.in_flight -= 1
        account.concurrency.end(permit.flight)
        tokens = usage.prompt_tokens + usage.completion_tokens
        cost = self.usd(usage)
        account.bucket.correct(now, permit.tokens, tokens)
        self.allowance.settle(now, permit.account, permit.run, tokens, cost)
        self.counts.usd += cost
        return cost

    def _rate_limited(self, now: float, permit: Permit, error: RateLimited) -> None:
        concurrency = self.account.concurrency
        pace = self.account.pace
        too_fast = pace.is_suspect(now, permit.started_at)
        verdict = concurrency.refuse(now, permit.flight, too_fast)
        if self.busy_since is None:
            self.busy_since = now
        pause = error.retry_after_seconds
        if verdict in ("in flight", "pace") or (pause or 0.0) >= PAUSE_OF_A_LIMIT:
            pace.refused(now, permit.started_at, pause, too_fast=verdict == "pace")
        elif verdict == "chance":
            pace.chance(now, permit.started_at, pause)
        if permit.probe and isinstance(error, OutOfFiles):
            self.circuit.give_up_probe()  # it was not asked
        elif permit.probe:
            self.circuit.succeed()  # it works; it is only busy


def run_budget(config: BudgetConfig) -> Budget:
    """The budget of the whole run, over all lanes."""
    return Budget(run_limits(config), config.day_timezone)


def run_limits(config: BudgetConfig) -> Limits:
    """The limits of the whole run."""
    return strictest([config])


def gates(lanes: Sequence[LaneConfig], run: Budget, clock: Clock | None = None) -> dict[str, Gate]:
    """A gate for each lane by name; lanes of one account share it."""
    accounts = {name: Account(keys) for name, keys in by_account(lanes).items()}
    clock = clock or Clock()
    return {lane.name: Gate(lane, accounts[account_name(lane)], run, clock) for lane in lanes}
