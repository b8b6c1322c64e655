"""What was spent, in the words that the budgets, the ledger and the disk share."""

from dataclasses import dataclass


@dataclass(slots=True)
class Spent:
    """Calls and what they took. Calls in flight count with what was reserved for them."""

    calls: int = 0
    tokens: int = 0  # of prompts and completions together
    usd: float = 0.0


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
