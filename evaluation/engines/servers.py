"""Which of several servers is asked next: the one with the least in flight that has not just failed.

A server that failed rests, longer each time; then it is given one call to show that it is back. It
rests only where another can be asked meanwhile: a call never waits here. Pure but for the count of
calls in flight: time is a parameter.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from evaluation.engines.request import RequestFields
from shared.chat_api import ChatClient

_FIRST_REST_SECONDS = 1.0
_LONGEST_REST_SECONDS = 60.0


@dataclass(slots=True, eq=False)
class Server:
    """One of the addresses that serve the model, what it is asked, and how it does."""

    base_url: str
    client: ChatClient
    fields: RequestFields
    in_flight: int = 0
    failures: int = 0  # in a row
    rests_until: float = 0.0  # seconds, on the clock of the caller

    @contextmanager
    def call(self) -> Iterator[None]:
        """Inside, one more call is in flight."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    def answered(self) -> None:
        """It answered: it is well."""
        self.failures = 0
        self.rests_until = 0.0

    def failed(self, now: float) -> None:
        """It did not answer. Calls that were in flight together fail together: they count once."""
        if now < self.rests_until:
            return
        self.failures += 1
        seconds = _FIRST_REST_SECONDS * 2 ** min(self.failures - 1, 10)
        self.rests_until = now + min(seconds, _LONGEST_REST_SECONDS)

    def rest(self, now: float, seconds: float) -> None:
        """It says that it is busy."""
        self.rests_until = max(self.rests_until, now + seconds)

    def is_free(self, now: float) -> bool:
        """Whether it may be asked: it does not rest, and if it failed, nobody else is trying it."""
        is_being_tried = self.failures > 0 and self.in_flight > 0
        return now >= self.rests_until and not is_being_tried


def next_server(servers: Sequence[Server], now: float, tried: Collection[Server]) -> Server:
    """The server to ask: one that is free and not among the `tried`, if there is any; then by the
    calls in flight.
    """

    def preference(server: Server) -> tuple[bool, bool, int]:
        return server in tried, not server.is_free(now), server.in_flight

    return min(servers, key=preference)
