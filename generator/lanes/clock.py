"""The run's time. Pauses and timers must not follow a wall clock that is set; days must."""

import time
from collections.abc import Callable


class Clock:
    """Seconds since 1970 that go on evenly, also when somebody sets the wall clock.

    `now()` starts where the wall clock stands and goes on as the monotonic one does: what it is
    compared with (a pause, a circuit, the minute before a 429) neither ends early nor lasts a day
    longer. Days and windows are the wall clock's: `calendar` tells what it shows at a moment.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._start = wall() - monotonic()
        self._shift = 0.0  # what the wall clock was set by since the start, as last looked at

    def now(self) -> float:
        """The present moment; looks at the wall clock as well."""
        now = self._start + self._monotonic()
        self._shift = self._wall() - now
        return now

    def calendar(self, moment: float) -> float:
        """What the wall clock shows at a moment, seconds since 1970."""
        return moment + self._shift

    def moment(self, calendar: float) -> float:
        """When the wall clock will show this, unless it is set."""
        return calendar - self._shift
