"""When calls may start: weekday and hour ranges in a time zone, with holidays. Pure: the time is a
parameter.

    "mon-fri 00:30-08:30 Asia/Shanghai"     every working day from half past midnight
    "sat-sun"                               whole days, in the lane's `day_timezone`
    "fri 22:00-06:00 Europe/Berlin"         over midnight; belongs to the day it starts on

A date in `holidays` counts as a Sunday.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from math import inf
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from generator.config import LaneConfig
from shared.errors import InputError

DAY_MINUTES = 1440
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
SUNDAY = 6
MARGIN_DAYS = 3  # before and behind: a range may last 48 hours, in a zone 14 hours away
AHEAD_DAYS = 15  # longer than any week with its holidays; intervals are laid out this far at a time
_SPEC = re.compile(
    r"(?P<days>[a-z]{3}(?:-[a-z]{3})?(?:,[a-z]{3}(?:-[a-z]{3})?)*)?"
    r"\s*(?:(?P<start>\d{1,2}:\d\d)-(?P<end>\d{1,2}:\d\d))?\s*(?P<zone>[A-Za-z][\w+\-/]*)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class WeeklyRange:
    """One line of `windows`. Minutes are local, `end_minute` may pass midnight (up to 48 hours)."""

    days: frozenset[int]  # 0 is Monday
    start_minute: int
    end_minute: int
    zone: ZoneInfo

    def on(self, day: date) -> tuple[float, float]:
        """The range that starts on `day`, in seconds since the epoch. Clock changes move it
        with the local time.
        """
        return self._at(day, self.start_minute), self._at(day, self.end_minute)

    def _at(self, day: date, minute: int) -> float:
        day += timedelta(days=minute // DAY_MINUTES)
        local = datetime(
            day.year, day.month, day.day, minute % DAY_MINUTES // 60, minute % 60, tzinfo=self.zone
        )
        return local.astimezone(UTC).timestamp()


class Windows:
    """The open times of one lane. No range at all: always open."""

    def __init__(
        self, specs: Sequence[str], default_zone: str = "UTC", holidays: Sequence[str] = ()
    ) -> None:
        """Errors: ValueError with the line and the way to write it."""
        self._ranges = [parse_range(spec, default_zone) for spec in specs]
        self._holidays = frozenset(parse_date(text) for text in holidays)
        self._laid_out: list[tuple[float, float]] = []
        self._valid = (inf, -inf)  # the stretch of time for which `_laid_out` is complete

    def open_until(self, now: float) -> float | None:
        """When the window that is open now closes (inf: never); None while it is closed."""
        if not self._ranges:
            return inf
        _, end = self._around(now)
        return end

    def opened_at(self, now: float) -> float | None:
        """When the window that is open now opened (-inf: always was); None while it is closed."""
        if not self._ranges:
            return -inf
        start, _ = self._around(now)
        return start

    def opens_at(self, now: float) -> float | None:
        """The next opening after `now`, or None where none comes within two weeks."""
        if not self._ranges:
            return None
        self._lay_out(now)
        return next((start for start, _ in self._laid_out if start > now), None)

    def _around(self, now: float) -> tuple[float, float] | tuple[None, None]:
        self._lay_out(now)
        index = bisect_right(self._laid_out, (now, inf)) - 1
        if index >= 0 and now < self._laid_out[index][1]:
            return self._laid_out[index]
        return None, None

    def _lay_out(self, now: float) -> None:
        valid_from, valid_until = self._valid
        if valid_from <= now < valid_until:
            return
        first_day = datetime.fromtimestamp(now, UTC).date() - timedelta(days=MARGIN_DAYS)
        days = [
            first_day + timedelta(days=offset) for offset in range(AHEAD_DAYS + 2 * MARGIN_DAYS)
        ]
        spans = sorted(
            weekly.on(day) for day in days for weekly in self._ranges if self._is_on(weekly, day)
        )
        self._laid_out = _merged(spans)
        self._valid = (now - 60, now + 86400)

    def _is_on(self, weekly: WeeklyRange, day: date) -> bool:
        weekday = SUNDAY if day in self._holidays else day.weekday()
        return weekday in weekly.days


def _merged(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Spans in order of their starts, those that touch as one."""
    merged_spans: list[tuple[float, float]] = []
    for start, end in spans:
        if merged_spans and start <= merged_spans[-1][1]:
            previous_start, previous_end = merged_spans[-1]
            merged_spans[-1] = (previous_start, max(end, previous_end))
        elif end > start:
            merged_spans.append((start, end))
    return merged_spans


def windows_of(lane: LaneConfig) -> Windows:
    """A lane's windows. Errors: InputError names the lane and the line."""
    try:
        return Windows(lane.windows, lane.day_timezone, lane.holidays)
    except ValueError as error:
        raise InputError(f"lane {lane.name}: {error}") from None


def parse_range(spec: str, default_zone: str = "UTC") -> WeeklyRange:
    """One line of `windows`, or ValueError that says how to write it."""
    match = _SPEC.fullmatch(spec.strip())
    if not match or not (match["days"] or match["start"]):
        raise ValueError(
            f'window {spec!r}: write it like "mon-fri 00:30-08:30 Asia/Shanghai" or "sat-sun"'
        )
    start = _minute(match["start"] or "0:00", spec)
    end = _minute(match["end"] or "24:00", spec)
    crosses_midnight = end < start
    if crosses_midnight:
        end += DAY_MINUTES
    if end == start:  # also 24:00-00:00: midnight to the same midnight
        raise ValueError(f"window {spec!r} is empty: it ends when it starts")
    try:
        zone = ZoneInfo(match["zone"] or default_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f'window {spec!r}: no time zone {match["zone"]!r}; write "Asia/Shanghai" or "UTC"'
        ) from None
    days = _days((match["days"] or "mon-sun").lower(), spec)
    return WeeklyRange(days, start, end, zone)


def parse_date(text: str) -> date:
    """A holiday as `2026-10-01`, or ValueError."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f'holiday {text!r} is no date: write it like "2026-10-01"') from None


def _minute(text: str, spec: str) -> int:
    hour, minute = map(int, text.split(":"))
    minute_of_day = hour * 60 + minute
    if minute > 59 or minute_of_day > DAY_MINUTES:
        raise ValueError(f"window {spec!r}: {text} is no time of day (00:00 to 24:00)")
    return minute_of_day


def _days(text: str, spec: str) -> frozenset[int]:
    """The weekdays of "mon-fri,sun"; a range may pass the end of the week."""
    days: set[int] = set()
    for part in text.split(","):
        first_name, _, last_name = part.partition("-")
        last_name = last_name or first_name
        for name in (first_name, last_name):
            if name not in DAYS:
                raise ValueError(f"window {spec!r}: {name!r} is no day; days are {', '.join(DAYS)}")
        first_day = DAYS.index(first_name)
        last_day = DAYS.index(last_name)
        if last_day < first_day:
            last_day += len(DAYS)
        days.update(day % len(DAYS) for day in range(first_day, last_day + 1))
    return frozenset(days)
