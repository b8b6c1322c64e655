"""A limit a minute that nobody named: learnt from 429, kept, and tried again and again. Pure: the
time is a parameter.

- A limit that is hit hard (a row of 429 that the number in flight does not explain, or a long
  Retry-After) is, for now, as many starts as went well in the minute before.
- A limit that is only just passed shows by 429 one by one. So does chance: a slower pace tells
  which, and is kept only where it makes them fewer.
- What was learnt may be wrong, or true no longer. So it is tried: the pace creeps up by a tenth
  each second. The first 429 that is more than chance ends the trial at the former pace; a trial
  that lasts a minute, or lets in twice what a window could hold, forgets the limit.
- A trial may cost one call in eighty, whatever the limit is: the next one waits for so many
  calls for each 429 that came of the last.
"""

from math import inf, sqrt
from typing import Literal

from generator.lanes.spacing import WINDOW_SECONDS, LastMinute, Spacing

LEARNT_SHARE = 0.95  # of the starts that went well in the minute before a 429
LEAST_LEARNT = 10  # a minute with fewer starts teaches nothing about a limit a minute
# so many times what a limit allows in a minute were let in: there is no such limit. A fixed window,
# or a bucket, lets in up to twice its limit in 60 seconds, none lets in more
DISPROOF = 2
FULL_SHARE = 0.9  # of the most that went well in a minute: a full one
PROVED_SECONDS = 600.0  # how long what was taken up in a minute counts as proof

CALLS_A_REFUSAL = 80  # taken up before the next trial, for each 429 that the last one cost
LEAST_TRIAL_SECONDS = 10.0  # between two trials
PAUSES_APART = 20.0  # between two trials, so many times the pause that the last one ended in
GROWTH = 1.1  # of the pace on trial, a second
RAISE = 1.1  # of a pace whose trial went so far, where no pace had to be lowered lately
RAISE_SECONDS = 1800.0  # before the next, when it drew 429

# so many 429 one by one, and more than this share of the calls, mean a limit as well,
OFTEN = 10
OFTEN_SHARE = 0.03
CHANCE_FACTOR = 2.0  # and more than so many times the share that a slower pace did not change
DEVIATIONS = 2  # of a Poisson count above that
LATELY_SECONDS = 15.0  # the minute before may have emptied a bucket
LEAST_SHARE_SECONDS = 15.0  # at one learnt pace, before its share says anything
STEPS = 2  # down, before they are called in vain
IMPROVED_SHARE = 0.5  # a slower pace that leaves more than this of the share of 429 was in vain
CHANCE_SECONDS = 1800.0  # how long such a share is taken for chance
MEMORY = 200  # calls over which the share of lone 429 is a mean
NO_CHANCE = 0.004  # below this share a single 429 ends a trial
KNOWN_CHANCE = 0.0075
SPARE = 2  # otherwise so many more than chance explains
ROW_BEGINNING = 2  # 429 of a row that were taken for lone ones, before it was one

Refusal = Literal["lone", "limit in flight", "limit a minute"]


