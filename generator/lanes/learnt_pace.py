"""A limit a minute that nobody named: learnt from 429, kept, and tried again and again. Pure: the
time is a parameter.

- A limit that is hit hard (a row of 429 that the number in flight does not explain, or a long
  Retry-After) is, for now, as many starts as went well in the minute before.
- A limit that is only just passed shows by 429 one by one. So does chance
  (`chance_refusals.py`): a slower pace tells which, and is kept only where it makes them fewer
  (`pace_steps.py`).
- What was learnt may be wrong, or true no longer. So it is tried (`pace_trial.py`): the pace creeps
  up until the first 429 that is more than chance, or until there is no such limit.
"""

from math import inf
from typing import Literal

from generator.lanes.chance_refusals import ChanceRefusals
from generator.lanes.fullest_minute import FULL_SHARE, FullestMinute
from generator.lanes.kept_pace import LEARNT_SHARE, KeptPace
from generator.lanes.pace_steps import FAR_BEYOND, StepsDown, TentativeRaise
from generator.lanes.pace_trial import DISPROOF, PaceTrial
from generator.lanes.spacing import WINDOW_SECONDS, LastMinute, Spacing

LEAST_LEARNT = 10  # a minute with fewer starts teaches nothing about a limit a minute
LATELY_SECONDS = 15.0  # the minute before may have emptied a bucket
LEAST_SHARE_SECONDS = 15.0  # at one learnt pace, before its share of 429 says anything
LEAST_STEP = 0.25  # of the pace before: a step down goes no further

Refusal = Literal["lone", "limit in flight", "limit a minute"]


