"""The first moment at which something is enough. Pure."""

from collections.abc import Callable
from math import inf

LONGEST_DAYS = 36_500.0
PRECISION_DAYS = 1e-6


def first_day(is_enough: Callable[[float], bool]) -> float:
    """The first moment, in days, from which on `is_enough`; inf: never."""
    if not is_enough(LONGEST_DAYS):
        return inf
    low = 0.0
    high = LONGEST_DAYS
    while high - low > PRECISION_DAYS:
        middle = (low + high) / 2
        if is_enough(middle):
            high = middle
        else:
            low = middle
    return high
