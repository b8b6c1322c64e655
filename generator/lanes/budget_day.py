"""The day over which a budget counts, by the provider's clock. Pure: the time is a parameter."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo


class BudgetDay:
    """The present day in a time zone: `begins` and `ends` are seconds since 1970."""

    def __init__(self, zone: str) -> None:
        self._zone = ZoneInfo(zone)
        self.begins = 0.0
        self.ends = 0.0

    def turn(self, today: float) -> bool:
        """Go on to the day in which `today` lies; whether it is another one. A clock that is set
        back turns no day back.
        """
        if today < self.ends:
            return False
        previous = self.begins
        self.begins, self.ends = self.bounds(today)
        return self.begins != previous

    def bounds(self, today: float) -> tuple[float, float]:
        """(begin, end) of the day in which `today` lies."""
        local = datetime.fromtimestamp(today, self._zone)
        midnight = datetime(local.year, local.month, local.day, tzinfo=self._zone)
        # Arithmetic of the wall clock: right on days of 23 or 25 hours.
        next_midnight = midnight + timedelta(days=1)
        return midnight.timestamp(), next_midnight.timestamp()