class LearntPace:
    """What calls taken up and 429 teach, and the pace that is in force for it."""

    def __init__(self, minute: LastMinute, spacing: Spacing) -> None:
        self._minute = minute
        self._spacing = spacing
        self._kept = KeptPace()
        self._trial = PaceTrial()
        self._is_confirmed = False  # by a trial that drew 429
        self._fullest = FullestMinute(minute)
        self._chance = ChanceRefusals()
        self._steps = StepsDown()
        self._raise = TentativeRaise()

    @property
    def per_minute(self) -> float:
        """The limit's pace; 0 where none is known."""
        return self._kept.per_minute

    @property
    def is_chance_known(self) -> bool:
        """Whether lone 429 have come among calls that went well, and again."""
        return self._chance.is_known

    def in_force(self, now: float) -> float:
        """Starts a minute that are allowed now; 0: as many as one likes."""
        return self._trial.on_trial(now, self._kept.per_minute)

    def room_at(self) -> float:
        """When the last minute has a place for one more start, at the pace that is kept."""
        is_guess = not self._is_confirmed  # nobody waits a minute for it
        if not self.per_minute or self._trial.is_under_way or is_guess:
            return -inf
        return self._minute.room_at(int(self.per_minute) + 1)

    def is_minute_full(self, now: float) -> bool:
        """Whether the last minute says how many starts may go well in one."""
        return self._fullest.is_matched(now)

    def presses(self, now: float, started_at: float) -> bool:
        """Whether a call that started then may have drawn its 429 from a trial: in a minute that
        is not full, no limit a minute refuses.
        """
        if not self.per_minute or not self._trial.explains(started_at, self._kept):
            return False
        return self._minute.went_well(now) >= FULL_SHARE * self.per_minute

    # What calls meet

    def taken_up(self, now: float) -> None:
        """The server took a call up that started after the last 429."""
        self._fullest.note(now)
        self._kept.calls += 1
        if self._trial.since is not None:
            self._look_at_trial(now, self._trial.since)
            return
        self._chance.count_taken_up()
        is_guess = not self._is_confirmed
        if self.per_minute and self._trial.is_due(now, self._kept, is_guess):
            self._trial.begin(now)
            self._kept.count_anew()

    def _look_at_trial(self, now: float, since: float) -> None:
        starts = self._minute.starts_since(since)
        if not self._trial.has_disproved(now, starts, self.per_minute):
            return
        if self._steps.first_share:  # what a share of 429 seemed to teach was chance
            self._chance.accept(now, self._steps.first_share)
        self._unlearn(now)

    def refused(
        self,
        now: float,
        started_at: float,
        went_well: int,
        kind: Refusal,
        pause: float,
    ) -> None:
        """A 429 to a call that started then. `went_well`: starts in the minute before it.
        `pause`: seconds that it names.
        """
        self._trial.count_refusal(now, self._kept)
        if self.presses(now, started_at):
            self._refused_by_trial(now, kind, pause)
            return
        is_hard = kind == "limit a minute"
        if is_hard and self._trial.is_under_way:
            self._learn_from_row(now, went_well)
        is_old = started_at < self._kept.changed_at
        if is_old or self._trial.is_under_way:
            return  # it says nothing about the pace that is kept
        if self._raise.is_open:
            pace_before = self._raise.taken_back(now)
            self._keep(now, pace_before)
        elif kind == "lone":
            self._chance.count_refusal()
            self._kept.refusals += 1
            self._learn_from_share(now)
        else:
            self._chance.take_back_row()
            if is_hard:
                self._learn_from_row(now, went_well)

    def _refused_by_trial(self, now: float, kind: Refusal, pause: float) -> None:
        self._trial.note_pause(pause)
        self._kept.refusals += 1
        if not self._trial.is_under_way:
            return
        refusals = self._kept.refusals
        calls = refusals + self._kept.calls
        if kind != "lone" or self._chance.is_exceeded_on_trial(refusals, calls):
            self._end_trial(now)

    # What they teach

    def _learn_from_row(self, now: float, went_well: int) -> None:
        """There is a limit a minute, at about what went well in the last one."""
        if self.per_minute:
            is_fresh = now < self._kept.changed_at + WINDOW_SECONDS
            if is_fresh and not self._trial.is_under_way:
                return  # what was started before the pace was changed still counts at the server
            self._fullest.forget()
        elif self._fullest.starts > DISPROOF * went_well:
            went_well = self._fullest.starts // DISPROOF
        if went_well >= LEAST_LEARNT:
            self._steps.forget()
            self._lower(now, LEARNT_SHARE * went_well)

    def _learn_from_share(self, now: float) -> None:
        """429 that come one by one: a limit that is only just passed, or chance."""
        begun_at = max(self._minute.begun_at, self._kept.in_effect_since)
        seconds = min(now - begun_at, WINDOW_SECONDS)
        if self.per_minute:
            least_seconds = LEAST_SHARE_SECONDS
            refusals = self._kept.refusals
            calls = refusals + self._kept.calls
        else:
            least_seconds = WINDOW_SECONDS
            refusals = self._minute.refusals
            calls = refusals + self._minute.went_well(now)
        if seconds < least_seconds:
            return  # what is counted is not at one pace
        if not self._chance.is_exceeded(now, refusals, calls):
            return
        share = refusals / calls
        if self._steps.are_in_vain(share):
            self._take_for_chance(now, share)
        else:
            self._step_down(now, share)

    def _step_down(self, now: float, share: float) -> None:
        pace_before = self.per_minute
        starts_lately = self._minute.went_well(now, LATELY_SECONDS)
        lately = starts_lately * WINDOW_SECONDS / LATELY_SECONDS
        went_well = min(self._minute.went_well(now), lately)
        went_well = max(went_well, LEAST_STEP * pace_before)
        if went_well >= LEAST_LEARNT:
            self._lower(now, LEARNT_SHARE * went_well)
            self._steps.take(share, pace_before)

    def _take_for_chance(self, now: float, share: float) -> None:
        """The steps down were in vain: back to the pace before them."""
        self._chance.accept(now, share)
        if self._steps.pace_before:
            self._keep(now, self._steps.pace_before)
            self._steps.forget()
        else:
            self._unlearn(now)

    # The pace that follows

    def _end_trial(self, now: float) -> None:
        """It drew 429: the limit is there."""
        reached = LEARNT_SHARE * self._minute.went_well(now)
        if reached <= FAR_BEYOND * self.per_minute:
            self._is_confirmed = True
        pace = self._raise.raised(now, self.per_minute, reached)
        self._keep(now, pace)

    def _unlearn(self, now: float) -> None:
        self._keep(now, 0.0)
        self._is_confirmed = False
        self._steps.forget()
        self._spacing.free()

    def _lower(self, now: float, pace: float) -> None:
        if self.per_minute:
            pace = min(pace, self.per_minute)
            self._raise.postpone(now)
        self._trial.forget()
        self._keep(now, pace)

    def _keep(self, now: float, pace: float) -> None:
        """From now on this pace is kept, until the next trial."""
        self._trial.end()
        self._kept.change(now, pace)
        # The last minute's starts are within the pace by then.
        least = now + (1 - LEARNT_SHARE) * WINDOW_SECONDS
        self._kept.in_effect_since = max(least, self.room_at())
        self._spacing.hold(self._kept.in_effect_since)
