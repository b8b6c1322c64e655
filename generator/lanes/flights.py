"""Calls in flight, from their start until the server took them up or refused them. Pure: the time
is a parameter.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import dropwhile, islice

SETTLED_SECONDS = 3.0  # a call that lives so long was taken up: refusals come at once
CARRIED_SECONDS = 300.0  # how long a level that was carried counts as proof
LATEST = 4096  # starts that are remembered to tell a row of refusals
BELOW_MAX = 64  # starts below the level that a row may have in it


@dataclass(eq=False, slots=True)
class Flight:
    """One call, from its start."""

    started_at: float
    # calls in flight when it started, itself included, less those of them that were refused later
    level: int
    round: int  # of the limit's life; a new one begins at each shrink
    answered: bool = False  # its first token came
    # taken up, as far as can be told: answered, or not refused for some seconds; or over
    settled: bool = False
    refused: bool = False  # a 429


class Flights:
    """The calls that may still be refused, those that wait for a first token, and the latest
    starts.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self.highest_level = 0  # carried so far
        # (when, level) that the server took up, highest first
        self._carried: deque[tuple[float, int]] = deque()
        # those that may still be refused, oldest first, and some that may not
        self._fresh: deque[Flight] = deque()
        self._latest: deque[Flight] = deque(maxlen=LATEST)  # by their start
        self._unsettled = 0  # those that may still be refused
        self._unanswered: dict[Flight, None] = {}  # oldest first

    def forget(self) -> None:
        """After an outage the server may be another one: what it carried tells nothing."""
        self.highest_level = 0
        self._carried.clear()
        self._latest.clear()

    def start(self, now: float, round_: int) -> Flight:
        """A call starts."""
        self.in_flight += 1
        flight = Flight(now, self.in_flight, round_)
        self._unsettled += 1
        self._fresh.append(flight)
        self._latest.append(flight)
        self._unanswered[flight] = None
        return flight

    def answer(self, now: float, flight: Flight) -> None:
        """Its first token came: the server took it up."""
        flight.answered = True
        del self._unanswered[flight]
        self._settle(now, flight)

    def end(self, flight: Flight) -> None:
        """It is over, however it went."""
        self.in_flight -= 1
        if not flight.settled:
            self._unsettled -= 1
            flight.settled = True
        self._unanswered.pop(flight, None)

    def refuse(self, flight: Flight) -> None:
        """It drew a 429: those that started after it were not so many, as far as they are still
        open.
        """
        flight.refused = True
        for later in self._fresh:
            if later.started_at >= flight.started_at and not later.settled:
                later.level -= 1

    def unsettled(self, now: float) -> int:
        """Calls that may still be refused."""
        while self._fresh and _is_settled(self._fresh[0], now):
            self._settle(now, self._fresh.popleft())
        return self._unsettled

    @property
    def served(self) -> int:
        """Calls in flight whose first token came."""
        return self.in_flight - len(self._unanswered)

    def unanswered(self, index: int) -> Flight | None:
        """The one that has waited for a first token longest, at `index` 0, and those after it."""
        return next(islice(self._unanswered, index, None), None)

    def carried_lately(self, now: float) -> int:
        """The highest level that the server took up in the last minutes."""
        while self._carried and self._carried[0][0] < now - CARRIED_SECONDS:
            self._carried.popleft()
        return self._carried[0][1] if self._carried else 0

    def row(self, flight: Flight, level: int, longest: int) -> int:
        """How many starts up to this one, among those at `level` or above, were refused without one
        in between that was not, or not yet. Counts little further than `longest`.

        By the order of the starts, not of the arrivals: refusals come sooner than first tokens, so
        that ten chance 429 would look like a row of ten.
        """
        length = 0
        below = 0
        for start in self._back_from(flight):
            if start.level < level:
                below += 1
            elif start.refused:
                length += 1
            else:
                break
            if below > BELOW_MAX or length > longest:
                break
        return length

    def _back_from(self, flight: Flight) -> Iterator[Flight]:
        return dropwhile(lambda start: start is not flight, reversed(self._latest))

    def _settle(self, now: float, flight: Flight) -> None:
        if flight.settled:
            return
        flight.settled = True
        self._unsettled -= 1
        self.highest_level = max(self.highest_level, flight.level)
        # A deque of falling levels: the first is the maximum of a sliding window.
        while self._carried and self._carried[-1][1] <= flight.level:
            self._carried.pop()
        self._carried.append((now, flight.level))


def _is_settled(flight: Flight, now: float) -> bool:
    return flight.settled or now - flight.started_at >= SETTLED_SECONDS
