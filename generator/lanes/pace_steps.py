"""Small changes of a learnt pace, which show by what follows whether they were right. Pure: the
time is a parameter.
"""

from math import inf

STEPS_MAX = 2  # down, before they are called in vain
IMPROVED_SHARE = 0.5  # a slower pace that leaves more than this of the share of 429 was in vain
# A trial that let in so many times its pace before its 429 has not confirmed it: it was wrong.
FAR_BEYOND = 1.5
RAISE = 1.1  # of a pace whose trial went so far, where no pace had to be lowered lately
RAISE_SECONDS = 1800.0  # before the next, when it drew 429


class StepsDown:
    """Slower paces, one after the other, that a share of lone 429 taught. Fewer 429 at a slower
    pace show a limit; where as many come as before, they come by chance.

    `first_share`: that taught the first step; 0: a row or a long pause taught the pace.
    `pace_before`: starts a minute before the first step; 0: none was known.
    """

    def __init__(self) -> None:
        self.first_share = 0.0
        self.pace_before = 0.0
        self._count = 0

    def is_improvement(self, share: float) -> bool:
        """Whether this share of 429 is far below the first step's."""
        return share <= IMPROVED_SHARE * self.first_share

    def are_in_vain(self, share: float) -> bool:
        """Whether steps enough were taken, and this share of 429 still comes."""
        return self._count >= STEPS_MAX and not self.is_improvement(share)

    def take(self, share: float, pace_before: float) -> None:
        """One more step; the first of a new row of them where the last ones helped."""
        if self.is_improvement(share) or not self._count:
            self._count = 0
            self.first_share = share
            self.pace_before = pace_before
        self._count += 1

    def forget(self) -> None:
        """The pace has another reason now."""
        self._count = 0
        self.first_share = 0.0


class TentativeRaise:
    """A tenth more, after a trial that came so far; all that it reached, where that is far more. The
    first 429 before the next trial takes it back.
    """

    def __init__(self) -> None:
        self._pace_before = 0.0  # 0: no raise waits for its trial
        self._not_before = -inf

    @property
    def is_open(self) -> bool:
        """Whether the last raise waits for its trial."""
        return self._pace_before > 0

    def raised(self, now: float, per_minute: float, reached: float) -> float:
        """The pace after a trial that came to `reached` starts a minute. What the trial reached
        may be a limit that rose a little, or the turn of a fixed window: a small step tells.
        """
        self._pace_before = 0.0
        if reached <= RAISE * per_minute or now < self._not_before:
            return per_minute
        self._pace_before = per_minute
        if reached > FAR_BEYOND * per_minute:
            return reached
        return per_minute * RAISE

    def taken_back(self, now: float) -> float:
        """The pace before the raise, which drew 429."""
        pace = self._pace_before
        self._pace_before = 0.0
        self.postpone(now)
        return pace

    def postpone(self, now: float) -> None:
        """A pace had to be lowered: no raise for a while."""
        self._not_before = now + RAISE_SECONDS
