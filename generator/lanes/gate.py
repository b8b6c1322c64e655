"""One lane's gate: whether a call may start now, and if not, why and until when. Pure: the time is
a parameter, a moment of the run's `Clock`.

A gate has a lane's own circuit, windows and expectations; what an account's keys share (calls in
flight, pace, budget) is in `Account`. Every question is answered from here, so 24 hours of a lane
can be simulated in a second.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

from generator.config import BudgetConfig, LaneConfig
from generator.lanes.budgets import Budget, Limits, Reservation, UsedUp, strictest
from generator.lanes.circuit import BALANCE_SECONDS, KEY_SECONDS, Circuit
from generator.lanes.clock import Clock
from generator.lanes.concurrency import Concurrency, Flight
from generator.lanes.pace import PAUSE_OF_A_LIMIT, Pace, TokenBucket
from generator.lanes.prices import price, usual_price
from generator.lanes.refusal_streak import Trial
from generator.lanes.remedies import with_remedy
from generator.lanes.windows import windows_of
from generator.monitor.status import LaneState
from shared.chat_api.errors import (
    BadRequest,
    BalanceGone,
    CallError,
    ErrorEvent,
    KeyRefused,
    RateLimited,
    ServerFault,
    Stalled,
    UnknownModel,
    Unreachable,
)
from shared.chat_api.limits import LimitNews
from shared.records import Usage

FAR_SHARE = 0.25  # of the 95th percentile of durations: so far past a window's end a call may reach
GUESSED_TOKENS = (
    4000  # of a call before any has ended; R1 takes less for school problems, more for contests
)
GUESSED_SECONDS = 120.0
DAY_LIMIT_SECONDS = (
    3600.0  # a lane whose server says that the day's calls are used up is tried again so often
)


@dataclass(frozen=True, slots=True)
class Wait:
    """Why no call may start now. `until` is the moment to look again (by the run's clock); None:
    when something happens.
    """

    state: LaneState
    reason: str
    until: float | None = None
    zone: str = ""  # whose clock `until` is best told by


@dataclass(slots=True)
class Pass:
    """One call's leave to start, and what it holds until it ends."""

    flight: Flight
    account: Reservation
    run: Reservation
    tokens: int  # reserved
    usd: float  # reserved
    started_at: float
    probe: bool


class Account:
    """What the keys of one account share: the strictest limits that its lanes name."""

    def __init__(self, lanes: Sequence[LaneConfig]) -> None:
        self.name = lanes[0].account or lanes[0].name
        self.concurrency = Concurrency(_ceiling(lanes))
        self.pace = Pace()
        self.bucket = TokenBucket()
        self.day_over_until = -inf  # the server says that the day's calls are used up
        self.budget = Budget(strictest(list(lanes)), lanes[0].day_timezone)
        self.reload(lanes)

    def reload(self, lanes: Sequence[LaneConfig]) -> None:
        """Take up changed limits; what is in flight and what was spent stay."""
        self.concurrency.set_ceiling(_ceiling(lanes))
        self.pace.configured = min(
            (lane.requests_per_minute for lane in lanes if lane.requests_per_minute), default=0
        )
        per_minute = min(
            (lane.tokens_per_minute for lane in lanes if lane.tokens_per_minute), default=0
        )
        if per_minute != self.bucket.per_minute:
            self.bucket = TokenBucket(per_minute)
        self.budget.limits = strictest(list(lanes))


class Expectation:
    """What a lane's calls are like: tokens (for reservations) and durations (for windows)."""

    def __init__(self) -> None:
        self.prompt_tokens = 0.0
        self.completion_tokens = 0.0
        self.cached_tokens = 0.0  # of the prompt's
        self.calls = 0
        self._durations: deque[float] = deque(maxlen=200)
        self._p95: float | None = None

    def add(self, usage: Usage, seconds: float) -> None:
        self.calls += 1
        share = max(1 / self.calls, 0.02)  # a mean at first, then one that follows
        self.prompt_tokens += share * (usage.prompt_tokens - self.prompt_tokens)
        self.completion_tokens += share * (usage.completion_tokens - self.completion_tokens)
        self.cached_tokens += share * (usage.cached_tokens - self.cached_tokens)
        self._durations.append(seconds)
        self._p95 = None

    @property
    def tokens(self) -> int:
        """Of one call, prompt and completion."""
        return int(self.prompt_tokens + self.completion_tokens) if self.calls else GUESSED_TOKENS

    @property
    def seconds_p95(self) -> float:
        if not self._durations:
            return GUESSED_SECONDS
        if self._p95 is None:
            self._p95 = sorted(self._durations)[int(0.95 * (len(self._durations) - 1))]
        return self._p95


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
        self.clock = clock
        self.account = account
        self.run_budget = run_budget
        self.circuit = Circuit()
        self.trial = Trial()
        self.busy_since: float | None = None  # the first 429 after which no call was taken up
        self.expected = Expectation()
        self.counts = Counts()
        self.in_flight = 0
        self.paused = False
        self.reload(lane)

    def reload(self, lane: LaneConfig) -> None:
        """Take up changed windows and prices."""
        self.lane = lane
        self.windows = windows_of(lane)

    def wait(self, now: float) -> Wait | None:
        """None: a call may start now."""
        return self._out_of_service(now) or self._not_now(now) or self._too_busy(now)

    def is_marked(self, now: float) -> bool:
        """Whether what the next call may take is below the budgets' marks on the disk."""
        tokens = self.expected.tokens
        usd = self.expected_usd(tokens)
        today = self.clock.calendar(now)
        budgets = (self.account.budget, self.run_budget)
        return all(budget.is_marked(today, tokens, usd) for budget in budgets)

    def enter(self, now: float) -> Pass:
        """Start a call, `wait` and `is_marked` having said that it may."""
        tokens = self.expected.tokens
        usd = self.expected_usd(tokens)
        probe = not self.circuit.closed
        self.circuit.probing = probe or self.circuit.probing
        account = self.account
        account.pace.start(now)
        account.bucket.take(now, tokens)
        self.in_flight += 1
        self.counts.calls += 1
        flight = account.concurrency.start(now)
        today = self.clock.calendar(now)
        of_account = account.budget.reserve(today, tokens, usd)
        of_run = self.run_budget.reserve(today, tokens, usd)
        return Pass(flight, of_account, of_run, tokens, usd, now, probe)

    def first_token(self, now: float, entered: Pass) -> None:
        """The teacher began to answer."""
        self.account.concurrency.first_token(now, entered.flight)
        self.account.pace.taken_up(now, entered.started_at)
        self.circuit.answered(entered.started_at)
        self.trial.answered()
        self.busy_since = None
        if entered.probe and not self.circuit.closed:
            self.circuit.succeed()
            self.account.concurrency.begin()

    def succeed(self, now: float, entered: Pass, usage: Usage) -> float:
        """The call brought a whole answer (also one cut by `length`). Returns its cost in
        dollars.
        """
        if not entered.flight.answered:
            self.first_token(now, entered)
        self.counts.answers += 1
        self.circuit.answered(entered.started_at)
        self.expected.add(usage, now - entered.started_at)
        return self._leave(now, entered, usage)

    def fail(self, now: float, entered: Pass, error: CallError, jitter: float = 1.0) -> float:
        """The call failed. Returns the cost of what it brought."""
        self.counts.errors[error.kind] += 1
        usage = error.partial.usage if error.partial else Usage()
        cost = self._leave(now, entered, usage)
        if isinstance(error, KeyRefused) and self.trial.proven:
            self.circuit.suspend(now, with_remedy(error, self.lane), KEY_SECONDS, entered.probe)
        elif isinstance(error, KeyRefused | UnknownModel):
            self.circuit.stop(now, with_remedy(error, self.lane))
        elif isinstance(error, BalanceGone):
            self.circuit.stop(now, error.message, BALANCE_SECONDS)
        elif isinstance(error, RateLimited):
            self._refused(now, entered, error)
        elif self._is_outage(entered, error):
            self.account.concurrency.fault()
            self.circuit.fail(now, error.message, entered.probe, jitter)
        elif entered.probe:
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

    def cancel(self, now: float, entered: Pass) -> None:
        """The call was given up by us: what was reserved is taken as spent."""
        if entered.probe:
            self.circuit.give_up_probe()
        self.in_flight -= 1
        self.account.concurrency.end(now, entered.flight)

    def news(self, now: float, entered: Pass, news: LimitNews) -> None:
        """Take up what the server said about its limits."""
        account = self.account
        today = self.clock.calendar(now)
        left = [
            n for n in (news.requests_remaining, news.model_requests_remaining) if n is not None
        ]
        if left and news.per == "day":
            account.budget.announce(today, min(left), entered.account)
        elif (
            news.requests_limit and news.per == "day"
        ):  # a 429 that names the day's limit: it is used up
            midnight = self.clock.moment(account.budget.day_ends(today))
            account.day_over_until = min(now + DAY_LIMIT_SECONDS, midnight)
            account.pace.cool(account.day_over_until)
        elif left and min(left) == 0 and news.resets_in_seconds is not None:
            account.pace.cool(now + news.resets_in_seconds)
        if news.requests_limit and news.per == "minute":
            account.pace.announce(news.requests_limit)
        if news.tokens_limit and news.per == "minute" and not account.bucket.per_minute:
            account.bucket = TokenBucket(news.tokens_limit)
        if news.max_in_flight:
            account.concurrency.announce(news.max_in_flight)

    def expected_usd(self, tokens: int) -> float:
        """Dollars for the next call, in which `tokens` are expected."""
        expected = self.expected
        if not expected.calls:
            return usual_price(self.lane, tokens)
        return price(
            self.lane, expected.prompt_tokens, expected.completion_tokens, expected.cached_tokens
        )

    def usd(self, usage: Usage) -> float:
        """Dollars for a call that took so much."""
        return price(self.lane, usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)

    def _out_of_service(self, now: float) -> Wait | None:
        if self.paused:
            return Wait("paused", f"{self.name} is paused")
        if self.trial.suspect:
            return Wait(
                "probing", f"{self.name} has refused its first requests, and others are still out"
            )
        if self.circuit.closed or self.circuit.may_probe(now):
            return None
        if self.circuit.probing:
            return Wait("probing", f"{self.name} is probed after: {self.circuit.why}")
        if self.circuit.retry_at == inf:
            return Wait("stopped", f"{self.name} is stopped: {self.circuit.why}")
        if self.circuit.stopped:
            return Wait(
                "balance gone", f"{self.name} is stopped: {self.circuit.why}", self.circuit.retry_at
            )
        return Wait(
            "circuit open", f"{self.name} does not work: {self.circuit.why}", self.circuit.retry_at
        )

    def _not_now(self, now: float) -> Wait | None:
        today = self.clock.calendar(now)
        closes = self.windows.open_until(today)
        if closes is None or (closes < inf and not self._fits(today, closes)):
            reason = f"{self.name} is outside its windows"
            opens = self._moment(self.windows.opens_at(today))
            return Wait("closed window", reason, opens, self.lane.day_timezone)
        for whose, budget in ((self.name, self.account.budget), ("the run", self.run_budget)):
            limit = budget.used_up(today)
            if limit:
                reason = f"{whose} has used {limit.what}"
                return Wait("used up", reason, self._moment(limit.until), limit.zone)
        return None

    def _moment(self, calendar: float | None) -> float | None:
        return None if calendar is None else self.clock.moment(calendar)

    def _fits(self, today: float, closes: float) -> bool:
        """Whether a call that starts now will, most likely, not run far past the window's end."""
        opened = self.windows.opened_at(today) or -inf
        lead = (1 - FAR_SHARE) * self.expected.seconds_p95
        return today + min(lead, 0.9 * (closes - opened)) <= closes

    def _too_busy(self, now: float) -> Wait | None:
        account = self.account
        if account.day_over_until > now:
            return Wait(
                "used up",
                f"{self.name} has no calls left today, says its server",
                account.day_over_until,
            )
        if account.pace.cool_until > now:
            return Wait("cooling", f"{self.name} cools after a 429", account.pace.cool_until)
        if account.concurrency.full:
            return Wait("full", f"{self.name} has {account.concurrency.in_flight} calls in flight")
        if account.pace.thawing and account.concurrency.unsettled(now) >= account.pace.thawing:
            return Wait("full", f"{self.name} begins again after a pause", now + 0.5)
        bucket = account.bucket.ready_at(now, self.expected.tokens)
        ready = max(account.pace.ready_at(), account.concurrency.ready_at(), bucket)
        if ready > now:
            return Wait("pacing", f"{self.name} keeps to its limits a minute", ready)
        return None

    def _leave(self, now: float, entered: Pass, usage: Usage) -> float:
        account = self.account
        self.in_flight -= 1
        account.concurrency.end(now, entered.flight)
        tokens, cost = usage.prompt_tokens + usage.completion_tokens, self.usd(usage)
        account.bucket.correct(now, entered.tokens, tokens)
        today = self.clock.calendar(now)
        account.budget.settle(today, entered.account, tokens, cost)
        self.run_budget.settle(today, entered.run, tokens, cost)
        self.counts.usd += cost
        return cost

    def _refused(self, now: float, entered: Pass, error: RateLimited) -> None:
        too_many = self.account.concurrency.refuse(now, entered.flight)
        if self.busy_since is None:
            self.busy_since = now
        pause, pace = error.retry_after_seconds, self.account.pace
        if self.account.concurrency.limit_met or (pause or 0.0) >= PAUSE_OF_A_LIMIT:
            pace.refused(now, pause, not too_many)
        else:
            pace.chance(now, pause)
        if entered.probe:
            self.circuit.succeed()  # it works; it is only busy

    @staticmethod
    def _is_outage(entered: Pass, error: CallError) -> bool:
        """What says something about the server and not about the sample."""
        return isinstance(error, ServerFault | Unreachable | Stalled | ErrorEvent)


def run_budget(config: BudgetConfig) -> Budget:
    """The budget of the whole run, over all lanes."""
    return Budget(run_limits(config), config.day_timezone)


def run_limits(config: BudgetConfig) -> Limits:
    return strictest([config])


def gates(lanes: Sequence[LaneConfig], run: Budget, clock: Clock | None = None) -> dict[str, Gate]:
    """A gate for each lane by name; lanes of one account share it."""
    accounts = {name: Account(keys) for name, keys in by_account(lanes).items()}
    clock = clock or Clock()
    return {
        lane.name: Gate(lane, accounts[lane.account or lane.name], run, clock) for lane in lanes
    }


def by_account(lanes: Sequence[LaneConfig]) -> dict[str, list[LaneConfig]]:
    grouped: dict[str, list[LaneConfig]] = {}
    for lane in lanes:
        grouped.setdefault(lane.account or lane.name, []).append(lane)
    return grouped


def _ceiling(lanes: Sequence[LaneConfig]) -> int:
    return min((lane.concurrency for lane in lanes if lane.concurrency), default=0)


__all__ = [
    "Account",
    "Gate",
    "Pass",
    "UsedUp",
    "Wait",
    "by_account",
    "gates",
    "run_budget",
    "run_limits",
]
