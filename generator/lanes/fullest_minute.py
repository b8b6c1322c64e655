"""The fullest minute of late: as many starts as a limit a minute must allow at least. Pure: the
time is a parameter.
"""

from math import inf

from generator.lanes.spacing import WINDOW_SECONDS, LastMinute

FULL_SHARE = 0.9  # of the most that went well in a minute: a full one
PROOF_SECONDS = 600.0  # how long what was taken up in a minute counts as proof


class FullestMinute:
    """`starts`: the most that went well in a minute lately."""

    def __init__(self, minute: LastMinute) -> None:
        self.starts = 0
        self._noted_at = -inf
        self._minute = minute

    def note(self, now: float) -> None:
        """A call was taken up: the minute before may be the fullest."""
        count = self._minute.went_well(now)
        if count >= self.starts or now >= self._noted_at + PROOF_SECONDS:
            self.starts = count
            self._noted_at = now

    def forget(self) -> None:
        """The limit fell: what went well before proves nothing."""
        self.starts = 0

    def is_matched(self, now: float) -> bool:
        """Whether the last minute says how many starts may go well in one: about as many did as
        ever lately, or the lane has been at work for a while.
        """
        is_old = now >= self._minute.begun_at + 2 * WINDOW_SECONDS
        return is_old or self._minute.went_well(now) >= FULL_SHARE * self.starts
