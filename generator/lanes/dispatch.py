"""Dispatch: which waiting sample goes to which lane, and when. One task lets them in; whoever frees
a place wakes it.

    async with asyncio.TaskGroup() as group:
        group.create_task(dispatcher.run())
        admission = await dispatcher.enter(tally, "")

Letting a call in writes to the ledger and, where a budget's next block begins, to the disk. A write
that fails must end the run, so all of it happens in that one task, whose errors its group raises: a
timer, a signal or a request over HTTP only wakes it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf

from generator.config import DaemonConfig
from generator.lanes.accounting import Accounting
from generator.lanes.attempts import Tally
from generator.lanes.clock import Clock
from generator.lanes.gate import Gate, Permit
from generator.lanes.lane import Lane
from generator.lanes.prices import usual_price
from generator.lanes.stop_conditions import Drained, HandedOn, look_again_at, stop_reason
from generator.lanes.waits import Wait

# longest sleep without a look at the clock: it may be set, a laptop may have slept
LOOK_AGAIN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Admission:
    """Leave to make one call: on which lane, what it holds of it, its number in the ledger."""

    lane: Lane
    permit: Permit
    call_id: int


@dataclass(eq=False, slots=True)
class Waiter:
    """A sample that waits for a lane."""

    tally: Tally
    admission: asyncio.Future[Admission]

    @property
    def is_gone(self) -> bool:
        """Whether whoever asked was cancelled, or has an answer."""
        return self.admission.done()


class Dispatcher:
    """The samples that wait for a lane. `judge`: the lane that takes only calls that name it."""

    def __init__(
        self,
        lanes: Mapping[str, Lane],
        judge: str,
        daemon: DaemonConfig,
        accounting: Accounting,
        clock: Clock,
    ) -> None:
        self.paused = False
        self._lanes = lanes
        self.take_up(daemon)
        self._judge = judge
        self._accounting = accounting
        self._clock = clock
        self._queues: dict[str, deque[Waiter]] = {}  # by the lane that is asked for; "" is any
        self._woken = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        # Whether samples that no lane here can take may be taken elsewhere: by batch lanes
        self.others_at_work: Callable[[], bool] = lambda: False
        self._unmarked: Gate | None = None  # a lane that is free, but for its budgets' marks

    def take_up(self, daemon: DaemonConfig) -> None:
        """How long to wait, as the configuration says now."""
        self.daemon = daemon
        for lane in self._lanes.values():
            lane.gate.circuit.give_up_seconds = daemon.give_up_minutes * 60

    async def run(self) -> None:
        """Let samples in until cancelled. Errors: `CannotWrite`; whatever else the ledger
        raises.
        """
        try:
            while True:
                # Cleared before the look, not after it: what happens meanwhile wakes the next.
                self._woken.clear()
                self._let_in()
                if self._unmarked is not None:
                    await self._accounting.mark(self._unmarked)
                else:
                    await self._woken.wait()
        finally:
            self._cancel_timer()

    def wake(self) -> None:
        """Something has changed that may let a sample in."""
        self._woken.set()

    async def enter(self, tally: Tally, lane_name: str) -> Admission:
        """Wait for leave to start a call, on the lane of this name or ("") on any.

        Errors: `Drained`, and the `Stopped` that ends the run.
        """
        waiter = Waiter(tally, asyncio.get_running_loop().create_future())
        self._queues.setdefault(lane_name, deque()).append(waiter)
        self.wake()
        try:
            return await waiter.admission
        except asyncio.CancelledError:
            # Leave may have been given in the moment in which we were cancelled.
            if waiter.admission.done() and not waiter.admission.cancelled():
                self.give_up(waiter.admission.result())
            raise

    def give_up(self, admission: Admission) -> None:
        """A call that we ended ourselves."""
        admission.lane.gate.cancel(admission.permit)
        self._accounting.give_up(admission.call_id, admission.permit)
        self.wake()

    def drain(self) -> None:
        """Whoever waits is Drained."""
        for queue in self._queues.values():
            _end_all(queue, Drained)

    def usable(self, lane_name: str) -> list[Lane]:
        """The lanes that a sample may take: the one that is asked for, or all but the judge's."""
        if lane_name:
            return [self._lanes[lane_name]]
        return [
            lane
            for name, lane in self._lanes.items()
            if name != self._judge and lane.config.mode == "stream"
        ]

    def waiting(self, lane_name: str) -> int:
        """How many samples wait that this lane may take."""
        queue = self._queues.get(lane_name if lane_name == self._judge else "", ())
        return sum(1 for waiter in queue if not waiter.is_gone)

    # Choosing

    def _let_in(self) -> None:
        """Let every waiting sample in that may go in, and set the timer for the next moment at
        which one may.
        """
        now = self._clock.now()
        self._unmarked = None
        next_looks = [
            self._serve(queue, lane_name, now) for lane_name, queue in self._queues.items()
        ]
        self._set_timer(min(next_looks, default=inf), now)

    def _serve(self, queue: deque[Waiter], lane_name: str, now: float) -> float:
        """Let in whom one queue can; the moment at which to look again, inf: when woken."""
        while queue:
            if queue[0].is_gone:
                queue.popleft()
                continue
            waits = self._serve_first(queue, lane_name, now)
            if waits is None:
                continue
            next_look = min((wait.until for wait in waits if wait.until is not None), default=inf)
            if waits and not self.paused:
                self._end_if_nothing_can_help(queue, lane_name, now)
                next_look = min(next_look, self._next_stop_check(lane_name, now))
            return next_look
        return inf

    def _serve_first(self, queue: deque[Waiter], lane_name: str, now: float) -> list[Wait] | None:
        """Let the first of a queue in. None: done. Otherwise why not, lane by lane; nothing
        where a mark is missing.
        """
        if self.paused:
            return [Wait("paused", "paused")]
        waits: list[Wait] = []
        ready_lanes: list[Lane] = []
        for lane in self.usable(lane_name):
            wait = lane.gate.wait(now)
            if wait is None:
                ready_lanes.append(lane)
            else:
                waits.append(wait)
        if not ready_lanes:
            return waits
        waiter = queue[0]
        lane = min(ready_lanes, key=lambda lane: _preference(lane, waiter.tally))
        if not lane.gate.is_marked(now):
            self._unmarked = lane.gate
            return []
        if _is_probe_of_a_failed_sample(lane):
            waiter = max(queue, key=_failures)
        queue.remove(waiter)
        permit = lane.gate.enter(now)
        call_id = self._accounting.reserve(lane.gate, permit, waiter.tally.sample_id)
        waiter.admission.set_result(Admission(lane, permit, call_id))
        return None

    def _end_if_nothing_can_help(self, queue: deque[Waiter], lane_name: str, now: float) -> None:
        gates = [lane.gate for lane in self.usable(lane_name)]
        if any(gate.in_flight for gate in gates):
            return  # what is in flight may free a part of a budget, and must not be lost
        end = stop_reason(gates, now, self.daemon.wait, self.daemon.give_up_minutes * 60)
        if end is not None:
            is_for_others = lane_name != self._judge and self.others_at_work()
            _end_all(queue, HandedOn if is_for_others else end)

    def _next_stop_check(self, lane_name: str, now: float) -> float:
        gates = [lane.gate for lane in self.usable(lane_name)]
        moment = look_again_at(gates, now, self.daemon.wait)
        return moment if moment > now else inf

    def _set_timer(self, moment: float, now: float) -> None:
        self._cancel_timer()
        if any(self._queues.values()):
            pause = min(max(moment - now, 0.001), LOOK_AGAIN_SECONDS)
            self._timer = asyncio.get_running_loop().call_later(pause, self.wake)

    def _cancel_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


def _preference(lane: Lane, tally: Tally) -> tuple[int, float, float]:
    """The lane that failed this sample least, then the cheapest, then the emptiest."""
    gate = lane.gate
    load = gate.in_flight / gate.account.concurrency.limit
    return tally.failures[lane.config.name], usual_price(lane.config), load


def _is_probe_of_a_failed_sample(lane: Lane) -> bool:
    """Every other probe. A server may fail each sample's first call, or a sample may fail on every
    server: probes of one kind only would keep the lane closed in one of these cases.
    """
    circuit = lane.gate.circuit
    return not circuit.closed and circuit.failed_probes % 2 == 1


def _failures(waiter: Waiter) -> int:
    """Failed calls of a sample that still waits; -1 where nobody does any more."""
    return -1 if waiter.is_gone else waiter.tally.failures.total()


def _end_all(queue: deque[Waiter], end: Exception | type[Exception]) -> None:
    """Whoever waits gets the exception; a class makes one for each."""
    while queue:
        waiter = queue.popleft()
        if not waiter.is_gone:
            waiter.admission.set_exception(end)
