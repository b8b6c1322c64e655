"""What the calendar allows a lane: its windows, its account's budget and the run's.

Everything here goes by the wall clock; a moment of the run's clock is asked for what it shows. Pure.
"""

from collections.abc import Sequence
from math import inf

from generator.config import LaneConfig
from generator.lanes.budgets import Budget, Reservation
from generator.lanes.clock import Clock
from generator.lanes.share import BudgetShare
from generator.lanes.waits import Wait
from generator.lanes.windows import windows_of

FAR_SHARE = 0.25  # of the 95th percentile of durations: so far past a window's end a call may reach
WINDOW_SHARE = 0.9  # of a window: calls longer than that start in its first tenth


class Allowance:
    """One lane's."""

    def __init__(self, lane: LaneConfig, budget: Budget, run_budget: Budget, clock: Clock) -> None:
        self.budget = budget
        self.run_budget = run_budget
        self.clock = clock
        self.shares: Sequence[BudgetShare] = ()  # of what is shared with other generators
        self.reload(lane)

    def reload(self, lane: LaneConfig) -> None:
        """Take up changed windows."""
        self._lane = lane
        self._windows = windows_of(lane)

    def wait(self, now: float, call_seconds: float) -> Wait | None:
        """Why no call may start now; None: one may. `call_seconds`: what a long one takes."""
        today = self.clock.calendar(now)
        name = self._lane.name
        if not self._is_open(today, call_seconds):
            opens = self._moment(self._windows.opens_at(today))
            reason = f"{name} is outside its windows"
            return Wait("closed window", reason, opens, self._lane.day_timezone)
        for whose, budget in ((name, self.budget), ("the run", self.run_budget)):
            limit = budget.used_up(today)
            if limit:
                reason = f"{whose} has used {limit.what}"
                return Wait("used up", reason, self._moment(limit.until), limit.zone)
        return None

    def wait_for_shares(self, now: float, tokens: int, usd: float) -> Wait | None:
        """Why a call of this size waits for what other generators share; None: it does not."""
        today = self.clock.calendar(now)
        waits = (share.wait(now, today, tokens, usd) for share in self.shares)
        return next((wait for wait in waits if wait is not None), None)

    @property
    def away_since(self) -> float | None:
        """Since when the shared budget has not been reached; None where it is."""
        moments = [share.away_since for share in self.shares if share.away_since is not None]
        return min(moments, default=None)

    @property
    def warning(self) -> str:
        """What a user should know while the lane works."""
        return next((share.warning for share in self.shares if share.warning), "")

    def is_marked(self, now: float, tokens: int, usd: float) -> bool:
        """Whether what the next call may take is below the budgets' marks on the disk."""
        today = self.clock.calendar(now)
        budgets = (self.budget, self.run_budget)
        return all(budget.is_marked(today, tokens, usd) for budget in budgets)

    def reserve(self, now: float, tokens: int, usd: float) -> tuple[Reservation, Reservation]:
        """Count a call that starts now: (the account's, the run's)."""
        today = self.clock.calendar(now)
        of_account = self.budget.reserve(today, tokens, usd)
        of_run = self.run_budget.reserve(today, tokens, usd)
        return of_account, of_run

    def settle(
        self, now: float, of_account: Reservation, of_run: Reservation, tokens: int, usd: float
    ) -> None:
        """Put what a call took in place of what was reserved for it."""
        today = self.clock.calendar(now)
        self.budget.settle(today, of_account, tokens, usd)
        self.run_budget.settle(today, of_run, tokens, usd)

    def announce(self, now: float, calls_left: int, of_account: Reservation) -> None:
        """The server said how many calls it still allows today."""
        self.budget.announce(self.clock.calendar(now), calls_left, of_account)

    def day_ends(self, now: float) -> float:
        """The moment at which the account's day turns."""
        return self.clock.moment(self.budget.day_ends(self.clock.calendar(now)))

    def _is_open(self, today: float, call_seconds: float) -> bool:
        """Whether a window is open in which a call will, most likely, not run far past its end."""
        closes = self._windows.open_until(today)
        if closes is None:
            return False
        if closes == inf:
            return True
        opened_at = self._windows.opened_at(today) or -inf
        lead_seconds = min((1 - FAR_SHARE) * call_seconds, WINDOW_SHARE * (closes - opened_at))
        return today + lead_seconds <= closes

    def _moment(self, calendar: float | None) -> float | None:
        return None if calendar is None else self.clock.moment(calendar)
