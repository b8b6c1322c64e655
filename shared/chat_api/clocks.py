"""The time of one call: what it takes, and when it is given up."""

import asyncio
import time
from dataclasses import dataclass

# A short answer ends promptly, a long one is cheap: the pause after a block grows with the age of
# the stream.
_PAUSE_SECONDS = 0.1
_PAUSE_GROWTH = 0.05  # for each second of age
_PAUSE_SECONDS_MAX = 0.2  # with what the loop is late, no token waits for a quarter of a second
_SLACK_SECONDS = 1.0  # of a stall, which is some minutes


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

    def start(self, timeout: asyncio.Timeout) -> None:
        """The request goes out; `timeout` is what ends the call where no token comes in time."""
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        total = self._clocks.total
        self._ends = self._loop.time() + total if total else float("inf")
        self.allow(self._clocks.first_token)

    def allow(self, seconds: float) -> None:
        """Give the call up in so many seconds, and earlier where the total is up; 0: only then."""
        moment = self._ends
        if seconds:
            moment = min(moment, self._loop.time() + seconds)
        self._moment = moment
        self._timeout.reschedule(None if moment == float("inf") else moment)

    def allow_more(self, seconds: float) -> None:
        """As `allow`, or up to a second longer: so a stream sets its timer once a second, and not
        with each block.
        """
        slack = min(_SLACK_SECONDS, seconds / 20)
        earliest = self._loop.time() + seconds
        if not seconds or not earliest <= self._moment <= earliest + slack:
            self.allow(seconds + slack)

    def take_tokens(self) -> None:
        """Tokens came."""
        if self.first_token_seconds is None:
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
        return min(_PAUSE_SECONDS + _PAUSE_GROWTH * self.elapsed, _PAUSE_SECONDS_MAX)
