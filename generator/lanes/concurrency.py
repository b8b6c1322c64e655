"""How many calls a lane may have in flight: found out, since few providers say. Pure: the time is a
parameter.

- The limit starts low and grows by two for each call that the server took up while the limit is
  used: calls live long
  and tell of room only once, so the number in flight doubles with each first-token time. Starts above what was ever
  carried keep a small distance, so that few are on their way when the first 429 comes.
- Only congestion shrinks it, to what the server is still serving: a 429; or, at servers that queue
  and never say 429
  (vLLM, SGLang), a rising time to the first token (the idea of TCP Vegas: Brakmo and Peterson 1995).
- The level that congested is remembered. From then on the limit grows by one a round below it and
  tries it rarely.
- A single 429 is chance, or a call whose end the server has not noticed yet: three in a row are
  needed to shrink the
  limit, five at a level that was just carried, one at the level that is known to congest. "In a row" goes by the
  order of the starts, among calls at that level or above: refusals come sooner than first tokens, so by the order of
  arrival ten chance 429 look like a row of ten.
- 5xx holds it: each takes back the growth that the next few calls would have brought.
"""

from collections import deque
from dataclasses import dataclass
from itertools import dropwhile, islice
from math import inf
from statistics import median

from generator.config import UNBOUNDED

START = 8  # calls in flight before anything is known
GROWTH = 2  # for each call taken up, while no level that congests is known
APART_SECONDS = 0.005  # between starts above the highest level carried so far
LATE_SECONDS = 0.05  # a busy client makes up for so much of that
SETTLED_SECONDS = 3.0  # a call that lives so long was taken up: refusals come at once
CARRIED_SECONDS = 300.0  # how long a level that was carried counts as proof
FAULT_DEBT = (
    4  # calls taken up that bring no growth for each 5xx: none at all when one call in five fails
)
# Before the level that congested is tried again; doubled when it does so again, a quarter when it
# does not: what came by chance is soon forgotten, a real limit is left in peace.
REFUSED_SECONDS, QUEUED_SECONDS, PROBE_SECONDS_MAX = 5.0, 15.0, 900.0
FORGET_STEP = 8  # a level that drew a 429 is forgotten when it could be raised by so much
ROW, ROW_CARRIED = (
    3,
    5,
)  # so many 429 in a row mean a limit: at a new level; at one that was just carried
LATEST, BELOW_MAX = (
    4096,
    64,
)  # starts that are remembered for this; those below the level that a row may have in it
CUT_AGAIN = 0.85  # when a row goes on after the limit shrank
BASE_SECONDS = 1800.0  # how far back the undisturbed time to the first token is looked for
QUEUE_FACTOR, QUEUE_SECONDS = 3.0, 5.0  # first tokens later than 3 x usual + 5 s mean a queue
# of what is served: so many calls may queue, to keep the server busy; and the first step upwards
QUEUE_SPARE = 0.05


@dataclass(eq=False, slots=True)
class Flight:
    """One call, from its start."""

    started_at: float
    # calls in flight when it started, itself included, less those of them that were refused later
    level: int
    round: int  # of the limit's life; a new one begins at each shrink
    answered: bool = False  # its first token came
    settled: bool = (
        False  # taken up, as far as can be told: answered, or not refused for some seconds; or over
    )
    refused: bool = False  # a 429


