"""The time of one call: what it takes, and when it is given up."""

import asyncio
import time
from dataclasses import dataclass

# A short answer ends promptly, a long one is cheap: the pause after a block grows with the age of
# the stream.
_PAUSE_SECONDS = 0.1
_PAUSE_GROWTH = 0.05  # for each second of age
# With a slot of the pauses and what the loop is late, 99 of 100 tokens of 5,000 streams wait for
# less than a quarter of a second.
_PAUSE_SECONDS_MAX = 0.235
_SLACK_SHARE = 0.05  # of a stall, which is some minutes: so much later it may be told


@dataclass(frozen=True, slots=True)
class Clocks:
    """Seconds; 0 is no limit. Comments and blank lines reset none of them."""

    connect: float = 10
    first_token: float = 600  # from sending the request
    stall: float = 120  # longest gap between tokens
    total: float = 3600


class CallTimer:
    """When one call was sent, when its first token came, and when it is given up."""

    def __init__(self, clocks: Clocks) -> None:
        self._clocks = clocks
        self._started = time.monotonic()
        self.first_token_seconds: float | None = None  # after the start
        self._pause = 0.0
        self._fresh_until = 0.0  # until then the timer that `allow_more` set need not move

    def start(self, timeout: asyncio.Timeout) -> None:
        """The request goes out; `timeout` is what ends the call where no token comes in time."""
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        total = self._clocks.total
        self._ends = self._loop.time() + total if total else float("inf")
        self.allow(self._clocks.first_token)

    def allow(self, seconds: float) -> None:
        """Give the call up in so many seconds, and earlier where the total is up; 0: only then."""
        self._fresh_until = 0.0
        moment = self._ends
        if seconds:
            moment = min(moment, self._loop.time() + seconds)
        self._timeout.reschedule(None if moment == float("inf") else moment)

    def allow_more(self, seconds: float) -> None:
        """As `allow`, or up to a twentieth longer: so a stream sets its timer every few seconds, and
        not with each block.
        """
        now = self._loop.time()
        if now <= self._fresh_until:
            return
        slack = _SLACK_SHARE * seconds
        self.allow(seconds + slack)
        self._fresh_until = now + slack

    def note_first_tokens(self) -> None:
        """The first tokens came."""
        self.first_token_seconds = self.elapsed

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    @property
    def total_is_up(self) -> bool:
        """Whether the call has taken all the time that it may."""
        return self._clocks.total > 0 and self.elapsed >= self._clocks.total - 0.001

    @property
    def pause(self) -> float:
        """Seconds for which a stream of this age is left alone after a block."""
        if self._pause < _PAUSE_SECONDS_MAX:  # no clock is looked at once it is the longest
            self._pause = min(_PAUSE_SECONDS + _PAUSE_GROWTH * self.elapsed, _PAUSE_SECONDS_MAX)
        return self._pause
