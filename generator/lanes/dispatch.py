"""Dispatch: which waiting sample goes to which lane, and when. One task lets them in; whoever frees
a place wakes it.

    async with asyncio.TaskGroup() as group:
        group.create_task(dispatcher.run())
        lane, entered, call_id = await dispatcher.enter(tally, "")

Letting a call in writes to the ledger and, where a budget's next block begins, to the disk. A write
that fails must end the run, so all of it happens in that one task, whose errors its group raises: a
timer, a signal or a request over HTTP only wakes it.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from math import inf

from generator.config import DaemonConfig
from generator.high_water import HighWater
from generator.lanes.attempts import Tally
from generator.lanes.budgets import Budget
from generator.lanes.clock import Clock
from generator.lanes.gate import Gate, Pass, Wait
from generator.lanes.lane import Lane, MarkBook, SpendBook, Waiter
from generator.lanes.prices import usual_price
from generator.lanes.stop_conditions import Drained, look_again_at, verdict
from shared.records import Usage

LOOK_AGAIN_SECONDS = (
    30.0  # longest sleep without a look at the clock: it may be set, a laptop may have slept
)


class Dispatcher:
    """The samples that wait for a lane. `budgets`: of each account by name, and of the run
    under None.
    """

    def __init__(
        self,
        lanes: Mapping[str, Lane],
        judge: str,
        daemon: DaemonConfig,
        budgets: Mapping[str | None, Budget],
        book: SpendBook,
        marks: MarkBook,
        clock: Clock,
    ) -> None:
        self.daemon = daemon
        self.paused = False
        self._lanes, self._judge, self._budgets = lanes, judge, budgets
        self._book = book
        self._marks = marks
        self._clock = clock
        self._now = clock.now
        self._queues: dict[str, deque[Waiter]] = {}  # by the lane that is asked for; "" is any
        self._woken = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._unmarked: Gate | None = None  # a lane that is free, but for its budgets' marks

    async def run(self) -> None:
        """Let samples in until cancelled. Errors: `CannotWrite`; whatever else the ledger
        raises.
        """
        try:
            while True:
                self._woken.clear()
                self._let_in()
                if self._unmarked is not None:
                    await self._mark(self._unmarked)
                else:
                    await self._woken.wait()
        finally:
            self._cancel_timer()

    def wake(self) -> None:
        """Something has changed that may let a sample in."""
        self._woken.set()

    async def enter(self, tally: Tally, wanted: str) -> tuple[Lane, Pass, int]:
        """Wait for leave to start a call: the lane, what the call holds of it, and the call's
        id in the book.
        """
        waiter = Waiter(tally, asyncio.get_running_loop().create_future(), self._now())
        self._queues.setdefault(wanted, deque()).append(waiter)
        self.wake()
        try:
            return await waiter.future
        except asyncio.CancelledError:
            if (
                waiter.future.done() and not waiter.future.cancelled()
            ):  # leave was given, and we are gone
                lane, entered, call_id = waiter.future.result()
                self.give_up(lane.gate, entered, call_id)
            raise

    def give_up(self, gate: Gate, entered: Pass, call_id: int) -> None:
        """A call that we ended ourselves: what it cost is not known, so what was reserved is
        taken as spent.
        """
        gate.cancel(self._now(), entered)
        self._book.settle_call(
            call_id, "cancelled", Usage(completion_tokens=entered.tokens), entered.usd
        )
        self.wake()

    def drain(self) -> None:
        """Whoever waits is Drained."""
        for queue in self._queues.values():
            while queue:
                waiter = queue.popleft()
                if not waiter.future.done():
                    waiter.future.set_exception(Drained())

    async def give_back(self) -> None:
        """At an orderly end, with no call in flight: what was reserved ahead and not used
        counts as unused again.
        """
        today = self._clock.calendar(self._now())
        await self._marks.put(
            {
                name: budget.spent(today)
                for name, budget in self._budgets.items()
                if budget.limited or budget.mark
            }
        )

    def usable(self, wanted: str) -> list[Lane]:
        """The lanes that a sample may take: the one that is asked for, or all but the judge's."""
        if wanted:
            return [self._lanes[wanted]]
        return [lane for name, lane in self._lanes.items() if name != self._judge]

    def waiting(self, lane: str) -> int:
        """How many samples wait that this lane may take."""
        queue = self._queues.get(lane if lane == self._judge else "", ())
        return sum(not waiter.future.done() for waiter in queue)

    # Choosing

    def _let_in(self) -> None:
        """Let every waiting sample in that may go in, and set the timer for the next moment at
        which one may.
        """
        now = self._now()
        again: list[float] = []
        self._unmarked = None
        for wanted, queue in self._queues.items():
            while queue:
                if queue[0].future.done():
                    queue.popleft()
                    continue
                waits = self._serve_first(queue, wanted, now)
                if waits is None:
                    continue
                again += [wait.until for wait in waits if wait.until is not None]
                if waits and not self.paused:
                    self._end_if_nothing_can_help(queue, wanted, now)
                    again.append(self._look_again_at(wanted, now))
                break
        self._set_timer(min(again, default=None), now)

    def _serve_first(self, queue: deque[Waiter], wanted: str, now: float) -> list[Wait] | None:
        """Let the first of a queue in. None: done. Otherwise why not, lane by lane; nothing
        where a mark is missing.
        """
        if self.paused:
            return [Wait("paused", "paused")]
        waits = [(lane, lane.gate.wait(now)) for lane in self.usable(wanted)]
        ready = [lane for lane, wait in waits if wait is None]
        if not ready:
            return [wait for _, wait in waits if wait is not None]
        waiter = queue[0]
        lane = min(ready, key=lambda lane: self._preference(lane, waiter.tally))
        if not lane.gate.is_marked(now):
            self._unmarked = lane.gate
            return []
        queue.popleft()
        entered = lane.gate.enter(now)
        day = max(
            entered.account.day, entered.run.day
        )  # by a clock that was set back, the day is still to come
        call_id = self._book.reserve_call(
            lane.config.name,
            lane.gate.account.name,
            waiter.tally.sample_id,
            max(self._clock.calendar(now), day),
            entered.tokens,
            entered.usd,
        )
        self._marks.booked(call_id)
        waiter.future.set_result((lane, entered, call_id))
        return None

    async def _mark(self, gate: Gate) -> None:
        """Reserve the next block of what this lane's calls take, on the disk, and trim what
        others hold too much.
        """
        today = self._clock.calendar(self._now())
        tokens = gate.expected.tokens
        usd = gate.expected_usd(tokens)
        marks: dict[str | None, HighWater] = {}
        for name, budget in self._budgets.items():
            if budget is gate.account.budget or budget is gate.run_budget:
                marks[name] = budget.next_mark(today, 1, tokens, usd)
            elif budget.limited:
                marks[name] = budget.next_mark(today)
        await self._marks.put(marks)
        for name, mark in marks.items():
            self._budgets[name].marked(mark)

    @staticmethod
    def _preference(lane: Lane, tally: Tally) -> tuple[int, float, float]:
        """The lane that failed this sample least, then the cheapest, then the emptiest."""
        gate = lane.gate
        load = gate.in_flight / gate.account.concurrency.limit
        return tally.failures[lane.config.name], usual_price(lane.config), load

    def _end_if_nothing_can_help(self, queue: deque[Waiter], wanted: str, now: float) -> None:
        gates = [lane.gate for lane in self.usable(wanted)]
        if any(gate.in_flight for gate in gates):
            return  # what is in flight may free a part of a budget, and must not be lost
        end = verdict(gates, now, self.daemon.wait, self.daemon.give_up_minutes * 60)
        while end and queue:
            waiter = queue.popleft()
            if not waiter.future.done():
                waiter.future.set_exception(end)

    def _look_again_at(self, wanted: str, now: float) -> float:
        gates = [lane.gate for lane in self.usable(wanted)]
        at = look_again_at(gates, now, self.daemon.wait, self.daemon.give_up_minutes * 60)
        return at if at > now else inf

    def _set_timer(self, at: float | None, now: float) -> None:
        self._cancel_timer()
        if any(self._queues.values()):
            pause = (
                LOOK_AGAIN_SECONDS if at is None else min(max(at - now, 0.001), LOOK_AGAIN_SECONDS)
            )
            self._timer = asyncio.get_running_loop().call_later(pause, self.wake)

    def _cancel_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
