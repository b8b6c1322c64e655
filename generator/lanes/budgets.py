"""What may be spent: calls, tokens and dollars a day, dollars in total. Pure: the time is a
parameter, what the wall clock shows.

A call's worth is reserved before it starts and settled when its real cost is known, so calls are
never overspent and tokens and dollars by no more than what is in flight. A call counts on the day
it was started, by the provider's clock.

What a crash or a lost ledger must not give out again is kept as a high-water mark on the disk.
"""

from dataclasses import dataclass

from generator.lanes.budget_day import BudgetDay
from generator.lanes.high_water_marks import (
    is_below_mark,
    mark_ahead,
    spent_by_mark,
    with_others,
)
from generator.lanes.limits import Limits, calls_within
from generator.spending import HighWater, Spent


@dataclass(frozen=True, slots=True)
class Reservation:
    """One call's worth, on the day it was started."""

    day: float  # when that day began, seconds since 1970
    tokens: int
    usd: float
    number: int  # counts the calls of this budget; orders them against what a server announces


@dataclass(frozen=True, slots=True)
class Announcement:
    """How many calls a server still allowed, on that day, after the call of that number."""

    day: float
    calls: int
    number: int


@dataclass(frozen=True, slots=True)
class UsedUp:
    """A limit that is reached: `used` of `limit`, and when it turns (None: never by itself)."""

    what: str
    until: float | None
    zone: str


