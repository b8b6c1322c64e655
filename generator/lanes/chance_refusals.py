"""429 that come by chance, whatever the pace: how many, and whether there are more than that.
Pure: the time is a parameter.

A server may refuse a share of all calls, for reasons of its own. Only 429 beyond that share, and
beyond what the luck of the draw makes of it, say anything about a limit.
"""

from math import inf, sqrt

OFTEN = 10  # so many 429 one by one,
OFTEN_SHARE = 0.03  # and more than this share of the calls, mean a limit,
CHANCE_FACTOR = 2.0  # and more than so many times the share that a slower pace did not change,
DEVIATIONS = 2  # of a Poisson count above that
CHANCE_SECONDS = 1800.0  # how long a share is taken for chance
MEMORY = 200  # calls over which the share of lone 429 is a mean
NO_CHANCE = 0.004  # below this share a single 429 ends a trial
KNOWN_CHANCE = 0.0075
SPARE = 2  # otherwise so many more than chance explains
ROW_BEGINNING = 2  # 429 of a row that were taken for lone ones, before it was one


class ChanceRefusals:
    """Two measures: a running mean of lone 429 among the latest calls, those of limits and trials
    aside; and a share that slower paces did not change, which is chance for half an hour.
    """

    def __init__(self) -> None:
        self._mean_share = 0.0
        self._accepted_share = 0.0
        self._accepted_until = -inf

    @property
    def is_known(self) -> bool:
        """Whether lone 429 have come among calls that went well, and again."""
        return self._mean_share > KNOWN_CHANCE

    def count_taken_up(self) -> None:
        """A call was taken up."""
        self._mean_share -= self._mean_share / MEMORY

    def count_refusal(self) -> None:
        """A lone 429 came."""
        self._mean_share += (1 - self._mean_share) / MEMORY

    def take_back_row(self) -> None:
        """The latest lone 429 were the beginning of a row, which is no chance."""
        self._mean_share = max(0.0, self._mean_share - ROW_BEGINNING / MEMORY)

    def accept(self, now: float, share: float) -> None:
        """So many of the calls are refused whatever their pace."""
        self._accepted_share = share
        self._accepted_until = now + CHANCE_SECONDS

    def is_exceeded(self, now: float, refusals: int, calls: int) -> bool:
        """Whether so many lone 429 in so many calls (theirs among them) mean a limit."""
        chance_share = OFTEN_SHARE
        if now < self._accepted_until:
            chance_share += CHANCE_FACTOR * self._accepted_share
        by_chance = calls * chance_share
        return refusals >= OFTEN and refusals > by_chance + DEVIATIONS * sqrt(by_chance)

    def is_exceeded_on_trial(self, refusals: int, calls: int) -> bool:
        """The same while a pace creeps up: fewer will do, or one where none come by chance."""
        if self._mean_share < NO_CHANCE:
            return True
        share = max(CHANCE_FACTOR * self._mean_share, OFTEN_SHARE)
        return refusals > share * calls + SPARE
