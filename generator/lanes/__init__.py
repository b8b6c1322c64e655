"""The lanes: which teacher is asked, when, and how often. The ONE place of retry.

    async with Lanes(config, teacher_for, book, marks) as lanes, asyncio.TaskGroup() as group:
        dispatching = group.create_task(lanes.dispatch())
        answer = await lanes.ask(sample_id, messages, params)
        dispatching.cancel()

`ask` waits until the cheapest lane that may take the sample now takes it, makes the call, and tries
again where that helps, on another lane where there is one. It never raises for what a teacher did:
a sample that fails for good comes back as an `Answer` with its best partial text and
`completion.error`. It raises

    Drained     after `drain()`, for a sample that has no call in flight: leave it for the next run
    OutOfBudget (exit 3) a budget or a window ended and `daemon.wait = false`
    NoLane      (exit 4) no lane can be used

and the last two only when no call is in flight any more, so a caller may end the run at once.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from generator.config import GeneratorConfig, LaneConfig
from generator.lanes.attempts import Answer, Tally
from generator.lanes.budgets import Budget, Spent
from generator.lanes.clock import Clock
from generator.lanes.describe import budget_status, lane_status
from generator.lanes.dispatch import LOOK_AGAIN_SECONDS, Dispatcher
from generator.lanes.forecast import Expected, Quota, lane_pace, quota_seconds
from generator.lanes.gate import Gate, Pass, by_account, gates, run_budget, run_limits
from generator.lanes.lane import CallsTeacher, Lane, MarkBook, SpendBook, request_for
from generator.lanes.prices import is_priced
from generator.lanes.refusal_streak import SAMPLES
from generator.lanes.reloading import taken_up
from generator.lanes.stop_conditions import Drained, NoLane, OutOfBudget
from generator.monitor.status import BudgetStatus, LaneStatus
from shared.chat_api.errors import (
    BadRequest,
    BalanceGone,
    CallError,
    KeyRefused,
    RequestRefused,
    UnknownModel,
)
from shared.chat_api.limits import LimitNews
from shared.records import Completion, Message, Usage

__all__ = [
    "LOOK_AGAIN_SECONDS",
    "Answer",
    "CallsTeacher",
    "Drained",
    "Lanes",
    "MarkBook",
    "NoLane",
    "OutOfBudget",
    "SpendBook",
]

BACK_OFF_SECONDS, BACK_OFF_SECONDS_MAX = (
    0.25,
    30.0,
)  # between two attempts of one sample, doubled each time
ROUNDING_USD = 1e-9  # sums of the same costs in another order differ by less
OUT_UNTIL = "out until: "  # a note's name, with the account: when its server allows calls again
# between two looks at whose fault a refusal was; so long nothing else was asked: its sample's
TRIAL_SECONDS = 0.5


class Lanes:
    """Every lane of a run. `judge.lane` takes no samples, only calls that name it."""

    def __init__(
        self,
        config: GeneratorConfig,
        teacher_for: Callable[[LaneConfig], CallsTeacher],
        book: SpendBook,
        marks: MarkBook,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.config = config
        self._book, self._marks = book, marks
        self._clock = Clock(wall_clock)
        self._now = self._clock.now
        self._run_budget = run_budget(config.budget)
        self._gates = gates(config.lane, self._run_budget, self._clock)
        self._lanes = {
            lane.name: Lane(lane, self._gates[lane.name], teacher_for(lane)) for lane in config.lane
        }
        self._out_until: dict[str, float] = {}  # by account, as noted in the book
        self._budgets: dict[str | None, Budget] = {
            gate.account.name: gate.account.budget for gate in self._gates.values()
        }
        self._budgets[None] = self._run_budget
        self._dispatcher = Dispatcher(
            self._lanes, config.judge.lane, config.daemon, self._budgets, book, marks, self._clock
        )
        self._sleeping = asyncio.Event()  # set at drain: whoever sleeps between two attempts wakes
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._remember()
        for lane in self._lanes.values():
            await self._stack.enter_async_context(lane.teacher)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def dispatch(self) -> None:
        """Let waiting samples in until cancelled: nothing is asked without it. Errors:
        `CannotWrite`.
        """
        await self._dispatcher.run()

    async def give_back(self) -> None:
        """At an orderly end, with no call in flight: what budgets reserved and did not use.
        Errors: `CannotWrite`.
        """
        await self._dispatcher.give_back()

    # Asking

    async def ask(
        self, sample_id: str, messages: list[Message], params: Mapping[str, Any], *, lane: str = ""
    ) -> Answer:
        """Ask for one sample. `params`: temperature, top_p, max_tokens. `lane`: only that one
        (a judge).
        """
        tally = Tally(sample_id)
        begun = self._now()

        def pause(_: RetryCallState) -> float:
            if tally.last_was_free:
                return 0.0  # it is waited out at the gate
            return random.uniform(0.5, 1.0) * min(
                BACK_OFF_SECONDS * 2.0**tally.counted, BACK_OFF_SECONDS_MAX
            )

        retrying = AsyncRetrying(
            retry=retry_if_exception(_may_be_asked_again),
            stop=lambda _: tally.counted >= self.config.retry.attempts,
            wait=pause,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return tally.answer(await retrying(self._call_once, tally, messages, params, lane))
        except CallError as error:
            return tally.failure(error, self._now() - begun)

    async def _call_once(
        self, tally: Tally, messages: list[Message], params: Mapping[str, Any], wanted: str
    ) -> Completion:
        if self._sleeping.is_set():
            raise Drained
        lane, entered, call_id = await self._dispatcher.enter(tally, wanted)
        gate, config = lane.gate, lane.config
        request = request_for(config, messages, params)
        tally.calls += 1
        tally.lane, tally.model = config.name, config.model
        tally.params = {
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_tokens": request.max_tokens,
        }

        def on_tokens(count: int) -> None:
            if count and not entered.flight.answered:
                gate.first_token(self._now(), entered)
                self._dispatcher.wake()
            gate.counts.tokens += count

        def on_limits(news: LimitNews) -> None:
            self._take_up(gate, entered, news)

        try:
            if lane.limiter:
                await lane.limiter.acquire()
            completion = await lane.teacher.call(request, on_tokens, on_limits)
        except CallError as error:
            self._failed(lane, entered, call_id, tally, error)
            if isinstance(error, BadRequest) and await self._is_the_lanes_fault(lane, error):
                tally.excuse()
                raise RequestRefused(error.message, status=error.status) from None
            raise
        except (
            BaseException
        ):  # cancelled by a drain that ran out, or a bug: either way the call is over
            self._dispatcher.give_up(gate, entered, call_id)
            raise
        cost = gate.succeed(self._now(), entered, completion.usage)
        tally.charge(cost if is_priced(gate.lane) else None)
        self._book.settle_call(call_id, "ok", completion.usage, cost)
        self._dispatcher.wake()
        return completion

    def _failed(
        self, lane: Lane, entered: Pass, call_id: int, tally: Tally, error: CallError
    ) -> None:
        gate = lane.gate
        now = self._now()
        cost = gate.fail(now, entered, error, random.uniform(0.8, 1.2))
        if isinstance(error, BadRequest):
            gate.refuse(now, error, tally.sample_id)
        tally.charge(cost if is_priced(gate.lane) else None)
        tally.failed(error, not gate.circuit.closed, self.config.retry.attempts)
        self._book.settle_call(
            call_id, error.kind, error.partial.usage if error.partial else Usage(), cost
        )
        self._dispatcher.wake()

    def _take_up(self, gate: Gate, entered: Pass, news: LimitNews) -> None:
        """What a server said about its limits in the reply to the call that `entered` made."""
        gate.news(self._now(), entered, news)
        account = gate.account
        until = account.budget.out_until(self._today())
        if until is not None and until != self._out_until.get(account.name):
            self._out_until[account.name] = until
            self._book.note(OUT_UNTIL + account.name, str(until))

    async def _is_the_lanes_fault(self, lane: Lane, error: BadRequest) -> bool:
        """Whether the lane refuses every request as it did this one: waits until that can be told.

        Errors: Drained, and the sample is left as if it had not been asked.
        """
        gate = lane.gate
        while gate.trial.undecided:
            if gate.trial.suspect and not gate.in_flight:
                gate.lose(self._now(), error)
                break
            await self._sleep(TRIAL_SECONDS)
            nothing_to_come = not gate.in_flight and not self._dispatcher.waiting(lane.config.name)
            if gate.trial.undecided and nothing_to_come:  # too few samples to tell by their number
                if not error.setting:
                    return False
                gate.lose(self._now(), error)
        self._dispatcher.wake()
        return gate.trial.lost

    async def _sleep(self, seconds: float) -> None:
        """Between two attempts of one sample. Errors: Drained."""
        if seconds:
            try:
                await asyncio.wait_for(self._sleeping.wait(), seconds)
            except TimeoutError:
                return
            raise Drained

    # Controls

    def drain(self) -> None:
        """No call starts any more; samples without a call in flight come back as Drained."""
        self._sleeping.set()
        self._dispatcher.drain()

    def pause(self, lane: str = "") -> None:
        """No call starts, on one lane or anywhere; those in flight go on. Errors: KeyError for
        an unknown lane.
        """
        if lane:
            self._lanes[lane].gate.paused = True
        else:
            self._dispatcher.paused = True
        self._dispatcher.wake()

    def resume(self, lane: str = "") -> None:
        """Undo `pause`. A named lane that was stopped (key, model, balance) is tried again."""
        if lane:
            gate = self._lanes[lane].gate
            gate.paused = False
            if not gate.circuit.closed:
                gate.circuit.retry_at = self._now()
        else:
            self._dispatcher.paused = False
        self._dispatcher.wake()

    def reload(self, config: GeneratorConfig) -> list[str]:
        """Take up budgets, windows, limits and `daemon` waiting from a changed configuration; calls
        in flight go on.

        Returns a sentence for each change that needs a restart. Errors: InputError, and nothing is
        changed.
        """
        lanes, notes = taken_up(
            {name: lane.config for name, lane in self._lanes.items()}, config.lane
        )
        accounts = {gate.account.name: gate.account for gate in self._gates.values()}
        for name, keys in by_account(list(lanes.values())).items():
            accounts[name].reload(keys)
        for name, lane in self._lanes.items():
            lane.gate.reload(lanes[name])
            lane.reload(lanes[name])
        self._run_budget.limits = run_limits(config.budget)
        self.config = self.config.model_copy(
            update={"daemon": config.daemon, "retry": config.retry}
        )
        self._dispatcher.daemon = config.daemon
        self._dispatcher.wake()
        return notes

    # Telling

    @property
    def most_in_flight(self) -> int:
        """The ceiling over all lanes that take samples, and those that wait to hear whose fault
        their refusal was.

        So many workers are enough.
        """
        accounts = {
            id(lane.gate.account): lane.gate.account for lane in self._dispatcher.usable("")
        }
        return sum(account.concurrency.ceiling for account in accounts.values()) + SAMPLES

    @property
    def in_flight(self) -> int:
        return sum(gate.in_flight for gate in self._gates.values())

    @property
    def names(self) -> Sequence[str]:
        return list(self._lanes)

    @property
    def paused(self) -> bool:
        return self._dispatcher.paused

    def status(self) -> list[LaneStatus]:
        """Every lane now."""
        now = self._now()
        dispatcher = self._dispatcher
        return [
            lane_status(gate, dispatcher.waiting(name), now, dispatcher.paused)
            for name, gate in self._gates.items()
        ]

    def remaining_seconds(self, samples: int, by_rate: float) -> tuple[float, bool]:
        """(seconds until so many more samples are done, whether quotas say so and not the
        present rate).
        """
        quotas = []
        today = self._today()
        accounts = {lane.gate.account.name: lane for lane in self._dispatcher.usable("")}
        for lane in accounts.values():
            gate, budget = lane.gate, lane.gate.account.budget
            took = gate.counts.calls / max(gate.counts.answers, 1) if gate.counts.answers else 1.0
            means = gate.expected
            size = Expected(
                means.prompt_tokens,
                means.completion_tokens,
                means.seconds_p95,
                took,
                means.cached_tokens,
            )
            usd = gate.expected_usd(means.tokens)
            left = min(
                budget.calls_left(today, means.tokens, usd),
                self._run_budget.calls_left(today, means.tokens, usd),
            )
            per_day = lane_pace(lane.config, size, today).samples_per_day
            quotas.append(Quota(left / took, per_day, budget.day_ends(today) - today))
        return quota_seconds(samples, by_rate, quotas)

    def budgets(self) -> list[BudgetStatus]:
        """The limits of the whole run."""
        return [budget_status("", bar) for bar in self._run_budget.bars(self._today())]

    def _today(self) -> float:
        return self._clock.calendar(self._now())

    def _remember(self) -> None:
        """What was spent: by the ledger, and by the disk's marks where the ledger has lost some
        of it.
        """
        for account, budget in self._budgets.items():
            mark = self._marks.get(account)
            now = max(
                self._today(), mark.day if mark else 0.0
            )  # a clock that was set back turns no day back
            today = self._book.spent(account, budget.day_began(now))
            total = self._book.spent(account, 0.0)
            out_until = float(self._book.noted(OUT_UNTIL + account) or 0.0) if account else 0.0
            known = Spent(today.calls, today.tokens, today.usd)
            budget.resume(now, known, total.usd, out_until, mark)
            self._note_what_was_lost(account, budget, now, known, total.usd)

    def _note_what_was_lost(
        self, account: str | None, budget: Budget, now: float, known: Spent, known_usd: float
    ) -> None:
        """So that the ledger knows of all that counts as spent, and what is lost next is told
        from this.
        """
        today = budget.today(now)
        lost = Spent(today.calls - known.calls, today.tokens - known.tokens, today.usd - known.usd)
        if lost.calls or lost.tokens or lost.usd > ROUNDING_USD:
            self._book.add_lost_calls(account or "", now, lost)
        before_today = budget.total_usd - known_usd - lost.usd
        if before_today > ROUNDING_USD:
            self._book.add_lost_calls(account or "", 0.0, Spent(0, 0, before_today))


def _may_be_asked_again(error: BaseException) -> bool:
    """On this lane or on another one."""
    lane_is_out = isinstance(error, KeyRefused | UnknownModel | BalanceGone | RequestRefused)
    return isinstance(error, CallError) and (error.retryable or lane_is_out)