class LearntPace:
    """`per_minute`: the limit's pace, 0 where none is known. `trial_since`: it is being tried."""

    def __init__(self, minute: LastMinute, spacing: Spacing) -> None:
        self.per_minute = 0.0
        self.trial_since: float | None = None
        self._minute = minute
        self._spacing = spacing
        self._proved = 0  # most starts that went well in a minute,
        self._proved_at = -inf  # and when
        self._changed_at = -inf
        self._kept_since = -inf  # the same, and after the pause that a change begins with
        self._calls = 0  # taken up since the pace was changed
        self._refusals = 0  # 429 since then, or since the trial began
        self._trial_began = inf  # the latest
        self._is_confirmed = False  # by a trial that drew 429
        self._trial_cost = 0  # 429 that came of it
        self._trial_pause = 0.0  # seconds that its 429 named
        self._lone_share = 0.0  # of 429 among the latest calls, those of limits and trials aside
        self._steps = 0  # down that a share of 429 taught, one after the other,
        # and the share that taught the first; 0: a row or a long pause taught the pace
        self._taught_by_share = 0.0
        self._pace_before_share = 0.0  # the pace before the first of these
        self._chance_share = 0.0
        self._chance_until = -inf
        self._before_raise = 0.0  # the pace before its last raise, until a trial confirms that
        self._raise_at = -inf  # not before

    def in_force(self, now: float) -> float:
        """Starts a minute that are allowed now; 0: as many as one likes."""
        if self.trial_since is None:
            return self.per_minute
        return self.per_minute * float(GROWTH ** (now - self.trial_since))

    def room_at(self) -> float:
        """When the last minute has a place for one more start, at the pace that is kept."""
        is_guess = not self._is_confirmed  # nobody waits a minute for it
        if not self.per_minute or self.trial_since is not None or is_guess:
            return -inf
        return self._minute.room_at(int(self.per_minute) + 1)

    def is_minute_full(self, now: float) -> bool:
        """Whether the last minute says how many starts may go well in one: about as many did as
        ever lately, or the lane has been at work for a while.
        """
        is_old = now >= self._minute.begun_at + 2 * WINDOW_SECONDS
        return is_old or self._minute.went_well(now) >= FULL_SHARE * self._proved

    def presses(self, now: float, started_at: float) -> bool:
        """Whether a call that started then may have drawn its 429 from a trial: in a minute that
        is not full, no limit a minute refuses.
        """
        if not self.per_minute or started_at < self._trial_began:
            return False
        is_of_trial = self.trial_since is not None or started_at <= self._changed_at
        return is_of_trial and self._minute.went_well(now) >= FULL_SHARE * self.per_minute

    @property
    def is_chance_known(self) -> bool:
        """Whether lone 429 have come among calls that went well, and again."""
        return self._lone_share > KNOWN_CHANCE

    def taken_up(self, now: float) -> None:
        """The server took a call up that started after the last 429."""
        count = self._minute.went_well(now)
        if count >= self._proved or now >= self._proved_at + PROVED_SECONDS:
            self._proved = count
            self._proved_at = now
        self._calls += 1
        if self.trial_since is not None:
            self._end_trial_well(now, self.trial_since)
            return
        self._lone_share -= self._lone_share / MEMORY
        if self.per_minute and self._is_trial_due(now):
            self.trial_since = now
            self._trial_began = now
            self._trial_cost = 0
            self._trial_pause = 0.0
            self._calls = 0
            self._refusals = 0

    def refused(
        self, now: float, started_at: float, went_well: int, kind: Refusal, pause: float
    ) -> None:
        """A 429 to a call that started then. `went_well`: starts in the minute before it.
        `pause`: seconds that it names.
        """
        if self.trial_since is not None or self._is_trial_just_over(now):
            self._trial_cost += 1
        if self.presses(now, started_at):
            self._trial_pause = max(self._trial_pause, pause)
            self._refusals += 1
            if self.trial_since is not None and self._is_more_than_chance_in_trial(kind):
                self._fail_trial(now)
            return
        if self.trial_since is not None and kind == "limit a minute":
            self.learn(now, went_well)
        if self.trial_since is not None or started_at < self._changed_at:
            return  # it says nothing about the pace that is kept
        if self._before_raise:
            self._take_back_raise(now)
            return
        if kind != "lone":
            self._lone_share = max(0.0, self._lone_share - ROW_BEGINNING / MEMORY)
        if kind == "limit a minute":
            self.learn(now, went_well)
        if kind != "lone":
            return
        self._lone_share += (1 - self._lone_share) / MEMORY
        self._refusals += 1
        self._learn_from_share(now)

    def learn(self, now: float, went_well: int) -> None:
        """There is a limit a minute, at about what went well in the last one."""
        if self.per_minute:
            if self.trial_since is None and now < self._changed_at + WINDOW_SECONDS:
                return  # what was started before the pace was changed still counts at the server
            self._proved = 0  # a limit that fell
        elif self._proved > DISPROOF * went_well:
            went_well = self._proved // DISPROOF
        if went_well >= LEAST_LEARNT:
            self._forget_share()
            self._lower(now, LEARNT_SHARE * went_well)

    def _lower(self, now: float, pace: float) -> None:
        if self.per_minute:
            pace = min(pace, self.per_minute)
            self._raise_at = now + RAISE_SECONDS
        self._trial_cost = 0
        self._trial_pause = 0.0
        self._trial_began = inf
        self._keep(now, pace)

    def _keep(self, now: float, pace: float) -> None:
        """From now on this pace is kept, until the next trial."""
        self.per_minute = pace
        self.trial_since = None
        self._changed_at = now
        self._calls = 0
        self._refusals = 0
        # The last minute's starts are within the pace by then.
        least = now + (1 - LEARNT_SHARE) * WINDOW_SECONDS
        self._kept_since = max(least, self.room_at())
        self._spacing.hold(self._kept_since)

    def _unlearn(self, now: float) -> None:
        self._keep(now, 0.0)
        self._is_confirmed = False
        self._forget_share()
        self._spacing.free()

    def _forget_share(self) -> None:
        self._steps = 0
        self._taught_by_share = 0.0

    # One by one

    def _learn_from_share(self, now: float) -> None:
        """429 that come one by one: a limit that is only just passed, or chance."""
        seconds = min(now - max(self._minute.begun_at, self._kept_since), WINDOW_SECONDS)
        if seconds < (LEAST_SHARE_SECONDS if self.per_minute else WINDOW_SECONDS):
            return  # what is counted is not at one pace
        refusals = self._refusals if self.per_minute else self._minute.refusals
        calls = self._calls if self.per_minute else self._minute.went_well(now)
        lately = self._minute.went_well(now, LATELY_SECONDS) * WINDOW_SECONDS / LATELY_SECONDS
        share = refusals / (refusals + calls)
        if not self._is_more_than_chance(now, refusals, refusals + calls):
            return
        is_better = share <= IMPROVED_SHARE * self._taught_by_share
        if self._steps >= STEPS and not is_better:
            # The steps down were in vain: the share is chance, for a while.
            self._is_chance(now, share)
            pace_before = self._pace_before_share
            if pace_before:
                self._keep(now, pace_before)
                self._forget_share()
            else:
                self._unlearn(now)
            return
        pace_before = self.per_minute
        went_well = max(min(self._minute.went_well(now), lately), pace_before / 4)
        if went_well < LEAST_LEARNT:
            return
        self._lower(now, LEARNT_SHARE * went_well)
        if is_better or not self._steps:
            self._steps = 0
            self._taught_by_share = share
            self._pace_before_share = pace_before
        self._steps += 1

    def _is_chance(self, now: float, share: float) -> None:
        """So many of the calls are refused whatever their pace."""
        self._chance_share = share
        self._chance_until = now + CHANCE_SECONDS

    def _is_more_than_chance(self, now: float, refusals: int, calls: int) -> bool:
        chance_share = OFTEN_SHARE
        if now < self._chance_until:
            chance_share += CHANCE_FACTOR * self._chance_share
        by_chance = calls * chance_share
        return refusals >= OFTEN and refusals > by_chance + DEVIATIONS * sqrt(by_chance)

    # Trials

    def _is_trial_due(self, now: float) -> bool:
        seconds = max(LEAST_TRIAL_SECONDS, PAUSES_APART * self._trial_pause)
        calls = CALLS_A_REFUSAL * max(1, self._trial_cost)
        return self._calls >= calls and now >= self._changed_at + seconds

    def _is_more_than_chance_in_trial(self, kind: Refusal) -> bool:
        if kind != "lone" or self._lone_share < NO_CHANCE:
            return True
        share = max(CHANCE_FACTOR * self._lone_share, OFTEN_SHARE)
        by_chance = share * (self._calls + self._refusals)
        return self._refusals > by_chance + SPARE

    def _is_trial_just_over(self, now: float) -> bool:
        return self._trial_began < inf and now < self._changed_at + WINDOW_SECONDS

    def _end_trial_well(self, now: float, began: float) -> None:
        starts = self._minute.starts_since(began)
        is_disproved = starts > DISPROOF * self.per_minute / LEARNT_SHARE
        if is_disproved or now >= began + WINDOW_SECONDS:
            if self._taught_by_share:
                self._is_chance(now, self._taught_by_share)
            self._unlearn(now)

    def _fail_trial(self, now: float) -> None:
        """It drew 429. How far it came may be a limit that rose a little, or the turn of a fixed
        window: a small step tells.
        """
        pace = self.per_minute
        self._is_confirmed = True
        self._before_raise = 0.0
        if LEARNT_SHARE * self._minute.went_well(now) > RAISE * pace and now >= self._raise_at:
            self._before_raise = pace
            pace *= RAISE
        self._keep(now, pace)

    def _take_back_raise(self, now: float) -> None:
        pace = self._before_raise
        self._before_raise = 0.0
        self._raise_at = now + RAISE_SECONDS
        self._keep(now, pace)
