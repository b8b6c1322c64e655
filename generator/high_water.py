"""The high-water mark of a budget: what the ledger's memory and the disk's meet in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HighWater:
    """What a budget may have been used up to, on its latest day and in total: no more than this
    was ever spent.
    """

    day: float  # when that day began, seconds since 1970
    day_ends: float
    calls: int
    tokens: int
    usd: float
    total_usd: float
