"""What may be spent: calls, tokens and dollars a day, dollars in total. Pure: the time is a
parameter.

A call's worth is reserved before it starts and settled when its real cost is known, so calls are
never overspent and tokens and dollars by no more than what is in flight. A call counts on the day
it was started, by the provider's clock.

What a crash or a lost ledger must not give out again is kept as a high-water mark on the disk. It
runs ahead of what is spent by a block, so that it is written seldom; whoever finds it after a crash
takes all of it as spent.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from typing import Protocol
from zoneinfo import ZoneInfo

from generator.high_water import HighWater

# of an allowance: what a crash may cost of it, and 500 writes to the disk until it is used up
BLOCK_SHARE = 0.002
BLOCKS_AHEAD_MAX = (
    10.0  # a mark further ahead, as early guesses of what a call takes leave it, is brought down
)


@dataclass(frozen=True, slots=True)
class Limits:
    """0 is no limit."""

    calls_per_day: int = 0
    tokens_per_day: int = 0
    usd_per_day: float = 0.0
    usd_total: float = 0.0


class LimitTable(Protocol):
    """A `[[lane]]` or the `[budget]` table."""

    @property
    def calls_per_day(self) -> int: ...
    @property
    def tokens_per_day(self) -> int: ...
    @property
    def usd_per_day(self) -> float: ...
    @property
    def usd_total(self) -> float: ...


def strictest(tables: "list[LimitTable]") -> Limits:
    """The limits of an account whose lanes name them one by one: the smallest of each kind that
    is set.
    """

    def least(values: list[float]) -> float:
        return min((value for value in values if value), default=0)

    return Limits(
        int(least([table.calls_per_day for table in tables])),
        int(least([table.tokens_per_day for table in tables])),
        least([table.usd_per_day for table in tables]),
        least([table.usd_total for table in tables]),
    )


@dataclass(slots=True)
class Spent:
    """Settled and reserved together."""

    calls: int = 0
    tokens: int = 0
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Reservation:
    """One call's worth, on the day it was started."""

    day: float  # when that day began, seconds since the epoch
    tokens: int
    usd: float
    number: int  # counts the calls of this budget; orders them against what a server announces


