"""One sample's calls, again and again where that helps, on another lane where there is one. The
ONE place of retry.
"""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from generator.answer import Answer
from generator.lanes.accounting import Accounting
from generator.lanes.attempts import Tally
from generator.lanes.clock import Clock
from generator.lanes.dispatch import Admission, Dispatcher
from generator.lanes.lane import Lane, request_for
from generator.lanes.prices import is_priced
from generator.lanes.reasoning_check import REMEDY
from generator.lanes.stop_conditions import Drained
from shared.chat_api.errors import (
    BadRequest,
    BalanceGone,
    CallError,
    KeyRefused,
    RequestRefused,
    UnknownModel,
)
from shared.chat_api.limits import LimitNews
from shared.chat_api.request import Request
from shared.records import Completion, Message, Usage, is_cut

BACK_OFF_SECONDS = 0.25  # between two attempts of one sample, doubled each time
BACK_OFF_SECONDS_MAX = 30.0
JITTER = 0.2  # spreads the probes of lanes that died together
# between two looks at whose fault a refusal was; so long nothing else was asked: its sample's
TRIAL_SECONDS = 0.5


class Retry:
    """`attempts`: calls for a sample before it fails, outages and 429 aside."""

    def __init__(
        self, dispatcher: Dispatcher, accounting: Accounting, clock: Clock, attempts: int
    ) -> None:
        self.attempts = attempts
        self._dispatcher = dispatcher
        self._accounting = accounting
        self._clock = clock
        self._draining = asyncio.Event()  # whoever sleeps between two attempts wakes

    def drain(self) -> None:
        """No sample is asked again."""
        self._draining.set()

    async def ask(
        self, sample_id: str, messages: list[Message], params: Mapping[str, Any], lane_name: str
    ) -> Answer:
        """As `Lanes.ask`."""
        tally = Tally(sample_id)
        started_at = self._clock.now()

        def pause(_: RetryCallState) -> float:
            if tally.last_was_free:
                return 0.0  # it is waited out at the gate
            seconds = min(BACK_OFF_SECONDS * 2.0**tally.counted, BACK_OFF_SECONDS_MAX)
            return random.uniform(0.5, 1.0) * seconds

        retrying = AsyncRetrying(
            retry=retry_if_exception(_may_be_asked_again),
            stop=lambda _: tally.counted >= self.attempts,
            wait=pause,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            completion: Completion = await retrying(
                self._attempt, tally, messages, params, lane_name
            )
        except CallError as error:
            return tally.failure(error, self._clock.now() - started_at)
        return tally.answer(completion)

    async def _attempt(
        self, tally: Tally, messages: list[Message], params: Mapping[str, Any], lane_name: str
    ) -> Completion:
        """Wait for a lane and make one call. Errors: `CallError`, `Drained`, `Stopped`."""
        if self._draining.is_set():
            raise Drained
        admission = await self._dispatcher.enter(tally, lane_name)
        lane = admission.lane
        request = request_for(lane.config, messages, params)
        tally.begin(lane.config, request)
        try:
            completion = await self._call(admission, request)
        except CallError as error:
            self._note_failure(admission, tally, error)
            if isinstance(error, BadRequest) and await self._is_the_lanes_fault(lane, error):
                tally.excuse()
                raise RequestRefused(error.message, status=error.status) from None
            raise
        except BaseException:
            # Cancelled by a drain that ran out, or a bug: either way the call is over.
            self._dispatcher.give_up(admission)
            raise
        usage = completion.usage
        now = self._clock.now()
        usd = lane.gate.succeed(now, admission.permit, usage)
        if not lane_name and not is_cut(completion.finish_reason):  # a judge need not think
            does_not_think = lane.gate.reasoning.answered(completion.reasoning)
            if does_not_think and lane.config.require_reasoning:
                lane.gate.circuit.stop(now, REMEDY)
        self._settle(admission, tally, "ok", usage, usd)
        return completion

    async def _call(self, admission: Admission, request: Request) -> Completion:
        lane = admission.lane
        permit = admission.permit
        gate = lane.gate
        flight = permit.flight
        counts = gate.counts

        def on_tokens(count: int) -> None:
            if count and not flight.answered:
                gate.first_token(self._clock.now(), permit)
                self._dispatcher.wake()
            counts.tokens += count

        def on_limits(news: LimitNews) -> None:
            gate.news(self._clock.now(), permit, news)
            self._accounting.note_day_over(gate.account)

        if lane.limiter:
            await lane.limiter.acquire()
        return await lane.teacher.call(request, on_tokens, on_limits)

    def _note_failure(self, admission: Admission, tally: Tally, error: CallError) -> None:
        gate = admission.lane.gate
        now = self._clock.now()
        jitter = random.uniform(1 - JITTER, 1 + JITTER)
        usd = gate.fail(now, admission.permit, error, jitter)
        if isinstance(error, BadRequest):
            gate.refuse(now, error, tally.sample_id)
        tally.failed(error, not gate.circuit.closed, self.attempts)
        usage = error.partial.usage if error.partial else Usage()
        self._settle(admission, tally, error.kind, usage, usd)

    def _settle(
        self, admission: Admission, tally: Tally, outcome: str, usage: Usage, usd: float
    ) -> None:
        if is_priced(admission.lane.config):
            tally.charge(usd)
        self._accounting.settle(admission.call_id, outcome, usage, usd)
        self._dispatcher.wake()

    async def _is_the_lanes_fault(self, lane: Lane, error: BadRequest) -> bool:
        """Whether the lane refuses every request as it did this one: waits until that can be told.

        Errors: `Drained`, and the sample is left as if it had not been asked.
        """
        gate = lane.gate
        while gate.trial.undecided:
            if gate.trial.suspect and not gate.in_flight:
                gate.lose(self._clock.now(), error)
                break
            await self._sleep(TRIAL_SECONDS)
            is_alone = not gate.in_flight and not self._dispatcher.waiting(lane.config.name)
            if gate.trial.undecided and is_alone:  # too few samples to tell by their number
                if not error.setting:
                    return False
                gate.lose(self._clock.now(), error)
        self._dispatcher.wake()
        return gate.trial.lost

    async def _sleep(self, seconds: float) -> None:
        """Between two attempts of one sample. Errors: `Drained`."""
        if not seconds:
            return
        try:
            await asyncio.wait_for(self._draining.wait(), seconds)
        except TimeoutError:
            return
        raise Drained


def _may_be_asked_again(error: BaseException) -> bool:
    """On this lane or on another one."""
    lane_is_out = isinstance(error, KeyRefused | UnknownModel | BalanceGone | RequestRefused)
    return isinstance(error, CallError) and (error.retryable or lane_is_out)
