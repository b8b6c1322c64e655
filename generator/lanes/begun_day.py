"""A run that goes on in a day of which a part is spent already: when its samples are done. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from generator.lanes.bisection import first_day
from generator.spending import Spent


@dataclass(frozen=True, slots=True)
class BegunDay:
    """What an account, or the whole run, has spent of its present day."""

    spent: Spent
    days_to_turn: float  # until the day ends, as a part of one


NOT_BEGUN = BegunDay(Spent(), 0.0)


@dataclass(frozen=True, slots=True)
class Course:
    """Samples over time: until the day turns at the lane's rate and up to what the day still
    allows, then evenly.
    """

    samples_per_day: float  # from the turn on
    rate_per_day: float = 0.0  # today
    samples_today: float = 0.0  # that the day still allows; inf: any number
    days_to_turn: float = 0.0

    def within(self, days: float) -> float:
        """Samples that may be done after so many days."""
        days_before_turn = min(days, self.days_to_turn)
        samples = min(self.rate_per_day * days_before_turn, self.samples_today)
        days_after_turn = days - days_before_turn
        return samples + self.samples_per_day * days_after_turn if days_after_turn else samples


def days_until(samples: float, lanes: Sequence[Course], run: Course | None) -> float:
    """Days until the lanes, side by side, have done so many; inf: never. `run`: what the run's
    own budget allows them together.
    """

    def is_enough(days: float) -> bool:
        together = sum(lane.within(days) for lane in lanes)
        allowed = inf if run is None else run.within(days)
        return min(together, allowed) >= samples

    return first_day(is_enough)