class Concurrency:
    """The limit of calls in flight of one account."""

    def __init__(self, ceiling: int) -> None:
        self.set_ceiling(ceiling)
        self.in_flight = 0
        self.delays = FirstTokenDelays()
        self._carried: deque[tuple[float, int]] = (
            deque()
        )  # (when, level) that the server took up, highest first
        self._fresh: deque[Flight] = (
            deque()
        )  # those that may still be refused, oldest first, and some that may not
        self._latest: deque[Flight] = deque(maxlen=LATEST)  # by their start
        self._unsettled = 0  # those that may still be refused
        self._unanswered: dict[Flight, None] = {}  # oldest first
        self._round = 0
        self._apart_at = -inf  # when the next call above the highest level may start
        self.begin()

    def begin(self) -> None:
        """Know nothing (any more): after an outage the server may be another one."""
        self._limit = float(min(START, self.ceiling))
        self.congested_level: int | None = None  # the lowest level known to draw a 429 or a queue
        self._highest = 0  # level carried so far
        self._debt = 0  # of growth, to 5xx
        self._probe_at = -inf
        self._probe_seconds = self._least_probe_seconds = REFUSED_SECONDS
        self._step = 1
        self._refused_at = -inf
        self.limit_met = False  # the last 429 was one of a row
        self._carried.clear()
        self._latest.clear()

    def set_ceiling(self, ceiling: int) -> None:
        """Takes effect at once; calls above a lower ceiling are let finish."""
        self.ceiling = ceiling or UNBOUNDED

    @property
    def limit(self) -> int:
        """Calls that may be in flight now."""
        return max(1, min(int(self._limit), self.ceiling))

    @property
    def full(self) -> bool:
        return self.in_flight >= self.limit

    def ready_at(self) -> float:
        """When the next call may start, `full` aside (in the past: now)."""
        return self._apart_at if self._is_growing() else -inf

    def _is_growing(self) -> bool:
        return self.congested_level is None and self.in_flight >= max(self._highest, START)

    def start(self, now: float) -> Flight:
        if self._is_growing():
            self._apart_at = max(self._apart_at, now - LATE_SECONDS) + APART_SECONDS
        self.in_flight += 1
        flight = Flight(now, self.in_flight, self._round)
        self._unsettled += 1
        self._fresh.append(flight)
        self._latest.append(flight)
        self._unanswered[flight] = None
        return flight

    def unsettled(self, now: float) -> int:
        """Calls that may still be refused."""
        while self._fresh and (
            self._fresh[0].settled or now - self._fresh[0].started_at >= SETTLED_SECONDS
        ):
            self._settle(now, self._fresh.popleft())
        return self._unsettled

    def first_token(self, now: float, flight: Flight) -> None:
        """The server took the call up and answers it."""
        if flight.answered:
            return
        flight.answered = True
        del self._unanswered[flight]
        self._settle(now, flight)
        if flight.round == self._round:  # those from before a shrink tell of a queue that is known
            self.delays.add(now, now - flight.started_at)
        self.unsettled(now)
        if self._queueing(now):
            self._shrink_to_served(now, flight)
        elif self._debt:
            self._debt -= 1
        elif 2 * self.in_flight >= self.limit:  # what is allowed is used
            self._grow(now, flight)

    def end(self, now: float, flight: Flight) -> None:
        """The call is over, however it went."""
        self.in_flight -= 1
        self._unsettled -= not flight.settled
        flight.settled = True
        self._unanswered.pop(flight, None)

    def fault(self) -> None:
        """A 5xx: not the moment to grow."""
        self._debt = min(self._debt + FAULT_DEBT, max(self.limit, START))

    def refuse(self, now: float, flight: Flight) -> bool:
        """A 429, its call already ended. True: a matter of the number in flight, if of any. False:
        not of that.

        `limit_met` says afterwards whether it was one of a row; the limit shrinks only then. A 429
        far below a level that the server carried a moment ago says nothing about that level.
        """
        flight.refused = True
        for later in self._fresh:
            later.level -= later.started_at >= flight.started_at and not later.settled
        others, carried = self.in_flight, self._carried_lately(now)
        anew = flight.started_at > self._refused_at  # not on its way when the last 429 came
        self._refused_at = now if anew else self._refused_at
        low = others < carried / 2
        needed = self._needed(flight, carried)
        row = self._row(flight, 0 if low else flight.level)
        self.limit_met = row >= needed
        if self.limit_met and not low:
            cut = CUT_AGAIN if anew and row > needed > 1 else 1.0
            self._congest(now, flight, max(1, int(others * cut)), REFUSED_SECONDS)
        return not low

    def _needed(self, flight: Flight, carried: int) -> int:
        """So many 429 in a row mean a limit at the flight's level."""
        if self.congested_level is not None and flight.level >= self.congested_level:
            return 1
        return ROW_CARRIED if flight.level <= carried else ROW

    def _row(self, flight: Flight, level: int) -> int:
        """How many starts up to this one, among those at `level` or above, were refused without one
        in between that was not, or not yet.
        """
        length = below = 0
        up_to_this = dropwhile(lambda other: other is not flight, reversed(self._latest))
        for other in up_to_this:
            if other.level < level:
                below += 1
            elif other.refused:
                length += 1
            else:
                break
            if below > BELOW_MAX or length > ROW_CARRIED:
                break
        return length

    def announce(self, level: int) -> None:
        """The server named its limit of calls in flight."""
        self.congested_level = level + 1
        self._limit = float(min(max(self._limit, START), level))
        self._probe_at = inf

    def _queueing(self, now: float) -> bool:
        """Whether first tokens come late, or are overdue for several calls."""
        if self.in_flight < START or not self.delays.known:
            return False
        patience = self.delays.patience
        several = max(3, int(0.05 * self.in_flight))
        overdue = next(islice(self._unanswered, several - 1, None), None)
        waits = (
            overdue is not None
            and overdue.round == self._round
            and now - overdue.started_at > patience
        )
        return waits or self.delays.recent > patience

    def _shrink_to_served(self, now: float, flight: Flight) -> None:
        served = self.in_flight - len(self._unanswered)
        level = max(START, int(served * (1 + QUEUE_SPARE)))
        if level < self._limit:
            self._congest(now, flight, level, QUEUED_SECONDS)
            self._step = max(
                1, int(level * QUEUE_SPARE)
            )  # trying costs no call here, only a short queue
            self.delays.forget_recent()

    def _congest(
        self, now: float, flight: Flight, carried: int, least_probe_seconds: float
    ) -> None:
        """The flight's level was too much, `carried` is not."""
        if flight.round == self._round:  # the first to say so since the last shrink
            self._round += 1
            self._least_probe_seconds = least_probe_seconds
            again = self.congested_level is not None and flight.level >= self.congested_level
            longer = (
                min(2 * self._probe_seconds, PROBE_SECONDS_MAX) if again else self._probe_seconds
            )
            self._probe_seconds = max(longer, least_probe_seconds)
        self._limit = max(1.0, min(self._limit, carried))
        self.congested_level = carried + 1
        self._step = 1
        self._probe_at = now + self._probe_seconds

    def _settle(self, now: float, flight: Flight) -> None:
        if not flight.settled:
            flight.settled = True
            self._unsettled -= 1
            self._remember_carried(now, flight.level)
            self._highest = max(self._highest, flight.level)

    def _grow(self, now: float, flight: Flight) -> None:
        known = self.congested_level
        if known is None:
            self._limit = min(self._limit + GROWTH, self.ceiling)
        elif (
            flight.level >= known
        ):  # the level that once congested was carried: the server has more room now
            forget = self._step >= FORGET_STEP and self._least_probe_seconds == REFUSED_SECONDS
            self.congested_level = None if forget else known + self._step
            self._step *= 2
            self._probe_seconds = max(self._probe_seconds / 4, self._least_probe_seconds)
            self._probe_at = now + self._probe_seconds
            self._limit = min(self._limit + 1, self.ceiling)
        elif self._limit < known - 1:
            gain = 1.0 if self._limit < 0.8 * known else 1.0 / self._limit
            self._limit = min(self._limit + gain, known - 1, self.ceiling)
        elif now >= self._probe_at:
            self._probe_at = now + self._probe_seconds
            self._limit = min(float(known), self.ceiling)

    def _remember_carried(self, now: float, level: int) -> None:
        while self._carried and self._carried[-1][1] <= level:
            self._carried.pop()
        self._carried.append((now, level))

    def _carried_lately(self, now: float) -> int:
        while self._carried and self._carried[0][0] < now - CARRIED_SECONDS:
            self._carried.popleft()
        return self._carried[0][1] if self._carried else 0


class FirstTokenDelays:
    """The time to the first token: what it is lately against what it is without a queue."""

    def __init__(self) -> None:
        self.recent = 0.0  # seconds, median of the last calls
        self._last: deque[float] = deque(maxlen=15)
        self._lows: deque[tuple[float, float]] = (
            deque()
        )  # (when, median), rising: the minimum of a sliding window

    def add(self, now: float, seconds: float) -> None:
        self._last.append(seconds)
        if len(self._last) < 5:
            return
        self.recent = median(self._last)
        while self._lows and self._lows[-1][1] >= self.recent:
            self._lows.pop()
        self._lows.append((now, self.recent))
        while self._lows[0][0] < now - BASE_SECONDS:
            self._lows.popleft()

    def forget_recent(self) -> None:
        """What was measured in a queue says nothing about the time after it."""
        self._last.clear()
        self.recent = 0.0

    @property
    def known(self) -> bool:
        return bool(self._lows)

    @property
    def patience(self) -> float:
        """Seconds after which a first token is late."""
        return QUEUE_FACTOR * self._lows[0][1] + QUEUE_SECONDS
