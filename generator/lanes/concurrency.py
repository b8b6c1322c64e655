"""How many calls a lane may have in flight: found out, since few providers say. Pure: the time is a
parameter.

- The limit starts low and grows by two for each call that the server took up while the limit is
  used: calls live long and tell of room only once, so the number in flight doubles with each
  first-token time. Starts above what was ever carried keep a small distance, so that few are on
  their way when the first 429 comes.
- Only congestion shrinks it, to what the server is still serving: a 429; or, at servers that queue
  and never say 429 (vLLM, SGLang), a rising time to the first token (the idea of TCP Vegas: Brakmo
  and Peterson 1995).
- The level that congested is remembered. Below it the limit comes back quickly; the level itself is
  tried again after so many calls that the tries cost one in eighty.
- A 429 at a level that was just carried, again after a pause and with nothing let in between, is a
  matter of the pace, not of the number in flight.
- A single 429 is chance, or a call whose end the server has not noticed yet: three in a row are
  needed to shrink the limit, five at a level that was just carried, one at the level that is known
  to congest. "In a row" goes by the order of the starts (`Flights.row`).
- 5xx holds it: each takes back the growth that the next few calls would have brought.
"""

from math import inf
from typing import Literal

from generator.config import UNBOUNDED
from generator.lanes.first_token_delays import FirstTokenDelays
from generator.lanes.flights import Flight, Flights

START = 8  # calls in flight before anything is known
GROWTH = 2  # for each call taken up, while no level that congests is known
# Between starts above the highest level carried so far: a share of that level, few at a time
APART_SECONDS = 0.6
LEAST_APART_SECONDS = 0.005
LATE_SECONDS = 0.05  # a busy client makes up for so much of that
# calls taken up that bring no growth for each 5xx: none at all when one call in five fails
FAULT_DEBT = 4
# Before the level that congested is tried again: calls taken up, so that the tries cost one call in
# so many, whatever the limit is; and seconds, the fewer after one that went well.
CALLS_A_REFUSAL = 80
CARRIED_AGAIN_SECONDS = 2.0
REFUSED_SECONDS = 5.0
QUEUED_SECONDS = 15.0
FORGET_STEP = 8  # a level that drew a 429 is forgotten when it could be raised by so much
NEAR_CALLS = 16  # calls that bring the limit most of the way back to just below that level
# so many 429 in a row mean a limit: at a new level; at one that was just carried
ROW = 3
ROW_CARRIED = 5
CUT_AGAIN = 0.85  # when a row goes on after the limit shrank
# of what is served: so many calls may queue, to keep the server busy; and the first step upwards
QUEUE_SPARE = 0.05
# so many overdue first tokens mean a queue: of those in flight, and at least
OVERDUE_SHARE = 0.05
OVERDUE_LEAST = 3
# a level that was found so short a time before the pace was blamed is not believed
PARDON_SECONDS = 90.0
LOW_SHARE = 1 / 8  # of the level carried lately: no server lowers its limit so far

# What a 429 means: nothing, that the level known to congest still does, that the number in flight
# is too high, or that calls start too fast.
Verdict = Literal["chance", "probe", "in flight", "pace"]


