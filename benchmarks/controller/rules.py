"""Rules that find a limit of calls in flight, from their documentation, behind the questions that a
lane's gate is asked. Each sees what it is made for: the time to a first token, and refusals.

- A fixed setting: so many calls in flight, so many starts a minute, evenly spaced.
- AIMD, as in Netflix' concurrency-limits: one more for each call, a tenth less for each 429.
- Vegas (Brakmo and Peterson 1995), with the steps of concurrency-limits: by the length of the queue.
- Gradient2 of concurrency-limits: by the latest delay against a long mean of it.
- DataDesigner's (NVIDIA NeMo, its request admission): AIMD that starts at the ceiling, cools two
  seconds or as long as a 429 names, and grows by one for each 25 calls in a row that go well.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, inf, log10

from generator.lanes.waits import Wait
from shared.chat_api.errors import CallError, RateLimited
from shared.chat_api.limits import LimitNews
from shared.records import Usage

RETRY_SECONDS = 1.0  # after a 429 that names no pause, the one place waits that it had


@dataclass(slots=True)
class Ticket:
    """One call of a rule."""

    started_at: float
    limit: int  # at the start


class Rule:
    """A limit of calls in flight. A place whose call was refused stays empty for a while, as with a
    client that sleeps before it asks again.
    """

    def __init__(self, name: str, limit: float, ceiling: int) -> None:
        self.name = name
        self.in_flight = 0
        self.ceiling = ceiling
        self.level = min(limit, float(ceiling))
        self.cool_until = -inf
        self._empty_until: list[float] = []  # places, in order

    @property
    def limit(self) -> int:
        """Calls that may be in flight."""
        return max(1, min(int(self.level), self.ceiling))

    def wait(self, now: float) -> Wait | None:
        """None: a call may start now."""
        if self.cool_until > now:
            return Wait("cooling", "", self.cool_until)
        while self._empty_until and self._empty_until[0] <= now:
            self._empty_until.pop(0)
        if self.in_flight + len(self._empty_until) >= self.limit:
            return Wait("full", "", self._empty_until[0] if self._empty_until else None)
        return None

    def enter(self, now: float) -> Ticket:
        """A call starts."""
        self.in_flight += 1
        return Ticket(now, self.limit)

    def first_token(self, now: float, ticket: Ticket) -> None:
        """The server took it up."""
        self.answered(now, ticket, now - ticket.started_at)

    def succeed(self, now: float, ticket: Ticket, usage: Usage) -> float:
        """It ended well."""
        self.in_flight -= 1
        self.ended(now)
        return 0.0

    def fail(self, now: float, ticket: Ticket, error: CallError) -> float:
        """It did not."""
        self.in_flight -= 1
        if isinstance(error, RateLimited):
            self._empty_until.append(now + (error.retry_after_seconds or RETRY_SECONDS))
            self._empty_until.sort()
            self.refused(now, ticket, error.retry_after_seconds)
        return 0.0

    def news(self, now: float, ticket: Ticket, news: LimitNews) -> None:
        """None of these rules listens to what a server says about its limits."""

    def answered(self, now: float, ticket: Ticket, seconds: float) -> None:
        """A first token came after so many seconds."""

    def ended(self, now: float) -> None:
        """A call ended well."""

    def refused(self, now: float, ticket: Ticket, retry_after: float | None) -> None:
        """A 429 came."""


class Fixed(Rule):
    """So many calls in flight, so many starts a minute (0: as many as one likes)."""

    def __init__(self, in_flight: int, per_minute: float = 0.0) -> None:
        super().__init__("fixed", in_flight, in_flight)
        self.set(in_flight, per_minute)
        self._next_start = -inf

    def set(self, in_flight: int, per_minute: float) -> None:
        """Another setting from now on."""
        self.ceiling = in_flight
        self.level = float(in_flight)
        self.per_minute = per_minute

    def wait(self, now: float) -> Wait | None:
        """As `Rule.wait`."""
        if self._next_start > now:
            return Wait("pacing", "", self._next_start)
        return super().wait(now)

    def enter(self, now: float) -> Ticket:
        """As `Rule.enter`."""
        if self.per_minute:
            due = max(self._next_start, now - 3.0)  # a busy client makes up for what it missed
            self._next_start = due + 60 / self.per_minute
        return super().enter(now)


class Aimd(Rule):
    """Additive increase, multiplicative decrease."""

    def __init__(self, ceiling: int) -> None:
        super().__init__("AIMD", 10, ceiling)

    def answered(self, now: float, ticket: Ticket, seconds: float) -> None:
        """As `Rule.answered`."""
        if 2 * self.in_flight >= self.level:
            self.level = min(self.level + 1, self.ceiling)

    def refused(self, now: float, ticket: Ticket, retry_after: float | None) -> None:
        """As `Rule.refused`."""
        self.level = max(1.0, min(self.level - 1, int(self.level * 0.9)))


class Vegas(Rule):
    """As long a queue as is wanted, estimated from the delay."""

    def __init__(self, ceiling: int) -> None:
        super().__init__("Vegas", 20, ceiling)
        self._least_seconds = inf
        self._probe_count = 0

    def answered(self, now: float, ticket: Ticket, seconds: float) -> None:
        """As `Rule.answered`."""
        self._probe_count += 1
        is_probe = self._probe_count >= 0.75 * 30 * self.level
        if is_probe or seconds < self._least_seconds:
            self._least_seconds = seconds
            self._probe_count = 0 if is_probe else self._probe_count
            return
        if 2 * self.in_flight < self.level:
            return
        step = max(1.0, log10(self.level))
        queue = ceil(self.level * (1 - self._least_seconds / seconds))
        if queue <= step:
            self.level += 6 * step
        elif queue < 3 * step:
            self.level += step
        elif queue > 6 * step:
            self.level -= step
        self.level = max(1.0, min(self.level, self.ceiling))

    def refused(self, now: float, ticket: Ticket, retry_after: float | None) -> None:
        """As `Rule.refused`."""
        self.level = max(1.0, self.level - max(1.0, log10(self.level)))


class Gradient2(Rule):
    """The long mean of the delay over the latest. As published it sees no refusals but by the
    latency; a 429 counts here as in AIMD, since without it nothing would ever stop the growth.
    """

    def __init__(self, ceiling: int) -> None:
        super().__init__("Gradient2", 20, ceiling)
        self._long_seconds = 0.0
        self._count = 0

    def answered(self, now: float, ticket: Ticket, seconds: float) -> None:
        """As `Rule.answered`."""
        self._count += 1
        share = max(1 / self._count, 2 / 601)
        self._long_seconds += share * (seconds - self._long_seconds)
        if self._long_seconds > 2 * seconds:
            self._long_seconds *= 0.9
        if self.in_flight < self.level / 2:
            return
        gradient = max(0.5, min(1.0, self._long_seconds / seconds))
        level = 0.8 * self.level + 0.2 * (self.level * gradient + 4)
        self.level = max(1.0, min(level, self.ceiling))

    def refused(self, now: float, ticket: Ticket, retry_after: float | None) -> None:
        """As `Rule.refused`."""
        self.level = max(1.0, self.level * 0.9)


class DataDesigner(Rule):
    """From the ceiling down, and slowly up again."""

    def __init__(self, ceiling: int) -> None:
        super().__init__("DataDesigner", ceiling, ceiling)
        self._streak = 0

    def ended(self, now: float) -> None:
        """As `Rule.ended`."""
        if now < self.cool_until:
            return
        self._streak += 1
        if self._streak >= 25:
            self._streak = 0
            self.level = min(self.level + 1, self.ceiling)

    def refused(self, now: float, ticket: Ticket, retry_after: float | None) -> None:
        """As `Rule.refused`."""
        self.cool_until = now + (retry_after or 2.0)
        self._streak = 0
        if ticket.limit <= self.limit:  # not one that started before an earlier cut
            self.level = max(1.0, int(self.level * 0.75))


RULES: dict[str, Callable[[int], Rule]] = {
    "AIMD": Aimd,
    "Vegas": Vegas,
    "Gradient2": Gradient2,
    "DataDesigner": DataDesigner,
}
