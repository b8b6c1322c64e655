"""How many calls a lane may have in flight: found out, since few providers say. Pure: the time is a parameter.

- Starts low and grows by one for each call that the server took up while the limit was what held us back.
- Only 429 shrinks it, to what the server is still serving; the level that drew the 429 is remembered, and after that
  the limit grows by one a round below it and tries it again rarely.
- 5xx holds it: each takes back the growth that the next few calls would have brought.
- A server that queues instead of saying 429 (vLLM, SGLang) betrays itself by a rising time to the first token: the
  limit shrinks by a tenth until the queue is gone (the idea of TCP Vegas: Brakmo and Peterson 1995).
"""

from collections import deque
from dataclasses import dataclass
from math import inf
from statistics import median

START = 8  # calls in flight before anything is known
SETTLED_SECONDS = 3.0  # a call that lives so long was taken up: refusals come at once
FAULT_DEBT = 4  # calls taken up that bring no growth for each 5xx: none at all when one call in five fails
PROBE_SECONDS, PROBE_SECONDS_MAX = 60.0, 900.0  # between two tries of the level that drew a 429
CUT_AGAIN = 0.85  # when refusals follow each other and none is taken up in between
BASE_SECONDS = 600.0  # how far back the undisturbed time to the first token is looked for
QUEUE_FACTOR, QUEUE_SECONDS = 3.0, 1.0  # first tokens later than 3 x usual + 1 s mean a queue
QUEUE_CUT = 0.9
UNBOUNDED = 4096  # the ceiling where none is set


@dataclass(slots=True)
class Flight:
    """One call, from its start."""

    started_at: float
    level: int  # calls in flight, this one included, when it started
    round: int  # of the limit's life; a new one begins at each shrink
    answered: bool = False  # its first token came
    settled: bool = False  # taken up, as far as can be told: answered, or not refused for some seconds; or over


class Concurrency:
    """The limit of calls in flight of one account."""

    def __init__(self, ceiling: int) -> None:
        self.set_ceiling(ceiling)
        self.in_flight = 0
        self.refused_level: int | None = None  # the lowest level known to draw a 429
        self._limit = float(min(START, self.ceiling))
        self._round = 0
        self._taken_up_in_round = 0
        self._debt = 0  # of growth, to 5xx
        self._drains_until = -inf  # a queue is given so long to show the effect of a smaller limit
        self._probe_at = -inf
        self._probe_seconds = PROBE_SECONDS
        self._step = 1
        self._fresh: deque[Flight] = deque()  # those that may still be refused, oldest first
        self._carried: deque[tuple[float, int]] = deque()  # (when, level) that the server took up, highest first
        self.delays = FirstTokenDelays()

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

    def start(self, now: float) -> Flight:
        self.in_flight += 1
        flight = Flight(now, self.in_flight, self._round)
        self._fresh.append(flight)
        return flight

    def unsettled(self, now: float) -> int:
        """Calls that may still be refused."""
        while self._fresh and (self._fresh[0].settled or now - self._fresh[0].started_at >= SETTLED_SECONDS):
            flight = self._fresh.popleft()
            if not flight.settled:
                self._settle(now, flight)
        return sum(not flight.settled for flight in self._fresh)

    def first_token(self, now: float, flight: Flight) -> None:
        """The server took the call up and answers it."""
        if flight.answered:
            return
        flight.answered = True
        self._settle(now, flight)
        self.delays.add(now, now - flight.started_at)
        if self.delays.queueing:
            self._drain_queue(now)
        elif self._debt:
            self._debt -= 1
        elif self.in_flight + 1 >= self.limit and now >= self._drains_until:  # the limit is what holds us back
            self._grow(now, flight)

    def end(self, now: float, flight: Flight) -> None:
        """The call is over, however it went."""
        self.in_flight -= 1
        flight.settled = True

    def fault(self) -> None:
        """A 5xx: not the moment to grow."""
        self._debt = min(self._debt + FAULT_DEBT, max(self.limit, START))

    def refuse(self, now: float, flight: Flight) -> bool:
        """A 429, its call already ended. True: too many in flight, and the limit shrinks. False: too many a minute.

        A 429 far below a level that the server carried a moment ago says nothing about that level.
        """
        others = self.in_flight
        if others < self._carried_lately(now) / 2:
            return False
        if flight.round == self._round:
            again = self._taken_up_in_round == 0 and self._round > 0
            self._round += 1
            self._taken_up_in_round = 0
            self._limit = min(self._limit, others * (CUT_AGAIN if again else 1.0))
            if self.refused_level is not None and flight.level >= self.refused_level:
                self._probe_seconds = min(2 * self._probe_seconds, PROBE_SECONDS_MAX)
        self._limit = max(1.0, min(self._limit, others))
        self.refused_level = others + 1
        self._step = 1
        self._probe_at = now + self._probe_seconds
        return True

    def announce(self, level: int) -> None:
        """The server named its limit of calls in flight."""
        self.refused_level = level + 1
        self._limit = float(min(max(self._limit, START), level))
        self._probe_at = inf

    def _drain_queue(self, now: float) -> None:
        if now >= self._drains_until and self.refused_level is None:
            self._limit = max(1.0, min(self._limit, self.in_flight) * QUEUE_CUT)
            self._drains_until = now + max(2 * self.delays.recent, 1.0)

    def _settle(self, now: float, flight: Flight) -> None:
        if not flight.settled:
            flight.settled = True
            self._taken_up_in_round += flight.round == self._round
            self._remember_carried(now, flight.level)

    def _grow(self, now: float, flight: Flight) -> None:
        known = self.refused_level
        if known is None:
            self._limit = min(self._limit + 1, self.ceiling)
        elif flight.level >= known:  # the level that once drew a 429 was carried: the server has more room now
            self.refused_level = known + self._step
            self._step *= 2
            self._probe_seconds = PROBE_SECONDS
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
        while self._carried and self._carried[0][0] < now - 300:
            self._carried.popleft()
        return self._carried[0][1] if self._carried else 0


class FirstTokenDelays:
    """The time to the first token: what it is lately against what it is without a queue."""

    def __init__(self) -> None:
        self.recent = 0.0  # seconds, median of the last calls
        self._last: deque[float] = deque(maxlen=15)
        self._lows: deque[tuple[float, float]] = deque()  # (when, median), rising: the minimum of a sliding window

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

    @property
    def queueing(self) -> bool:
        return bool(self._lows) and self.recent > QUEUE_FACTOR * self._lows[0][1] + QUEUE_SECONDS