class Budget:
    """The budget of one account, or of the whole run."""

    def __init__(self, limits: Limits, zone: str = "UTC") -> None:
        self.limits = limits
        self.zone = zone
        self.total_usd = 0.0
        self._day = BudgetDay(zone)
        self._spent = Spent()  # today, settled and reserved together
        self._number = 0
        self._announcement: Announcement | None = None
        # what other generators hold of the allowance, where it is shared
        self.others: HighWater | None = None
        # as it stands on the disk; None where this budget was never limited
        self.mark: HighWater | None = None

    def resume(
        self,
        now: float,
        today: Spent,
        total_usd: float,
        out_until: float = 0.0,
        mark: HighWater | None = None,
    ) -> None:
        """Take up what the ledger remembers of the day that `now` lies in, and the mark that was on
        the disk.

        `out_until`: the server had said that it allows no more calls until then. One call asks if
        that still holds: an allowance may have been raised since. A mark of a day that is still to
        come by this clock holds: the clock was set back, and no day is given twice.
        """
        self._turn(now)
        self._spent = today
        self.total_usd = total_usd
        if mark is not None:
            self._turn(mark.day)
            if self.limits.usd_total:
                self.total_usd = max(self.total_usd, mark.total_usd)
            if mark.day_ends > self._day.begins:
                self._spent = spent_by_mark(self._spent, mark, self.limits)
            self.mark = mark
        if now < out_until:
            self._announcement = Announcement(self._day.begins, 1, self._number)

    def count_all_of(self, held: HighWater) -> None:
        """Take all that this budget holds of a shared allowance as spent, as far as it is
        limited.
        """
        self._spent = spent_by_mark(self._spent, held, self.limits)
        if self.limits.usd_total:
            self.total_usd = max(self.total_usd, held.total_usd)

    # The day

    def day_began(self, now: float) -> float:
        """When the day that `now` lies in began, seconds since 1970."""
        return self._day.bounds(now)[0]

    def day_ends(self, now: float) -> float:
        """When the day that `now` lies in ends, seconds since 1970."""
        return self._day.bounds(now)[1]

    def today(self, now: float) -> Spent:
        """What is spent today, what is in flight included."""
        self._turn(now)
        return self._spent

    def _turn(self, now: float) -> None:
        if self._day.turn(now):
            self._spent = Spent()

    # Calls

    def reserve(self, now: float, tokens: int, usd: float, calls: int = 1) -> Reservation:
        """Count a call that starts now, or several that take so much together. Ask `used_up`
        first.
        """
        self._turn(now)
        self._number += calls
        self._spent.calls += calls
        self._add(tokens, usd)
        return Reservation(self._day.begins, tokens, usd, self._number)

    def settle(self, now: float, reserved: Reservation, tokens: int, usd: float) -> None:
        """Put the real tokens and dollars in place of the reserved ones."""
        self._turn(now)
        if reserved.day == self._day.begins:
            self._add(tokens - reserved.tokens, usd - reserved.usd)
        else:  # of a day that is over: its tokens are nobody's any more
            self.total_usd += usd - reserved.usd

    def _add(self, tokens: int, usd: float) -> None:
        self._spent.tokens += tokens
        self._spent.usd += usd
        self.total_usd += usd

    def announce(self, now: float, calls_left: int, reserved: Reservation) -> None:
        """A server said, answering the call of `reserved`, how many calls it still allows today."""
        self._turn(now)
        previous = self._announcement
        is_newer = (
            previous is None
            or previous.day != self._day.begins
            or reserved.number >= previous.number
        )
        if is_newer and reserved.day == self._day.begins:
            self._announcement = Announcement(self._day.begins, max(0, calls_left), reserved.number)

    @property
    def announced_calls(self) -> int | None:
        """Calls that the server still allows today; None where it has not said so."""
        announcement = self._announcement
        if announcement is None or announcement.day != self._day.begins:
            return None
        calls_since = self._number - announcement.number
        return max(0, announcement.calls - calls_since)

    # What is left

    def out_until(self, now: float) -> float | None:
        """When the server allows calls again that has said it allows none today; None where it
        has not said so.
        """
        self._turn(now)
        return self._day.ends if self.announced_calls == 0 else None

    def used_up(self, now: float) -> UsedUp | None:
        """The limit that forbids another call now, or None.

        Tokens and dollars forbid only when they are reached: the next call's share is an estimate,
        and refusing by an estimate would leave the last part of a budget unused for ever.
        """
        self._turn(now)
        limits = self.limits
        spent_today = self._spent
        turns = self._day.ends
        if limits.calls_per_day and spent_today.calls >= limits.calls_per_day:
            what = f"{spent_today.calls:,} of {limits.calls_per_day:,} calls today"
            return UsedUp(what, turns, self.zone)
        if self.announced_calls == 0:
            return UsedUp("all calls that its server allows today", turns, self.zone)
        if limits.tokens_per_day and spent_today.tokens >= limits.tokens_per_day:
            what = f"{spent_today.tokens:,} of {limits.tokens_per_day:,} tokens today"
            return UsedUp(what, turns, self.zone)
        if limits.usd_per_day and spent_today.usd >= limits.usd_per_day:
            what = f"{spent_today.usd:,.2f} of {limits.usd_per_day:,.2f} dollars today"
            return UsedUp(what, turns, self.zone)
        if limits.usd_total and self.total_usd >= limits.usd_total:
            what = f"{self.total_usd:,.2f} of {limits.usd_total:,.2f} dollars in total"
            return UsedUp(what, None, self.zone)
        return None

    def calls_left(self, now: float, tokens: float, usd: float) -> float:
        """Calls of this size that the day still allows; inf where nothing limits them."""
        self._turn(now)
        calls = calls_within(self.limits, self.spent_by_all(now), tokens, usd)
        announced_calls = self.announced_calls
        if announced_calls is not None:
            calls = min(calls, announced_calls)
        return max(0.0, calls)

    # The mark on the disk

    def is_marked(self, now: float, tokens: int, usd: float) -> bool:
        """Whether a call of this size stays below the mark on the disk, so that it may start."""
        if not self.limits:
            return True
        return is_below_mark(self.spent(now), self.mark, self.limits, tokens, usd)

    def spent(self, now: float) -> HighWater:
        """What is spent and in flight: the mark that an orderly end leaves."""
        self._turn(now)
        day = self._day
        spent_today = self._spent
        return HighWater(
            day.begins,
            day.ends,
            spent_today.calls,
            spent_today.tokens,
            spent_today.usd,
            self.total_usd,
        )

    def spent_by_all(self, now: float) -> HighWater:
        """What is spent and in flight, with what others hold that share the allowance."""
        own = self.spent(now)
        return own if self.others is None else with_others(own, self.others)

    def next_mark(self, now: float, calls: int = 0, tokens: int = 0, usd: float = 0.0) -> HighWater:
        """What must be on the disk before so much more is spent: that and a block."""
        return mark_ahead(self.spent(now), self.limits, Spent(calls, tokens, usd))

    def marked(self, mark: HighWater) -> None:
        """This mark is on the disk now."""
        self.mark = mark
