"""The trial of a learnt pace: is the limit still there? Pure: the time is a parameter.

What was learnt may be wrong, or true no longer. So the pace creeps up by a tenth each second until
a 429 that is more than chance ends the trial at the former pace. A trial that lasts a minute, or
lets in twice what a window could hold, has shown that there is no such limit.

A trial may cost one call in eighty, whatever the limit is: the next one waits for so many calls for
each 429 that came of the last. A pace that no trial has confirmed is a guess, and tried after the
calls of twenty seconds: a small bucket that was emptied at once looks like a limit of as many a
minute.
"""

from math import inf

from generator.lanes.kept_pace import LEARNT_SHARE, KeptPace
from generator.lanes.spacing import WINDOW_SECONDS

CALLS_A_REFUSAL = 80  # taken up before the next trial, for each 429 that the last one cost
GUESS_SECONDS = 20.0  # of calls at a pace that no trial has confirmed, before its first
LEAST_SECONDS = 10.0  # between two trials
PAUSES_APART = 20.0  # between two trials, so many times the pause that the last one ended in
GROWTH = 1.1  # of the pace on trial, a second
# So many times what a limit allows in a minute were let in: there is no such limit. A fixed window,
# or a bucket, lets in up to twice its limit in 60 seconds, none lets in more.
DISPROOF = 2


class PaceTrial:
    """The trial under way, or the latest. `since`: when the one under way began; None: there is
    none.
    """

    def __init__(self) -> None:
        self.since: float | None = None
        self._began = inf  # the latest; inf: none since the pace was learnt
        self._cost = 0  # 429 that came of it
        self._pause = 0.0  # seconds that its 429 named, at most

    @property
    def is_under_way(self) -> bool:
        """Whether the pace is being tried now."""
        return self.since is not None

    def begin(self, now: float) -> None:
        """From now on the pace creeps up."""
        self.since = now
        self._began = now
        self._cost = 0
        self._pause = 0.0

    def end(self) -> None:
        """The pace creeps up no more; 429 to calls that started before may still come of it."""
        self.since = None

    def forget(self) -> None:
        """The pace that was tried is another one now."""
        self._began = inf
        self._cost = 0
        self._pause = 0.0

    def on_trial(self, now: float, per_minute: float) -> float:
        """Starts a minute that are allowed now, of a pace that is kept outside trials."""
        if self.since is None:
            return per_minute
        return per_minute * float(GROWTH ** (now - self.since))

    def count_refusal(self, now: float, kept: KeptPace) -> None:
        """A 429 came: on trial, and in the minute after one, it counts as its cost."""
        is_just_over = self._began < inf and now < kept.changed_at + WINDOW_SECONDS
        if self.is_under_way or is_just_over:
            self._cost += 1

    def note_pause(self, seconds: float) -> None:
        """A 429 that came of the trial named a pause."""
        self._pause = max(self._pause, seconds)

    def explains(self, started_at: float, kept: KeptPace) -> bool:
        """Whether a call that started then started on trial."""
        if started_at < self._began:
            return False
        return self.is_under_way or started_at <= kept.changed_at

    def is_due(self, now: float, kept: KeptPace, is_guess: bool) -> bool:
        """Whether calls and seconds enough have gone by since the last one."""
        seconds = max(LEAST_SECONDS, PAUSES_APART * self._pause)
        calls = float(CALLS_A_REFUSAL)
        if is_guess:
            calls = min(calls, kept.per_minute * GUESS_SECONDS / WINDOW_SECONDS)
        calls *= max(1, self._cost)
        return kept.calls >= calls and now >= kept.changed_at + seconds

    def has_disproved(self, now: float, starts: int, per_minute: float) -> bool:
        """Whether it lasted a minute, or let in more than a limit could. `starts`: since it
        began.
        """
        if self.since is None:
            return False
        is_disproved = starts > DISPROOF * per_minute / LEARNT_SHARE
        return is_disproved or now >= self.since + WINDOW_SECONDS
