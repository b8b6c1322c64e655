"""How fast calls may start: requests a minute, set by the user, announced, or learnt from 429.
Pure: the time is a parameter.
"""

from math import inf
from typing import Literal

from generator.lanes.kept_pace import LEARNT_SHARE
from generator.lanes.learnt_pace import LearntPace, Refusal
from generator.lanes.pace_trial import CALLS_A_REFUSAL
from generator.lanes.spacing import WINDOW_SECONDS, LastMinute, Spacing

PAUSE_OF_A_LIMIT = 5.0  # a Retry-After of so many seconds means a limit
BACK_OFF_SECONDS = 0.25  # after a 429 without Retry-After, doubled at each one in a row
TOO_FAST_SECONDS = 1.0  # the same, where the number in flight is not what was refused
BACK_OFF_SECONDS_MAX = 60.0
DOUBLINGS_MAX = 10
UNRESTRICTED = 64  # a lane that took up so many calls at once after a pause is warm again

PaceSource = Literal["", "configured", "named by the provider", "learnt from 429s"]


class Pace:
    """Spaces the starts of one account evenly, and stops them while the lane cools.

    After a pause calls begin again one by one, each that is taken up letting two more out: what
    waits would otherwise start all at once and draw the next 429.
    """

    def __init__(self, requests_per_minute: float = 0) -> None:
        self.configured = requests_per_minute
        self.named = 0.0
        self.cool_until = -inf
        # > 0: calls that may be out, not taken up yet, after a pause; 0: no restriction
        self.thawing = 0
        self._minute = LastMinute()
        self._spacing = Spacing()
        self._learnt = LearntPace(self._minute, self._spacing)
        self._learnt_rate = 0.0  # at the last start
        self._breaths = 0  # 429 in a row, those that came together counted once
        self._refused_at = -inf
        self._row_at = -inf  # the first 429 of a row,
        self._minute_began_at = -inf  # and the first start in the minute before it
        self._before_row = 0  # starts that went well in the minute before the first 429 of a row

    @property
    def per_minute(self) -> float:
        """The pace in force; 0: none."""
        return min((rate for rate, _ in self._in_force()), default=0.0)

    @property
    def source(self) -> PaceSource:
        """Where the pace in force comes from."""
        return min(self._in_force(), default=(0.0, ""))[1]

    def _in_force(self) -> list[tuple[float, PaceSource]]:
        rates: list[tuple[float, PaceSource]] = [
            (self.configured, "configured"),
            (self.named, "named by the provider"),
            (self._learnt_rate, "learnt from 429s"),
        ]
        return [(rate, source) for rate, source in rates if rate]

    def ready_at(self) -> float:
        """When the next call may start (in the past: now)."""
        return max(self._spacing.next_start, self.cool_until)

    def start(self, now: float) -> None:
        """A call starts."""
        self._minute.start(now)
        self._learnt_rate = self._learnt.in_force(now)
        per_minute = self.per_minute
        if per_minute:
            self._spacing.start(now, self.ready_at(), per_minute)
            self._spacing.hold(max(self._spacing.next_start, self._learnt.room_at()))

    def taken_up(self, now: float, started_at: float) -> None:
        """A call was taken up by the server; where it started after the last 429, the row of
        them is over.
        """
        if started_at < max(self._refused_at, self.cool_until):
            return
        self._breaths = 0
        self.thawing = self.thawing * 2 if self.thawing < UNRESTRICTED else 0
        self._learnt.taken_up(now)
        self._learnt_rate = self._learnt.in_force(now)

    def is_suspect(self, now: float, started_at: float) -> bool:
        """Whether a limit a minute may explain a 429 to a call that started then: it came of a
        trial; or the last minute was a full one and nothing was let in since an earlier 429.
        """
        if self._learnt.presses(now, started_at):
            return True
        is_refused_again = self._breaths > 0 and started_at > self._refused_at
        return is_refused_again and self._learnt.is_minute_full(now)

    def chance(self, now: float, started_at: float, retry_after: float | None) -> None:
        """A 429 that is not one of a row. The pause that it names is the lane's, until such 429
        are known to come by chance; then nobody waits.
        """
        if retry_after and not self._learnt.is_chance_known:
            self.cool_until = max(self.cool_until, now + retry_after)
        self._minute.refuse(now, started_at)
        self._learnt.refused(now, started_at, self._minute.went_well(now), "lone", 0.0)
        self._learnt_rate = self._learnt.in_force(now)

    def refused(
        self, now: float, started_at: float, retry_after: float | None, too_fast: bool
    ) -> None:
        """A 429 that means a limit; `too_fast`: not one of the number in flight. Cools for
        `retry_after` seconds; without it, backs off.
        """
        # On its way when an earlier one came: it says nothing that the earlier one did not.
        is_echo = now < self.cool_until
        is_first = not self._breaths
        presses = self._learnt.presses(now, started_at)
        if is_first:
            self._row_at = now
            self._minute_began_at = self._minute.oldest
            self._before_row = self._minute.went_well_before(now, started_at)
        self._minute.refuse(now, started_at)
        pause = retry_after or 0.0
        if not is_echo:
            if not presses:
                self._breaths += 1
            is_hard = too_fast or (is_first and pause >= PAUSE_OF_A_LIMIT)
            kind: Refusal = "limit a minute" if is_hard else "limit in flight"
            self._learnt.refused(now, started_at, self._before_row, kind, pause)
            self._learnt_rate = self._learnt.in_force(now)
        self._refused_at = now
        if presses and not pause:
            return  # the trial is over, and that was all
        # A server's pause that was too short, as a second 429 after it shows, is none.
        if not is_echo and (retry_after is None or self._breaths > 1):
            pause = max(pause, self._back_off_seconds(now, too_fast))
        self.cool(now + pause)

    def _back_off_seconds(self, now: float, too_fast: bool) -> float:
        least = TOO_FAST_SECONDS if too_fast else BACK_OFF_SECONDS
        doublings = min(self._breaths - 1, DOUBLINGS_MAX)
        seconds: float = least * 2.0**doublings
        seconds = min(seconds, BACK_OFF_SECONDS_MAX)
        if not too_fast:
            return seconds
        rate = self._learnt.per_minute or self._before_row
        if rate and now < self._row_at + WINDOW_SECONDS:
            seconds = min(seconds, max(least, CALLS_A_REFUSAL * WINDOW_SECONDS / rate))
        # When a window begins to let go of what was started before the row, and when it has.
        moments = (self._minute_began_at, self._row_at)
        releases = [moment + WINDOW_SECONDS + TOO_FAST_SECONDS - now for moment in moments]
        return min([seconds, *(release for release in releases if release > least)])

    def announce(self, per_minute: int) -> None:
        """The server named its limit a minute."""
        self.named = float(per_minute) * LEARNT_SHARE

    def cool(self, until: float) -> None:
        """No start before `until`, and then one call first."""
        self.cool_until = max(self.cool_until, until)
        self.thawing = 1