class Concurrency:
    """The limit of calls in flight of one account."""

    def __init__(self, ceiling: int) -> None:
        self.set_ceiling(ceiling)
        self.delays = FirstTokenDelays()
        self._flights = Flights()
        self._round = 0  # of the limit's life: what started before a shrink tells of what is known
        self._apart_at = -inf  # when the next call above the highest level may start
        self.begin()

    def begin(self) -> None:
        """Know nothing (any more): after an outage the server may be another one."""
        self._limit = float(min(START, self.ceiling))
        self.congested_level: int | None = None  # the lowest level known to draw a 429 or a queue
        self._debt = 0  # of growth, to 5xx
        self._probe_at = -inf  # not before this moment,
        self._calls_to_probe = 0  # and so many calls
        self._is_queue = False  # the level is known by a queue, not by a 429
        self._step = 1
        self._refused_at = -inf
        self._congested_at = -inf
        self._flights.forget()

    def set_ceiling(self, ceiling: int) -> None:
        """Takes effect at once; calls above a lower ceiling are let finish. 0: none is set."""
        self.ceiling = ceiling or UNBOUNDED

    @property
    def in_flight(self) -> int:
        """Calls."""
        return self._flights.in_flight

    @property
    def limit(self) -> int:
        """Calls that may be in flight now."""
        return max(1, min(int(self._limit), self.ceiling))

    @property
    def full(self) -> bool:
        """Whether no further call may start now."""
        return self.in_flight >= self.limit

    def ready_at(self) -> float:
        """When the next call may start, `full` aside (in the past: now)."""
        return self._apart_at if self._is_growing() else -inf

    def _is_growing(self) -> bool:
        return self.congested_level is None and self.in_flight >= max(
            self._flights.highest_level, START
        )

    def start(self, now: float) -> Flight:
        """A call starts."""
        if self._is_growing():
            apart = max(APART_SECONDS / max(1, self.in_flight), LEAST_APART_SECONDS)
            self._apart_at = max(self._apart_at, now - LATE_SECONDS) + apart
        return self._flights.start(now, self._round)

    def unsettled(self, now: float) -> int:
        """Calls that may still be refused."""
        return self._flights.unsettled(now)

    def first_token(self, now: float, flight: Flight) -> None:
        """The server took the call up and answers it."""
        if flight.answered:
            return
        self._flights.answer(now, flight)
        if flight.round == self._round:  # those from before a shrink tell of a queue that is known
            self.delays.add(now, now - flight.started_at)
        self._flights.unsettled(now)
        self._calls_to_probe -= 1
        if self._is_queueing(now):
            self._shrink_to_served(now, flight)
        elif self._debt:
            self._debt -= 1
        elif 2 * self.in_flight >= self.limit:  # what is allowed is used
            self._grow(now, flight)

    def end(self, flight: Flight) -> None:
        """The call is over, however it went."""
        self._flights.end(flight)

    def fault(self) -> None:
        """A 5xx: not the moment to grow."""
        self._debt = min(self._debt + FAULT_DEBT, max(self.limit, START))

    def announce(self, level: int) -> None:
        """The server named its limit of calls in flight."""
        self.congested_level = level + 1
        self._limit = float(min(max(self._limit, START), level))
        self._probe_at = inf

    # Refusals

    def refuse(self, now: float, flight: Flight, too_fast: bool) -> Verdict:
        """A 429, its call already ended. `too_fast`: a limit a minute may explain it.

        The limit shrinks where it is a matter of the number in flight. A 429 at a level that the
        server carried a moment ago, in a minute that is full, is none; nor is one far below it.
        """
        self._flights.refuse(flight)
        calls_served = self.in_flight
        carried_level = self._flights.carried_lately(now)
        is_new = flight.started_at > self._refused_at  # not on its way when the last 429 came
        if is_new:
            self._refused_at = now
        is_low = calls_served < max(START / 2, LOW_SHARE * carried_level)
        is_pace = (too_fast or is_low) and flight.level <= carried_level
        needed = self._needed_row(flight, carried_level)
        row = self._flights.row(flight, 0 if is_pace else flight.level, ROW_CARRIED)
        if row < needed:
            return "chance"
        if is_pace:
            self._pardon(now)
            return "pace"
        # A row that goes on among calls that started after the cut: it was not deep enough.
        cut = CUT_AGAIN if is_new and row > needed > 1 else 1.0
        self._congest(now, flight, max(1, int(calls_served * cut)), is_queue=False)
        return "probe" if needed == 1 else "in flight"

    def _pardon(self, now: float) -> None:
        """What was just put down to the number in flight was the pace."""
        if self.congested_level is not None and now < self._congested_at + PARDON_SECONDS:
            self.congested_level = None

    def _needed_row(self, flight: Flight, carried_level: int) -> int:
        """So many 429 in a row mean a limit at the flight's level."""
        if self.congested_level is not None and flight.level >= self.congested_level:
            return 1
        return ROW_CARRIED if flight.level <= carried_level else ROW

    # Queues

    def _is_queueing(self, now: float) -> bool:
        """Whether first tokens come late, or are overdue for several calls."""
        if self.in_flight < START or not self.delays.known:
            return False
        patience = self.delays.patience
        several = max(OVERDUE_LEAST, int(OVERDUE_SHARE * self.in_flight))
        oldest = self._flights.unanswered(several - 1)
        is_overdue = (
            oldest is not None
            and oldest.round == self._round
            and now - oldest.started_at > patience
        )
        return is_overdue or self.delays.recent > patience

    def _shrink_to_served(self, now: float, flight: Flight) -> None:
        level = max(START, int(self._flights.served * (1 + QUEUE_SPARE)))
        if level < self._limit:
            self._congest(now, flight, level, is_queue=True)
            # Trying costs no call here, only a short queue: larger steps.
            self._step = max(1, int(level * QUEUE_SPARE))
            self.delays.forget_recent()

    # The limit

    def _congest(self, now: float, flight: Flight, carried_level: int, is_queue: bool) -> None:
        """The flight's level was too much, `carried_level` is not."""
        if flight.round == self._round:  # the first to say so since the last shrink
            self._round += 1
        self._limit = max(1.0, min(self._limit, carried_level))
        self.congested_level = carried_level + 1
        self._congested_at = now
        self._is_queue = is_queue
        self._step = 1
        self._calls_to_probe = 0 if is_queue else CALLS_A_REFUSAL
        self._probe_at = now + (QUEUED_SECONDS if is_queue else REFUSED_SECONDS)

    def _grow(self, now: float, flight: Flight) -> None:
        known_level = self.congested_level
        if known_level is None:
            self._limit = min(self._limit + GROWTH, self.ceiling)
        elif flight.level >= known_level:
            self._raise_congested_level(now, known_level)
        elif self._limit < known_level - 1:
            gain = max(1.0 / self._limit, (known_level - 1 - self._limit) / NEAR_CALLS)
            self._limit = min(self._limit + gain, known_level - 1, self.ceiling)
        elif now >= self._probe_at and self._calls_to_probe <= 0:
            self._probe_at = now + CARRIED_AGAIN_SECONDS
            self._limit = min(float(known_level), self.ceiling)

    def _raise_congested_level(self, now: float, known_level: int) -> None:
        """The level that once congested was carried: the server has more room now."""
        is_forgotten = self._step >= FORGET_STEP and not self._is_queue
        self.congested_level = None if is_forgotten else known_level + self._step
        self._step *= 2
        self._probe_at = now + (QUEUED_SECONDS if self._is_queue else CARRIED_AGAIN_SECONDS)
        self._limit = min(self._limit + 1, self.ceiling)