@dataclass(frozen=True, slots=True)
class UsedUp:
    """A limit that is reached: `used` of `limit`, and when it turns (None: never by itself)."""

    what: str
    until: float | None
    zone: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One limit as a bar: how much of it is used and when it turns."""

    name: str  # a configuration key, such as calls_per_day
    used: float
    limit: float
    until: float | None


class Budget:
    """The budget of one account, or of the whole run."""

    def __init__(self, limits: Limits, zone: str = "UTC") -> None:
        self.limits = limits
        self.zone = zone
        self.total_usd = 0.0
        self._zone = ZoneInfo(zone)
        self._day = (0.0, 0.0)
        self._today = Spent()
        self._number = 0
        self._announced: tuple[float, int, int] | None = (
            None  # day, calls left then, number of the call that said so
        )
        self._mark: HighWater | None = None  # as it stands on the disk

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
        self._today, self.total_usd = today, total_usd
        if mark is not None:
            self._turn(mark.day)
            self._take_up(mark)
        if now < out_until:
            self._announced = (self._day[0], 1, self._number)

    def _take_up(self, mark: HighWater) -> None:
        """Only what is limited: of the rest a mark tells no more than what calls in flight were
        guessed to take.
        """
        today, limits = self._today, self.limits
        if limits.usd_total:
            self.total_usd = max(self.total_usd, mark.total_usd)
        if mark.day_ends > self._day[0]:
            self._today = Spent(
                max(today.calls, mark.calls) if limits.calls_per_day else today.calls,
                max(today.tokens, mark.tokens) if limits.tokens_per_day else today.tokens,
                max(today.usd, mark.usd) if limits.usd_per_day else today.usd,
            )
        self._mark = mark

    def out_until(self, now: float) -> float | None:
        """When the server allows calls again that has said it allows none today; None where it
        has not said so.
        """
        self._turn(now)
        return self._day[1] if self._announced_left() == 0 else None

    def day_began(self, now: float) -> float:
        """When the day that `now` lies in began, seconds since the epoch."""
        return self._bounds(now)[0]

    def day_ends(self, now: float) -> float:
        return self._bounds(now)[1]

    def today(self, now: float) -> Spent:
        self._turn(now)
        return self._today

    def used_up(self, now: float) -> UsedUp | None:
        """The limit that forbids another call now, or None.

        Tokens and dollars forbid only when they are reached: the next call's share is an estimate,
        and refusing by an estimate would leave the last part of a budget unused for ever.
        """
        self._turn(now)
        day, turns = self._today, self._day[1]
        limits = self.limits
        if limits.calls_per_day and day.calls >= limits.calls_per_day:
            return UsedUp(
                f"{day.calls:,} of {limits.calls_per_day:,} calls today", turns, self.zone
            )
        if self._announced_left() == 0:
            return UsedUp("all calls that its server allows today", turns, self.zone)
        if limits.tokens_per_day and day.tokens >= limits.tokens_per_day:
            return UsedUp(
                f"{day.tokens:,} of {limits.tokens_per_day:,} tokens today", turns, self.zone
            )
        if limits.usd_per_day and day.usd >= limits.usd_per_day:
            return UsedUp(
                f"{day.usd:,.2f} of {limits.usd_per_day:,.2f} dollars today", turns, self.zone
            )
        if limits.usd_total and self.total_usd >= limits.usd_total:
            return UsedUp(
                f"{self.total_usd:,.2f} of {limits.usd_total:,.2f} dollars in total",
                None,
                self.zone,
            )
        return None

    @property
    def mark(self) -> HighWater | None:
        """The high-water mark that is on the disk; None where this budget was never limited."""
        return self._mark

    @property
    def limited(self) -> bool:
        limits = self.limits
        return bool(
            limits.calls_per_day or limits.tokens_per_day or limits.usd_per_day or limits.usd_total
        )

    def is_marked(self, now: float, tokens: int, usd: float) -> bool:
        """Whether a call of this size stays below the mark on the disk, so that it may start."""
        self._turn(now)
        if not self.limited:
            return True
        mark, spent = self._mark, self.spent(now)
        if mark is None or mark.day != spent.day:
            return False
        ahead = [
            (self.limits.calls_per_day, mark.calls - spent.calls, 1),
            (self.limits.tokens_per_day, mark.tokens - spent.tokens, tokens),
            (self.limits.usd_per_day, mark.usd - spent.usd, usd),
            (self.limits.usd_total, mark.total_usd - spent.total_usd, usd),
        ]
        return all(
            call <= room <= call + BLOCKS_AHEAD_MAX * max(_block(limit), call)
            for limit, room, call in ahead
            if limit
        )

    def spent(self, now: float) -> HighWater:
        """What is spent and in flight: the mark that an orderly end leaves."""
        self._turn(now)
        day, today = self._day, self._today
        return HighWater(day[0], day[1], today.calls, today.tokens, today.usd, self.total_usd)

    def next_mark(self, now: float, calls: int = 0, tokens: int = 0, usd: float = 0.0) -> HighWater:
        """What must be on the disk before so much more is spent: that and a block."""
        spent, limits = self.spent(now), self.limits
        return HighWater(
            spent.day,
            spent.day_ends,
            spent.calls + max(calls, int(_block(limits.calls_per_day))),
            spent.tokens + tokens + int(_block(limits.tokens_per_day)),
            spent.usd + usd + _block(limits.usd_per_day),
            spent.total_usd + usd + _block(limits.usd_total),
        )

    def marked(self, mark: HighWater) -> None:
        """This mark is on the disk now."""
        self._mark = mark

    def reserve(self, now: float, tokens: int, usd: float) -> Reservation:
        """Count a call that starts now. Ask `used_up` first."""
        self._turn(now)
        self._number += 1
        self._today.calls += 1
        self._add(tokens, usd)
        return Reservation(self._day[0], tokens, usd, self._number)

    def settle(self, now: float, reserved: Reservation, tokens: int, usd: float) -> None:
        """Put the real tokens and dollars in place of the reserved ones."""
        self._turn(now)
        if reserved.day == self._day[0]:
            self._add(tokens - reserved.tokens, usd - reserved.usd)
        else:
            self.total_usd += usd - reserved.usd

    def announce(self, now: float, calls_left: int, reserved: Reservation) -> None:
        """A server said, answering the call of `reserved`, how many calls it still allows today."""
        self._turn(now)
        known = self._announced
        newer = known is None or known[0] != self._day[0] or reserved.number >= known[2]
        if newer and reserved.day == self._day[0]:
            self._announced = (self._day[0], max(0, calls_left), reserved.number)

    def calls_left(self, now: float, tokens: float, usd: float) -> float:
        """Calls of this size that the day still allows; inf where nothing limits them."""
        self._turn(now)
        day, limits = self._today, self.limits
        left = [
            (limits.calls_per_day, limits.calls_per_day - day.calls),
            (limits.tokens_per_day, (limits.tokens_per_day - day.tokens) / max(tokens, 1.0)),
            (limits.usd_per_day and usd, (limits.usd_per_day - day.usd) / max(usd, 1e-12)),
            (limits.usd_total and usd, (limits.usd_total - self.total_usd) / max(usd, 1e-12)),
        ]
        allowed = min((float(calls) for limit, calls in left if limit), default=inf)
        announced = self._announced_left()
        return max(0.0, allowed if announced is None else min(allowed, announced))

    def bars(self, now: float) -> list[Bar]:
        """Every limit that is set, for the eye."""
        self._turn(now)
        day, turns, limits = self._today, self._day[1], self.limits
        rows: list[tuple[str, float, float, float | None]] = [
            ("calls_per_day", day.calls, limits.calls_per_day, turns),
            ("tokens_per_day", day.tokens, limits.tokens_per_day, turns),
            ("usd_per_day", day.usd, limits.usd_per_day, turns),
            ("usd_total", self.total_usd, limits.usd_total, None),
        ]
        if (left := self._announced_left()) is not None:
            rows.append(("calls_announced", day.calls, day.calls + left, turns))
        return [Bar(*row) for row in rows if row[2]]

    def _announced_left(self) -> int | None:
        if self._announced is None or self._announced[0] != self._day[0]:
            return None
        _, left, number = self._announced
        return max(0, left - (self._number - number))

    def _add(self, tokens: int, usd: float) -> None:
        self._today.tokens += tokens
        self._today.usd += usd
        self.total_usd += usd

    def _turn(self, now: float) -> None:
        if now >= self._day[1]:  # a clock that is set back turns no day back
            began = self._day[0]
            self._day = self._bounds(now)
            if self._day[0] != began:
                self._today = Spent()

    def _bounds(self, now: float) -> tuple[float, float]:
        local = datetime.fromtimestamp(now, self._zone)
        midnight = datetime(local.year, local.month, local.day, tzinfo=self._zone)
        tomorrow = midnight + timedelta(
            days=1
        )  # wall-clock arithmetic: right on days of 23 or 25 hours
        return midnight.timestamp(), tomorrow.timestamp()


def _block(limit: float) -> float:
    return BLOCK_SHARE * limit
