"""A limit a minute that nobody named, learnt from 429, and the trials that it goes through. Pure:
the time is a parameter.

As many starts as went well in the minute before the 429 are the limit, for now. That number is a
guess (the minute may be ten seconds old, the 429 chance), so once calls went well for
`TRIAL_SECONDS` the lane runs without it, on trial, until 429 come again or twice the number was
taken up within a minute, which no such limit allows.

429 come in two ways. A row of them, or a long Retry-After, is a limit hit hard: it teaches at once.
One by one they are a limit that is only just passed, or chance: a slower pace is tried, and kept
only if it makes them fewer.
"""

from math import inf, sqrt

from generator.lanes.spacing import WINDOW_SECONDS, LastMinute, Spacing

LEARNT_SHARE = 0.95  # of the starts that went well in the minute before a 429
LEAST_LEARNT = 10  # a minute with fewer starts teaches nothing about a limit a minute

# so long calls go well at a learnt pace before a faster one is tried
TRIAL_SECONDS = 30.0
TRIAL_SECONDS_MAX = 1800.0
TRIAL_GROWTH = 4.0  # so many times longer each time that the trial drew 429
TRIAL_STEP = 1.25  # a trial that drew 429 raises the pace so far at most
# a trial runs at so many times the pace: soon decided, and a handful is refused at its end
TRIAL_FACTOR = 8.0
# the least where a share taught it: that was a whole minute's work, and is judged by itself
SHARE_TRIAL_SECONDS = 120.0
# so many times what a limit allows in a minute were taken up in one: there is no such limit. A
# fixed window, or a bucket, takes up to twice its limit in 60 seconds, none takes more
DISPROOF = 2
PROVED_SECONDS = 600.0  # how long what was taken up in a minute counts as proof

# so many 429 in a minute and more than this share of its starts mean a limit as well,
OFTEN = 10
OFTEN_SHARE = 0.03
CHANCE_FACTOR = 2.0  # and more than so many times the share that a slower pace did not change
DEVIATIONS = 2  # of a Poisson count above that
IMPROVED_SHARE = 0.5  # a slower pace that leaves more than this of the share of 429 was in vain
CHANCE_SECONDS = 1800.0  # how long such a share is taken for chance


class LearntPace:
    """`per_minute`: the pace, 0 where none is known. `on_trial_since`: it is not kept now."""

    def __init__(self, minute: LastMinute, spacing: Spacing) -> None:
        self.per_minute = 0.0
        self.on_trial_since: float | None = None
        self._minute = minute
        self._spacing = spacing
        self._proved = 0  # most starts that went well in a minute,
        self._proved_at = -inf  # and when
        self._changed_at = -inf
        # None: when the first call at the learnt pace went well, and so long after
        self._trial_at: float | None = None
        self._trial_seconds = TRIAL_SECONDS
        # the share of 429 that taught the pace in force; 0: a row or a long pause did
        self._taught_by_share = 0.0
        self._pace_before_share = 0.0  # the pace before the last step down that a share taught
        self._chance_share = 0.0
        self._chance_until = -inf

    @property
    def in_force(self) -> float:
        """Starts a minute that are allowed now; 0: as many as one likes."""
        return self.per_minute if self.on_trial_since is None else TRIAL_FACTOR * self.per_minute

    @property
    def _is_kept(self) -> bool:
        return bool(self.per_minute) and self.on_trial_since is None

    def taken_up(self, now: float) -> None:
        """The server took a call up that started after the last 429."""
        count = self._minute.went_well(now)
        if count >= self._proved or now >= self._proved_at + PROVED_SECONDS:
            self._proved = count
            self._proved_at = now
        if self.per_minute:
            self._proceed_with_trial(now)

    def learn(self, now: float, went_well: int) -> None:
        """There is a limit a minute, at about what went well in the last one."""
        if self._is_kept:
            if now < self._changed_at + WINDOW_SECONDS:
                return  # what was started before the pace was changed still counts at the server
            self._proved = 0  # a limit that fell
        elif self._proved > DISPROOF * went_well:
            went_well = self._proved // DISPROOF
        if went_well < LEAST_LEARNT:
            return
        pace = LEARNT_SHARE * went_well
        if not self.per_minute:
            self.per_minute = pace
        elif self.on_trial_since is None:
            self.per_minute = min(self.per_minute, pace)
        else:
            self._fail_trial(pace)
        self._keep(now)

    def learn_from_share(self, now: float) -> None:
        """429 that come one by one: a limit that is only just passed, or chance. A slower pace
        tells which.
        """
        one_pace_since = max(self._minute.begun_at, self._changed_at)
        if self.on_trial_since is None and now < WINDOW_SECONDS + one_pace_since:
            return  # what is counted is not a minute at one pace
        if not self._is_more_than_chance(now):
            return
        share = self._minute.refusals / max(1, self._minute.starts)
        was_kept = self._is_kept
        if was_kept and self._taught_by_share and share > IMPROVED_SHARE * self._taught_by_share:
            # The last step down was in vain: the share is chance, for a while.
            self._chance_share = share
            self._chance_until = now + CHANCE_SECONDS
            self._step_back_up(now)
            return
        pace_before = self.per_minute
        self.learn(now, self._minute.went_well(now))
        self._taught_by_share = share
        self._pace_before_share = pace_before if was_kept else 0.0

    def _is_more_than_chance(self, now: float) -> bool:
        refusals = self._minute.refusals
        chance_share = OFTEN_SHARE
        if now < self._chance_until:
            chance_share += CHANCE_FACTOR * self._chance_share
        by_chance = self._minute.starts * chance_share
        return refusals >= OFTEN and refusals > by_chance + DEVIATIONS * sqrt(by_chance)

    def _step_back_up(self, now: float) -> None:
        self.per_minute = self._pace_before_share
        if self.per_minute:
            self._keep(now)
        else:
            self._unlearn(now)

    def _keep(self, now: float) -> None:
        """From now on the learnt pace is kept, until the next trial."""
        self.on_trial_since = None
        self._changed_at = now
        self._trial_at = None
        self._taught_by_share = 0.0
        # The last minute's starts are within the pace by then.
        self._spacing.hold(now + (1 - LEARNT_SHARE) * WINDOW_SECONDS)

    def _unlearn(self, now: float) -> None:
        self.per_minute = 0.0
        self.on_trial_since = None
        self._trial_seconds = TRIAL_SECONDS
        self._changed_at = now

    # Trials

    def _proceed_with_trial(self, now: float) -> None:
        """Set its time, begin it, or end it well."""
        if self.on_trial_since is not None:
            starts = self._minute.starts_since(self.on_trial_since)
            if starts > DISPROOF * self.per_minute / LEARNT_SHARE:
                self._unlearn(now)
        elif self._trial_at is None:
            least_seconds = SHARE_TRIAL_SECONDS if self._taught_by_share else 0.0
            self._trial_at = now + max(self._trial_seconds, least_seconds)
        elif now >= self._trial_at:
            self.on_trial_since = now
            self._spacing.free()

    def _fail_trial(self, pace: float) -> None:
        """It drew 429. A fixed window may have taken twice its limit in this minute: a step, no
        more.
        """
        step = TRIAL_STEP * self.per_minute
        self.per_minute = max(self.per_minute, min(pace, step))
        self._trial_seconds = min(TRIAL_GROWTH * self._trial_seconds, TRIAL_SECONDS_MAX)
