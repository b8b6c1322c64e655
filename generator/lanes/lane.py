"""One lane as the run has it: a gate, a teacher, a limiter; and what a lane needs from the
ledger and the teacher.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from aiolimiter import AsyncLimiter

from generator.config import LaneConfig
from generator.high_water import HighWater
from generator.lanes.attempts import Tally
from generator.lanes.gate import Gate, Pass
from shared.chat_api.limits import LimitNews
from shared.chat_api.request import Request
from shared.records import Completion, Message, Usage


def request_for(lane: LaneConfig, messages: list[Message], params: Mapping[str, Any]) -> Request:
    """What a lane is asked. `params`: temperature, top_p, max_tokens; its own ceiling may lower
    the last.
    """
    most = int(params["max_tokens"])
    return Request(
        messages,
        lane.model,
        float(params["temperature"]),
        float(params["top_p"]),
        min(most, lane.max_tokens) if lane.max_tokens else most,
    )


class CallsTeacher(Protocol):
    """One lane's teacher: an aiohttp session that makes one call at a time or thousands."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    async def call(
        self,
        request: Request,
        on_tokens: Callable[[int], None],
        on_limits: Callable[[LimitNews], None],
    ) -> Completion:
        """Errors: CallError."""
        ...


class SpentInBook(Protocol):
    @property
    def calls(self) -> int: ...
    @property
    def tokens(self) -> int: ...
    @property
    def usd(self) -> float: ...


class SpendBook(Protocol):
    """The ledger's memory of calls, so that a restart does not forget what was spent."""

    def reserve_call(
        self, lane: str, account: str, sample_id: str, at: float, tokens: int, usd: float
    ) -> int:
        """Write a call down before it is made; it counts from then on, with `tokens` and `usd`
        until it is settled.
        """
        ...

    def settle_call(
        self, call_id: int, outcome: str, usage: Usage | None, usd: float | None
    ) -> None:
        """Put the real tokens and dollars in place of the reserved ones."""
        ...

    def spent(self, account: str | None, since: float) -> SpentInBook:
        """What the calls started at or after `since` took, of one account or of all (None),
        reservations included.
        """
        ...

    def add_lost_calls(self, account: str, at: float, spent: SpentInBook) -> None:
        """Put down what counts as spent and was not known here ("": by no account, but by the
        run).
        """
        ...

    def note(self, name: str, value: str) -> None:
        """Keep a small text under a name."""
        ...

    def noted(self, name: str) -> str:
        """What `note` kept, "" where nothing was."""
        ...


class MarkBook(Protocol):
    """The disk's memory of how far each budget may have been used, for when the ledger's is
    lost. None: the run's.
    """

    def get(self, account: str | None) -> HighWater | None:
        """What counts as spent at least."""
        ...

    def booked(self, call: int) -> None:
        """The ledger knows all calls up to this one."""
        ...

    async def put(self, marks: Mapping[str | None, HighWater]) -> None:
        """Returns when these marks would survive a power cut."""
        ...


@dataclass(eq=False, slots=True)
class Waiter:
    tally: Tally
    future: "asyncio.Future[tuple[Lane, Pass, int]]"
    since: float


class Lane:
    """A gate with its teacher and, where requests a minute are limited, the limiter that spaces
    them.
    """

    def __init__(self, config: LaneConfig, gate: Gate, teacher: CallsTeacher) -> None:
        self.gate = gate
        self.teacher = teacher
        self.limiter: AsyncLimiter | None = None
        self.reload(config)

    def reload(self, config: LaneConfig) -> None:
        self.config = config
        per_minute = self.gate.account.pace.configured
        if per_minute and (self.limiter is None or self.limiter.time_period != 60 / per_minute):
            self.limiter = AsyncLimiter(
                1, 60 / per_minute
            )  # one at a time: AsyncLimiter(n, 60) lets n through at once
        elif not per_minute:
            self.limiter = None
