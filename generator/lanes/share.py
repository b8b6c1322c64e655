"""A budget's share of an allowance that several generators have in common. Pure: the time is a
parameter.

What a generator may use it holds first: the store that all of them write to says how much, a block
at a time. What it holds is never less than what it has spent, and never taken back while it runs;
so whatever is killed, and whatever answer of the store is lost, all together stay within the
allowance.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import inf

from generator.lanes.budgets import Budget
from generator.lanes.limits import Limits
from generator.lanes.waits import Wait
from generator.spending import HighWater

BLOCK_SHARE = 0.01  # of an allowance: what one generator takes at once
LOW_SHARE = 0.5  # of a block: the next one is taken while so much is left
LOOK_SECONDS = 20.0  # between two looks whether others have given something back
ROUNDING = 1e-9  # sums of the same dollars in another order differ by less


@dataclass(frozen=True, slots=True)
class Room:
    """One limited kind: what the next call takes, what is left of what we hold, what the allowance
    has beyond it.
    """

    what: str  # in words, with {used} and {limit}
    call: float
    left: float
    beyond: float
    used: float  # by everybody
    limit: float
    turns: bool  # with the day

    @property
    def is_enough(self) -> bool:
        """Whether the next call fits. Tokens and dollars are an estimate: their last rest may be
        used by a call that is expected to take more.
        """
        if self.left >= self.call - ROUNDING:
            return True
        return self.left > ROUNDING and self.is_last

    @property
    def is_last(self) -> bool:
        """Whether others hold all that is not ours."""
        return self.beyond <= ROUNDING

    @property
    def is_low(self) -> bool:
        """Whether to take the next block before it is needed."""
        return not self.is_last and self.left - self.call < LOW_SHARE * BLOCK_SHARE * self.limit


class BudgetShare:
    """Of the budget of one account, or of the run (name ""). `on_short` hears that a block is
    wanted.
    """

    def __init__(self, name: str, budget: Budget, on_short: Callable[[], None]) -> None:
        self.name = name
        self.budget = budget
        self.is_short = False
        self.away = ""  # why the store does not answer; "" where it does
        self.away_since: float | None = None
        self.retry_at = -inf  # by the run's clock: when the store is asked again
        self.others: HighWater | None = None  # what they held at the last look
        self._held: HighWater | None = None
        self._looked_at = -inf
        self._on_short = on_short
        self._call = (1, 0, 0.0)  # what waits: calls, and their tokens and dollars together

    def wait(self, now: float, today: float, tokens: int, usd: float) -> Wait | None:
        """Why no call of this size may start now; None: one may. `now` by the run's clock,
        `today` by the wall's.
        """
        if not self.budget.limits:
            return None
        self._call = (1, tokens, usd)
        rooms = self._rooms(today, 1, tokens, usd)
        if rooms is None:  # nothing is known yet, or a day has begun
            return self._take(now)
        lacking_rooms = [room for room in rooms if not room.is_enough]
        if not lacking_rooms:
            if any(room.is_low for room in rooms):
                self._want(now)
            return None
        for room in lacking_rooms:
            if room.is_last:
                return self._used_up(now, today, room)
        return self._take(now)

    def lines(self, now: float, today: float, count: int, tokens: int, usd: float) -> int | None:
        """How many of `count` calls of this size may be sent together; None: more is being asked
        for, look again soon.
        """
        if not self.budget.limits:
            return count
        self._call = (count, count * tokens, count * usd)
        rooms = self._rooms(today, *self._call)
        if rooms is None or any(not room.is_enough and not room.is_last for room in rooms):
            self._want(now)
            return None
        shares = [room.left / room.call for room in rooms if room.call]
        return max(0, min(count, *map(int, shares))) if shares else count

    @property
    def warning(self) -> str:
        """What a user should know while the block that is held still lasts."""
        if not self.away:
            return ""
        return f"the shared budget cannot be reached, what was taken of it is used up: {self.away}"

    # Blocks

    def decide(self, day: float, today: float, others: HighWater, own: HighWater) -> HighWater:
        """What to hold from now on, `own` being what the store says we hold."""
        spent = self.budget.spent(today)
        if spent.day != day:
            return own  # the day has turned meanwhile: the next look is for the new one
        return _next_held(spent, others, own, self.budget.limits, *self._call)

    def taken(self, now: float, others: HighWater, held: HighWater) -> None:
        """The store has answered."""
        self.others = others
        self.budget.others = others
        self._held = held
        self._looked_at = now
        self.is_short = False
        self.away = ""
        self.away_since = None

    def failed(self, now: float, why: str, retry_at: float) -> None:
        """The store has not answered."""
        self.away = why
        self.away_since = self.away_since if self.away_since is not None else now
        self.retry_at = retry_at

    def spent(self, today: float, own: HighWater) -> HighWater:
        """What to hold at an orderly end, with no call in flight: what was spent."""
        return replace(self.budget.spent(today), day_ends=own.day_ends)

    def _rooms(self, today: float, calls: int, tokens: int, usd: float) -> list[Room] | None:
        spent = self.budget.spent(today)
        held = self._held
        others = self.others
        if held is None or others is None or held.day != spent.day:
            return None
        return list(_rooms(spent, held, others, self.budget.limits, calls, tokens, usd))

    def _take(self, now: float) -> Wait:
        self._want(now)
        whose = self.name or "the run"
        if self.away:
            reason = f"{whose} waits for its shared budget: {self.away}"
            return Wait("budget away", reason, self.retry_at)
        return Wait("pacing", f"{whose} takes a block of its shared budget")

    def _used_up(self, now: float, today: float, room: Room) -> Wait:
        if now - self._looked_at >= LOOK_SECONDS:
            self._want(now)
        whose = self.name or "the run"
        used = room.what.format(used=room.used, limit=room.limit)
        ends = self.budget.day_ends(today) - today + now if room.turns else None
        reason = f"{whose} has used {used}, with the others that share it"
        return Wait("used up", reason, ends, self.budget.zone)

    def _want(self, now: float) -> None:
        if not self.is_short:
            self.is_short = True
            self._on_short()


def _rooms(
    spent: HighWater,
    held: HighWater,
    others: HighWater,
    limits: Limits,
    calls: int,
    tokens: int,
    usd: float,
) -> Iterator[Room]:
    kinds = [
        ("calls", limits.calls_per_day, calls, "{used:,.0f} of {limit:,.0f} calls today"),
        ("tokens", limits.tokens_per_day, tokens, "{used:,.0f} of {limit:,.0f} tokens today"),
        ("usd", limits.usd_per_day, usd, "{used:,.2f} of {limit:,.2f} dollars today"),
        ("total_usd", limits.usd_total, usd, "{used:,.2f} of {limit:,.2f} dollars in total"),
    ]
    for kind, limit, call, what in kinds:
        if not limit:
            continue
        our_own = getattr(held, kind)
        theirs = getattr(others, kind)
        our_spent = getattr(spent, kind)
        left = our_own - our_spent
        beyond = limit - theirs - max(our_own, our_spent)
        used = theirs + our_spent
        yield Room(what, call, left, beyond, used, limit, kind != "total_usd")


def _next_held(
    spent: HighWater,
    others: HighWater,
    own: HighWater,
    limits: Limits,
    calls: int,
    tokens: int,
    usd: float,
) -> HighWater:
    """All that we hold and have spent, and a block more as far as the allowance goes."""

    def kind(name: str, limit: float, call: float) -> float:
        ours = max(getattr(own, name), getattr(spent, name))
        if not limit:
            return float(ours)
        block = max(call, BLOCK_SHARE * limit)
        wanted = getattr(spent, name) + call + block
        free = limit - getattr(others, name)
        return float(max(ours, min(wanted, free)))

    return HighWater(
        day=own.day,
        day_ends=own.day_ends,
        calls=int(kind("calls", limits.calls_per_day, calls)),
        tokens=int(kind("tokens", limits.tokens_per_day, tokens)),
        usd=kind("usd", limits.usd_per_day, usd),
        total_usd=kind("total_usd", limits.usd_total, usd),
    )
