"""The starts and refusals of the last minute, and the even spacing of the next starts. Pure: the
time is a parameter.
"""

from collections import deque
from math import inf

WINDOW_SECONDS = 60.0
LATE_SECONDS = 3.0  # a busy client that is no later makes up for what it missed


class LastMinute:
    """When calls started that were not refused (so far), and when 429 came."""

    def __init__(self) -> None:
        self.begun_at = inf  # the first start of all
        self._starts: deque[float] = deque()
        self._refusals: deque[float] = deque()

    def start(self, now: float) -> None:
        """A call started."""
        self.begun_at = min(self.begun_at, now)
        self._starts.append(now)
        self._forget(now)

    def refuse(self, now: float, started_at: float) -> None:
        """A 429 came to a call that started then."""
        self._refusals.append(now)
        if started_at in self._starts:
            self._starts.remove(started_at)
        self._forget(now)

    @property
    def refusals(self) -> int:
        """Of the minute before the last event."""
        return len(self._refusals)

    def starts_since(self, moment: float) -> int:
        """Of the last minute."""
        return sum(1 for start in self._starts if start >= moment)

    def went_well(self, now: float, seconds: float = WINDOW_SECONDS) -> int:
        """Starts of the last seconds that were not refused (so far)."""
        self._forget(now)
        if seconds < WINDOW_SECONDS:
            return self.starts_since(now - seconds)
        return len(self._starts)

    def room_at(self, most: int) -> float:
        """When fewer than `most` starts are in the minute; -inf: they are."""
        excess = len(self._starts) - most
        return self._starts[excess] + WINDOW_SECONDS if excess >= 0 else -inf

    def went_well_before(self, now: float, moment: float) -> int:
        """Those of them that started before a moment."""
        later = sum(1 for start in reversed(self._starts) if start >= moment)
        return max(0, self.went_well(now) - later)

    @property
    def oldest(self) -> float:
        """The first start of the minute before the last event; -inf: there is none."""
        return self._starts[0] if self._starts else -inf

    def _forget(self, now: float) -> None:
        for times in (self._starts, self._refusals):
            while times and times[0] <= now - WINDOW_SECONDS:
                times.popleft()


class Spacing:
    """When the next call may start."""

    def __init__(self) -> None:
        self.next_start = -inf

    def start(self, now: float, due: float, per_minute: float) -> None:
        """A call starts that was due at `due`: the next one follows at this pace."""
        is_late = now - due > LATE_SECONDS
        self.next_start = (now if is_late else due) + WINDOW_SECONDS / per_minute

    def hold(self, until: float) -> None:
        """No start before."""
        self.next_start = until

    def free(self) -> None:
        """The next call may start at once."""
        self.next_start = -inf
